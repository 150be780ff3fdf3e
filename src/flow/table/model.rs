//! Compares the table with a model: a map without limits.

use std::collections::BTreeMap;

use etherparse::IpNumber;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::key::Address;
use super::super::shape::AnyKey;
use super::super::snapshot::{Counters, Flow};
use super::super::store::SlotState;
use super::super::{Class, Classes, Key, Label, Labels, Place, Services};
use super::tests::{ipv6_packet, packet, seconds};
use super::*;
use crate::wire::Observation;

#[derive(Debug, Clone)]
enum Step {
    /// Counts a packet, of one of a few kinds.
    Packet(u8),
    Scrape,
    /// Lets so many seconds pass.
    Wait(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..40_u8).prop_map(Step::Packet),
        2 => Just(Step::Scrape),
        2 => (0..50_u8).prop_map(Step::Wait),
    ]
}

fn limits() -> impl Strategy<Value = FlowLimits> {
    let flows = prop_oneof![3 => 0..12_u32, 1 => Just(1000)];
    let idle = prop_oneof![3 => 0..12_u32, 1 => Just(1000)];
    let timeout = prop_oneof![3 => 0..=60_u64, 1 => Just(0)].prop_map(seconds);
    let hold = prop_oneof![2 => 0..=30_u64, 1 => Just(0)].prop_map(seconds);
    (flows, idle, timeout, hold, any::<bool>()).prop_map(
        |(flows, idle_flows, idle_timeout, hold, hide_unseen)| FlowLimits {
            flows,
            idle_flows,
            idle_timeout,
            hold,
            hide_unseen,
            hosts: 1000,
        },
    )
}

fn shape() -> impl Strategy<Value = (Labels, bool)> {
    let some = proptest::sample::subsequence(Label::ALL.to_vec(), 1..=Label::ALL.len());
    let labels = prop_oneof![
        Just(Labels::default()),
        some.prop_map(|labels| labels.into_iter().collect())
    ];
    (labels, any::<bool>())
}

/// Services of some ports of [`packet_of`]: the same for both protocols, or for one of them alone.
fn services() -> Services {
    let file = "a 1/tcp/udp\nb 2/tcp\nc 3/udp\n";
    Services::only(file)
}

/// Every field has only a few values, so that many packets share some of them.
fn packet_of(kind: u8) -> Observation {
    let host = kind % 3;
    let seen = match kind % 4 {
        0 => ipv6_packet(host),
        1 => Observation {
            source: [8, 8, 8, host].into(),
            ..packet(host)
        },
        _ => packet(host),
    };
    Observation {
        protocol: [IpNumber::TCP, IpNumber::UDP][usize::from(kind % 2)],
        listen_port: u16::from(kind % 5),
        vlan: (kind % 7 > 3).then_some(7),
        ports: (kind % 5 > 1).then_some((u16::from(kind % 3), u16::from(kind / 2 % 4))),
        bytes: u64::from(kind) + 1,
        ..seen
    }
}

/// Counters by the values that distinguish flows. Without a key: the sum of the overflow.
type Sums = BTreeMap<Option<Key<IpAddr>>, Counters>;

fn shown(snapshot: &Snapshot) -> Sums {
    let narrow = snapshot.narrow.iter().map(|flow| Flow {
        key: flow.key.widened(),
        counters: flow.counters,
        start: flow.start,
    });
    let mut shown = Sums::new();
    for flow in narrow.chain(snapshot.wide.iter().copied()) {
        let key = without_derived_classes(&snapshot.shape, flow.key);
        let duplicate = shown.insert(Some(key), flow.counters);
        assert_eq!(duplicate, None, "two samples with the labels of {flow:?}");
    }
    if !snapshot.overflow.is_empty() {
        let overflow = snapshot.overflow.iter().map(|sum| sum.counters);
        shown.insert(None, sum(overflow));
    }
    shown
}

/// The starts of the exposed flows.
fn starts(snapshot: &Snapshot) -> BTreeMap<Key<IpAddr>, Duration> {
    let narrow = snapshot.narrow.iter();
    let narrow = narrow.map(|flow| (flow.key.widened(), flow.start));
    let wide = snapshot.wide.iter().map(|flow| (flow.key, flow.start));
    let starts = narrow.chain(wide).map(|(key, start)| {
        let key = without_derived_classes(&snapshot.shape, key);
        (key, Duration::from_millis(start.millis()))
    });
    starts.collect()
}

fn key_of(shape: &Shape, seen: &Observation) -> Key<IpAddr> {
    let key = match shape.key(seen, [Place::NONE; 2]) {
        AnyKey::Narrow(key) => key.unpack().widened(),
        AnyKey::Wide(key) => key.unpack(),
    };
    without_derived_classes(shape, key)
}

