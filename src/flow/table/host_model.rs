//! Compares the hosts of a table with a model: each packet is looked up by its addresses, whatever
//! the flows.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::snapshot::Counters;
use super::super::{Class, Classes, Direction, HostClasses, HostKey, Labels};
use super::tests::{ipv6_packet, packet, seconds};
use super::*;
use crate::wire::Observation;

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Counts a packet, of one of a few kinds, that arrived so many seconds ago.
    Packet(u8, u64),
    /// Scrapes. The flag says whether the scrape reaches its client.
    Scrape(bool),
    /// Lets so many seconds pass.
    Wait(u64),
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (any::<u8>(), prop_oneof![9 => Just(0), 1 => 0..50_u64])
            .prop_map(|(kind, age)| Step::Packet(kind, age)),
        3 => prop_oneof![4 => Just(true), 1 => Just(false)].prop_map(Step::Scrape),
        3 => (0..50_u64).prop_map(Step::Wait),
    ]
}

pub(super) fn limits() -> impl Strategy<Value = FlowLimits> {
    let few_or_many = || prop_oneof![3 => 0..12_u32, 1 => Just(1000)];
    let timeout = prop_oneof![3 => 1..=60_u64, 1 => Just(0)].prop_map(seconds);
    let hold = prop_oneof![1 => 0..=90_u64, 2 => Just(0)].prop_map(seconds);
    let hosts = prop_oneof![4 => 1..8_u32, 1 => Just(0), 1 => Just(1000)];
    (few_or_many(), few_or_many(), timeout, hold, hosts).prop_map(
        |(flows, idle_flows, idle_timeout, hold, hosts)| FlowLimits {
            flows,
            idle_flows,
            idle_timeout,
            hold,
            hide_unseen: false,
            hosts,
        },
    )
}

/// Flows that determine their hosts, and flows that do not: without an address, with hosts or with
/// their peers shortened.
pub(super) fn shapes() -> impl Strategy<Value = Shape> {
    let labels = prop_oneof![
        Just("from,from_type,to,to_type,protocol,listen_port"),
        Just("from,to,protocol,listen_port,from_port"),
        Just("from,to"),
        Just("from_type,to_type,protocol,listen_port"),
        Just("vlan"),
    ];
    let lengths = prop_oneof![Just(""), Just("public=0"), Just("private=24/64")];
    let hosts = prop_oneof![
        3 => Just(vec!["private"]),
        1 => Just(vec!["private", "public"]),
        1 => Just(vec!["multicast"]),
        1 => Just(vec![]),
    ];
    (labels, lengths, hosts).prop_map(|(labels, length, hosts)| {
        let length = length.parse().ok();
        let classes = Classes::new(&[], length.as_slice()).expect("known names");
        Shape {
            labels: labels.parse::<Labels>().expect("labels"),
            hosts: HostClasses::named(&classes, hosts).expect("known names"),
            classes,
            ..Shape::default()
        }
    })
}

/// A packet between two of a few addresses: private, public and multicast ones, IPv4 and IPv6.
pub(super) fn packet_of(kind: u8) -> Observation {
    let (source, destination) = (kind % 8, kind / 8 % 8);
    let ipv4 = |number| match number {
        0..6 => [10, 0, 0, number],
        6 => [8, 8, 8, 8],
        _ => [224, 0, 0, 1],
    };
    let seen = if kind < 192 {
        Observation {
            source: ipv4(source).into(),
            destination: ipv4(destination).into(),
            ..packet(0)
        }
    } else {
        ipv6_packet(source)
    };
    Observation {
        protocol: etherparse::IpNumber(kind / 64 % 2),
        ports: Some((u16::from(kind % 3), 443)),
        bytes: u64::from(kind) + 1,
        ..seen
    }
}

/// The series of a host, by direction and class of the peer, and what is held of them: since when,
/// and the counters that are shown.
type Series = BTreeMap<(Direction, Class), (Counters, Option<(u64, Counters)>)>;

