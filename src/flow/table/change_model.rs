//! Compares the sums of all changes with what a scrape shows.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::snapshot::Counters;
use super::super::{Changes, Class, Direction, HostKey, Key, Label, Place, Series};
use super::host_model::{Step, limits, packet_of, shapes, step};
use super::tests::{NO_LIMITS, seconds};
use super::*;
use crate::wire::Observation;

/// Returns a flow without the classes that labels do not show.
fn flow(shape: &Shape, mut key: Key<IpAddr>) -> Series {
    if !shape.labels.contains(Label::FromType) {
        key.source_class = Class::default();
    }
    if !shape.labels.contains(Label::ToType) {
        key.destination_class = Class::default();
    }
    Series::Flow(key)
}

/// Returns all series of a scrape that have counted a packet.
fn shown(snapshot: &Snapshot) -> BTreeMap<String, Counters> {
    let shape = &snapshot.shape;
    let narrow = snapshot.narrow.iter();
    let narrow = narrow.map(|found| (flow(shape, found.key.widened()), found.counters));
    let wide = snapshot.wide.iter();
    let wide = wide.map(|found| (flow(shape, found.key), found.counters));
    let overflow = snapshot.overflow.iter();
    let overflow = overflow.map(|sum| (Series::Overflow(sum.key), sum.counters));
    let traffic = snapshot.traffic.iter();
    let traffic = traffic.map(|sum| (Series::Traffic(sum.key), sum.counters));
    let hosts = snapshot.hosts.iter();
    let hosts = hosts.map(|host| (Series::Host(host.key), host.counters));
    let all = narrow
        .chain(wide)
        .chain(overflow)
        .chain(traffic)
        .chain(hosts);
    all.map(|(series, counters)| (format!("{series:?}"), counters))
        .collect()
}

fn add_changes(
    sums: &mut BTreeMap<String, Counters>,
    table: &mut FlowTable,
    changes: &mut Changes,
) {
    let shape = Arc::clone(&table.accounts.keys.shape);
    table.take_changes(changes, |series, counters| {
        let series = match series {
            Series::Flow(key) => flow(&shape, shape.with_classes(key)),
            other => other,
        };
        let sum = sums.entry(format!("{series:?}")).or_default();
        *sum = sum.plus(counters);
    });
}

/// Returns the series in which a packet counts if its flow and its hosts have slots.
fn own_series(shape: &Shape, seen: &Observation, has_hosts: bool) -> Vec<Series> {
    let key = shape.key(seen, [Place::NONE; 2]).as_ref().unpack();
    let traffic = shape.traffic(seen);
    let [from, to] = shape.hosts(seen, [traffic.from_class, traffic.to_class]);
    let ends = [
        (from, Direction::Sent, traffic.to_class),
        (to, Direction::Received, traffic.from_class),
    ];
    let hosts = ends
        .into_iter()
        .filter_map(|(address, direction, peer_class)| {
            let host = Some(address?.into());
            Some(Series::Host(HostKey {
                host,
                direction,
                peer_class,
            }))
        });
    let own = [
        flow(shape, shape.with_classes(key)),
        Series::Traffic(Some(traffic)),
    ];
    own.into_iter().chain(hosts.filter(|_| has_hosts)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// As long as no flow and no host loses its slot.
    #[test]
    fn changes_add_up_to_the_counters(
        steps in vec(step(), 1..200),
        shape in shapes(),
        flows in prop_oneof![0..12_u32, Just(1000)],
        hosts in 0..8_u32,
    ) {
        let limits = FlowLimits {
            flows,
            hosts,
            ..NO_LIMITS
        };
        let mut table = FlowTable::new(shape, limits);
        let mut changes = Changes::default();
        let mut sums = BTreeMap::new();
        let mut batch = table.packets(200);
        for step in steps {
            match step {
                Step::Packet(kind, _) => batch.push(seconds(1), &packet_of(kind)),
                Step::Scrape(_) => table.record_with(&mut batch, &mut changes),
                Step::Wait(_) => add_changes(&mut sums, &mut table, &mut changes),
            }
        }
        table.record_with(&mut batch, &mut changes);
        add_changes(&mut sums, &mut table, &mut changes);
        prop_assert_eq!(sums, shown(&table.scrape(seconds(2))));
    }

    /// A slot may pass to another flow or host between two packets. Each packet still counts in its own
    /// series, or where flows and hosts without a slot count.
    #[test]
    fn changes_are_those_of_the_packets_when_slots_change_hands(
        steps in vec(step(), 1..200),
        limits in limits(),
        shape in shapes(),
    ) {
        let limits = FlowLimits { hide_unseen: true, hold: Duration::ZERO, ..limits };
        let mut table = FlowTable::new(shape, limits);
        let shape = Arc::clone(&table.accounts.keys.shape);
        let mut changes = Changes::default();
        let (mut sums, mut expected) = (BTreeMap::new(), BTreeMap::new());
        let mut batch = table.packets(200);
        let mut now = 100;
        for step in steps {
            match step {
                Step::Packet(kind, age) => {
                    let seen = packet_of(kind);
                    batch.push(seconds(now - age), &seen);
                    for series in own_series(&shape, &seen, limits.hosts > 0) {
                        let sum: &mut Counters = expected.entry(format!("{series:?}")).or_default();
                        sum.add(seen.bytes);
                    }
                }
                Step::Wait(length) => {
                    now += length;
                    table.record_with(&mut batch, &mut changes);
                }
                Step::Scrape(_) => add_changes(&mut sums, &mut table, &mut changes),
            }
        }
        table.record_with(&mut batch, &mut changes);
        add_changes(&mut sums, &mut table, &mut changes);
        for kind in ["Flow", "Traffic", "Host"] {
            let of_kind = |sums: &BTreeMap<String, Counters>, kind: &str| {
                let sums = sums.iter().filter(|(series, _)| series.starts_with(kind));
                sums.fold(Counters::default(), |all, (_, sum)| all.plus(*sum))
            };
            let mut found = of_kind(&sums, kind);
            if kind == "Flow" {
                found = found.plus(of_kind(&sums, "Overflow"));
            }
            prop_assert_eq!(found, of_kind(&expected, kind), "{}", kind);
        }
        let shown = shown(&table.scrape(seconds(now)));
        for (series, sum) in &sums {
            let own = expected.get(series).copied().unwrap_or_default();
            if series.starts_with("Traffic") {
                prop_assert_eq!(*sum, own);
            } else if series.starts_with("Overflow") || series.contains("host: None") {
                // These never lose their slots.
                prop_assert_eq!(shown.get(series), Some(sum));
            } else {
                prop_assert!(sum.bytes <= own.bytes && sum.packets <= own.packets, "{}", series);
            }
        }
    }
}
