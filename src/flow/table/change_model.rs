//! Compares the sums of all changes with what a scrape shows.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::snapshot::Counters;
use super::super::{Changes, Class, Key, Label, Series};
use super::host_model::{Step, packet_of, shapes, step};
use super::tests::seconds;
use super::*;

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
            idle_flows: 0,
            idle_timeout: Duration::ZERO,
            hold: Duration::ZERO,
            hide_unseen: true,
            hosts,
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
}