/// What a scrape should show.
type Shown = BTreeMap<(Option<IpAddr>, Direction, Class), Counters>;

struct Model {
    limits: FlowLimits,
    /// Times are in seconds.
    now: u64,
    last_read: u64,
    delivered: Option<u64>,
    /// Each with the time of its last packet, and whether it is hidden.
    hosts: Vec<(IpAddr, u64, bool, Series)>,
    other: Series,
    forgotten: u64,
}

impl Model {
    fn new(limits: FlowLimits) -> Self {
        Self {
            limits,
            now: 0,
            last_read: 0,
            delivered: None,
            hosts: Vec::new(),
            other: Series::new(),
            forgotten: 0,
        }
    }

    fn packet(&mut self, shape: &Shape, at: u64, seen: &Observation) {
        self.now = self.now.max(at);
        let [source, destination] = [seen.source, seen.destination].map(IpAddr::from);
        let [from, to] = [source, destination].map(|address| shape.classes.of(address));
        let ends = [
            (source, from, Direction::Sent, to),
            (destination, to, Direction::Received, from),
        ];
        if self.limits.hosts == 0 {
            return;
        }
        // Both hosts get their slots before the packet counts for either.
        for (address, class, ..) in ends {
            if shape.hosts.contains(class) {
                self.expose(address);
            }
        }
        for (address, class, direction, peer) in ends {
            if shape.hosts.contains(class) {
                self.count(address, direction, peer, at, seen.bytes);
            }
        }
    }

    fn expose(&mut self, address: IpAddr) {
        let (now, holds) = (self.now, !self.limits.hold.is_zero());
        let mut hosts = self.hosts.iter_mut();
        if let Some((_, _, is_hidden, series)) = hosts.find(|host| host.0 == address) {
            if std::mem::take(is_hidden) && holds {
                for (counters, hold) in series.values_mut() {
                    *hold = Some((now, *counters));
                }
            }
            return;
        }
        let new = (address, 0, false, Series::new());
        if self.hosts.len() < self.limits.hosts as usize {
            self.hosts.push(new);
            return;
        }
        let hidden = self.hosts.iter_mut().filter(|host| host.2);
        if let Some(longest_idle) = hidden.min_by_key(|host| host.1) {
            *longest_idle = new;
            self.forgotten += 1;
        }
    }

    fn count(&mut self, address: IpAddr, direction: Direction, peer: Class, at: u64, bytes: u64) {
        let mut hosts = self.hosts.iter_mut();
        let series = match hosts.find(|host| host.0 == address) {
            Some((_, last, _, series)) => {
                *last = (*last).max(at).max(self.last_read);
                series
            }
            None => &mut self.other,
        };
        let (now, hold) = (self.now, self.limits.hold);
        let new = (!hold.is_zero()).then_some((now, Counters::default()));
        let (counters, _) = series
            .entry((direction, peer))
            .or_insert((Counters::default(), new));
        counters.add(bytes);
    }

    fn scrape(&mut self, at: u64) -> Shown {
        self.now = self.now.max(at);
        self.last_read = self.now;
        let (now, timeout) = (self.now, self.limits.idle_timeout.as_secs());
        for (_, last, is_hidden, series) in &mut self.hosts {
            let is_held = series.values().any(|(_, hold)| hold.is_some());
            *is_hidden |= timeout > 0
                && now.saturating_sub(*last) >= timeout
                && self.delivered > Some(*last)
                && !is_held;
        }
        let hold = self.limits.hold.as_secs();
        let hosts = self.hosts.iter_mut().filter(|host| !host.2);
        let hosts = hosts.map(|host| (Some(host.0), &mut host.3));
        let mut shown = Shown::new();
        for (address, series) in hosts.chain([(None, &mut self.other)]) {
            for ((direction, peer), (counters, held)) in series {
                *held = held.filter(|(since, _)| now - since < hold);
                let value = held.map_or(*counters, |(_, base)| base);
                shown.insert((address, *direction, *peer), value);
            }
        }
        shown
    }
}