/// Classes that can be derived from the shown address do not distinguish flows.
fn without_derived_classes(shape: &Shape, mut key: Key<IpAddr>) -> Key<IpAddr> {
    let has = |label| shape.labels.contains(label);
    let is_in_key =
        |label, class| has(class) && (!has(label) || shape.classes.has_prefix_lengths());
    if !is_in_key(Label::From, Label::FromType) {
        key.source_class = Class::default();
    }
    if !is_in_key(Label::To, Label::ToType) {
        key.destination_class = Class::default();
    }
    key
}

fn plus(left: Counters, right: Counters) -> Counters {
    Counters {
        bytes: left.bytes + right.bytes,
        packets: left.packets + right.packets,
    }
}

fn sum(all: impl IntoIterator<Item = Counters>) -> Counters {
    all.into_iter().fold(Counters::default(), plus)
}

/// Returns the sum of the true counters of all flows in a store, and checks their number.
#[track_caller]
fn kept<A: Address>(store: &Store<A>) -> Counters {
    let slots = (0..).map_while(|slot| store.get(slot));
    let kept: Vec<_> = slots
        .filter(|slot| slot.state() != SlotState::Free)
        .collect();
    assert_eq!(kept.len(), store.exposed().len() + store.idle());
    sum(kept.iter().map(|slot| slot.counters))
}

/// Checks that exposed + idle + forgotten + overflow = everything that was counted.
#[track_caller]
fn check_sums(table: &FlowTable, counted: Counters) {
    let overflow = sum(table.accounts.overflow.iter().map(|entry| entry.counters));
    let parts = [
        kept(&table.narrow),
        kept(&table.wide),
        overflow,
        table.accounts.forgotten,
    ];
    assert_eq!(sum(parts), counted);
    assert_eq!(overflow.packets, table.accounts.overflow_packets);
    let limits = table.accounts.limits;
    assert!(table.exposed() <= limits.flows as usize);
    assert!(table.idle() <= limits.idle_flows as usize);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn sums_are_exact_and_no_counter_goes_back(
        steps in vec(step(), 1..200),
        limits in limits(),
        (labels, fold) in shape(),
    ) {
        let lengths = ["public=0".parse().expect("a prefix length")];
        let lengths = if fold { &lengths[..] } else { &[] };
        let classes = Classes::new(&[], lengths).expect("a known name");
        let shape = Shape { labels, classes, services: services(), ..Shape::default() };
        let mut table = FlowTable::new(shape, limits);
        let shape = Arc::clone(&table.accounts.keys.shape);

        let mut model = Sums::new();
        let mut last_shown = Sums::new();
        let mut last_starts = BTreeMap::new();
        let mut last_scrape = Duration::ZERO;
        let mut forgotten = 0;
        let mut now = Duration::ZERO;
        let mut batch = table.packets(200);
        for step in steps.into_iter().chain([Step::Scrape]) {
            if !matches!(step, Step::Packet(_)) {
                table.record(&mut batch);
            }
            match step {
                Step::Wait(length) => now += seconds(length.into()),
                Step::Packet(kind) => {
                    let seen = packet_of(kind);
                    batch.push(now, &seen);
                    let key = Some(key_of(&shape, &seen));
                    model.entry(key).or_default().add(seen.bytes);
                }
                Step::Scrape => {
                    let snapshot = table.show(now);
                    let traffic = snapshot.traffic.iter().map(|sum| sum.counters);
                    prop_assert_eq!(sum(traffic), sum(model.values().copied()));

                    let shown = shown(&snapshot);
                    // The snapshot does not show which flow was forgotten, so any flow may start
                    // from 0 again.
                    if table.accounts.forgotten_flows > forgotten {
                        forgotten = table.accounts.forgotten_flows;
                        last_shown.retain(|key, _| key.is_none());
                        last_starts.clear();
                    }
                    for (key, start) in starts(&snapshot) {
                        prop_assert!(start <= now);
                        match last_starts.insert(key, start) {
                            Some(before) => prop_assert_eq!(start, before),
                            // A flow that was never shown did not exist at the last scrape, or
                            // it was hidden unseen.
                            None => prop_assert!(
                                forgotten > 0 || limits.hide_unseen || start >= last_scrape
                            ),
                        }
                    }
                    last_scrape = now;
                    let is_exact = limits.hold.is_zero()
                        && table.accounts.overflow_packets == 0
                        && forgotten == 0;
                    for (key, counters) in &shown {
                        let before = last_shown.insert(*key, *counters).unwrap_or_default();
                        prop_assert!(counters.packets >= before.packets, "{:?}", key);
                        prop_assert!(counters.bytes >= before.bytes, "{:?}", key);
                        if is_exact {
                            prop_assert_eq!(Some(counters), model.get(key));
                        }
                    }
                    if is_exact {
                        prop_assert_eq!(shown.len() + table.idle(), model.len());
                    }
                }
            }
            if batch.is_empty() {
                check_sums(&table, sum(model.values().copied()));
            }
        }
    }
}