fn shown(snapshot: &Snapshot) -> Shown {
    let series = snapshot.hosts.iter().map(|series| {
        let HostKey {
            host,
            direction,
            peer_class,
        } = series.key;
        ((host, direction, peer_class), series.counters)
    });
    let shown: Shown = series.collect();
    assert_eq!(shown.len(), snapshot.hosts.len(), "two samples of a series");
    shown
}

/// Checks that what hosts sent and received equals the traffic from and to their classes.
#[track_caller]
fn check_sums(table: &FlowTable, traffic: &[super::super::Sum<super::super::TrafficKey>]) {
    let Accounts { hosts, keys, .. } = &table.accounts;
    if !hosts.is_on() {
        return;
    }
    let is_host = |class| keys.shape.hosts.contains(class);
    let mut sums = [Counters::default(); 2];
    for sum in traffic {
        let key = sum.key.expect("there are few series");
        for (all, class) in sums.iter_mut().zip([key.from_class, key.to_class]) {
            if is_host(class) {
                *all = all.plus(sum.counters);
            }
        }
    }
    let [sent, received] = sums;
    let totals = super::super::BothDirections { sent, received };
    assert_eq!(hosts.totals_ever(), totals);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn hosts_are_those_of_a_model_without_flows(
        steps in vec(step(), 1..200),
        limits in limits(),
        shape in shapes(),
    ) {
        let mut table = FlowTable::new(shape, limits);
        let shape = Arc::clone(&table.accounts.keys.shape);
        let mut model = Model::new(limits);
        let mut now = 100;
        let mut batch = table.packets(200);
        for step in steps.into_iter().chain([Step::Scrape(true)]) {
            match step {
                Step::Wait(length) => now += length,
                Step::Packet(kind, age) => {
                    let seen = packet_of(kind);
                    batch.push(seconds(now - age), &seen);
                    model.packet(&shape, now - age, &seen);
                }
                Step::Scrape(is_delivered) => {
                    table.record(&mut batch);
                    let snapshot = table.scrape(seconds(now));
                    prop_assert_eq!(shown(&snapshot), model.scrape(now));
                    let exposed = model.hosts.iter().filter(|host| !host.2).count();
                    prop_assert_eq!(snapshot.occupancy.hosts, exposed);
                    prop_assert_eq!(snapshot.occupancy.forgotten_hosts, model.forgotten);
                    check_sums(&table, &snapshot.traffic);
                    if is_delivered {
                        table.delivered(seconds(now));
                        model.delivered = model.delivered.max(Some(now));
                    }
                }
            }
            if matches!(step, Step::Wait(_)) {
                // Time passes between batches.
                table.record(&mut batch);
            }
        }
    }

    /// Without scrapes, hosts are hidden when a new one needs a slot. When exactly depends on the
    /// labels, but the sums do not.
    #[test]
    fn sums_of_hosts_are_exact_without_scrapes(
        steps in vec(step(), 1..300),
        limits in limits(),
        shape in shapes(),
    ) {
        let limits = FlowLimits { hide_unseen: true, ..limits };
        let mut table = FlowTable::new(shape, limits);
        let mut now = 100;
        let mut batch = table.packets(200);
        for step in steps {
            match step {
                Step::Wait(length) => now += length,
                Step::Packet(kind, age) => batch.push(seconds(now - age), &packet_of(kind)),
                Step::Scrape(_) => table.record(&mut batch),
            }
        }
        table.record(&mut batch);
        let snapshot = table.scrape(seconds(0));
        prop_assert!(snapshot.occupancy.hosts <= limits.hosts as usize);
        check_sums(&table, &snapshot.traffic);
        shown(&snapshot);
    }
}
