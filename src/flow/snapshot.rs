//! The values that a table hands out: the content of a scrape and the recent traffic.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::class::Class;
use super::clock::Start;
use super::key::{Address, Key};
use super::services::Service;
use super::shape::{OverflowKey, Shape, TrafficKey};
use crate::geo::Country;

/// Bytes and packets of a flow or of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    pub bytes: u64,
    pub packets: u64,
}

/// Everything that a scrape shows of a table.
///
/// Flows are in no particular order. Callers sort them before they show them.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub shape: Arc<Shape>,
    /// Flows with only IPv4 addresses. No flow is in both lists.
    pub narrow: Vec<Flow<Ipv4Addr>>,
    pub wide: Vec<Flow<IpAddr>>,
    /// The packets whose flow had no slot. The sum without a key holds those beyond the limit of
    /// keys.
    pub overflow: Vec<Sum<OverflowKey>>,
    /// All packets that were ever counted.
    pub traffic: Vec<Sum<TrafficKey>>,
    /// The hosts, in no particular order.
    pub hosts: Vec<HostTraffic>,
    pub occupancy: Occupancy,
}

/// One flow and its counters. Its key holds the classes of the addresses of its first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow<A: Address> {
    pub key: Key<A>,
    pub counters: Counters,
    /// When the counters were 0.
    pub start: Start,
}

/// One series of a host and its counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostTraffic {
    pub key: HostKey,
    pub counters: Counters,
    /// When the counters were 0.
    pub start: Start,
}

/// The key of a series of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HostKey {
    /// `None` for all hosts beyond the limit.
    pub host: Option<IpAddr>,
    pub direction: Direction,
    /// The class of the other side.
    pub peer_class: Class,
}

/// The direction in which a packet passes a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    Sent,
    Received,
}

/// The traffic of the last minute or so.
#[derive(Debug, Clone)]
pub struct Recent {
    pub shape: Arc<Shape>,
    /// Begin and end of the window, in the time of the table.
    pub since: Duration,
    pub until: Duration,
    /// The sum of all packets in the window.
    pub total: Counters,
    /// The part of `total` whose flows had no slot.
    pub overflow: Counters,
    /// The flows with the most bytes in the window, the largest first. Includes idle flows.
    pub top: Vec<Flow<IpAddr>>,
    /// The number of flows with packets in the window.
    pub active: usize,
    /// The countries, network operators and services with the most bytes in the window, as far as
    /// labels show them; of each kind the largest first. Packets whose flow had no slot are in none.
    /// Empty if there are so many flows that adding them up would hold the table's lock for long.
    pub groups: Vec<(Group, Counters)>,
    pub hosts: RecentHosts,
}

/// What several flows have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// The countries of source and destination.
    Countries([Option<Country>; 2]),
    /// The numbers of the network operators of source and destination, or 0.
    Operators([u32; 2]),
    Service(Service),
}

/// The traffic of hosts in the window of [`Recent`].
#[derive(Debug, Clone, Default)]
pub struct RecentHosts {
    /// The hosts with the most bytes in the window, sent and received, the largest first.
    pub top: Vec<RecentHost>,
    /// The number of hosts with packets in the window.
    pub active: usize,
    /// All hosts beyond the limit.
    pub other: RecentHost,
    /// The sum over all hosts.
    pub total: BothDirections,
}

/// What hosts sent and received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BothDirections {
    pub sent: Counters,
    pub received: Counters,
}

/// One host and its traffic in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecentHost {
    /// `None` for all hosts beyond the limit.
    pub address: Option<IpAddr>,
    pub sent: Counters,
    pub received: Counters,
}

/// The counters of several flows together. Without a key: of all values beyond the limit of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum<K> {
    pub key: Option<K>,
    pub counters: Counters,
    /// When the counters were 0.
    pub start: Start,
}

/// How full the table is, and what its limits have led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    /// Exposed flows.
    pub flows: usize,
    /// The maximum of `flows`.
    pub limit: u32,
    /// Packets whose flow had no slot.
    pub overflow_packets: u64,
    /// An estimate of how many distinct flows there were, with or without a slot.
    pub demand: u64,
    /// Idle flows: not exposed, but their counters are kept.
    pub idle: usize,
    /// The maximum of `idle`.
    pub idle_limit: u32,
    /// Idle flows that were evicted, and their counters discarded.
    pub forgotten: u64,
    /// Exposed hosts.
    pub hosts: usize,
    /// The maximum of `hosts`; 0 if hosts are not counted.
    pub host_limit: u32,
    /// Packets of hosts without a slot. One between two such hosts counts twice.
    pub other_host_packets: u64,
    /// Hidden hosts that gave their slot to another host, and their counters discarded.
    pub forgotten_hosts: u64,
    /// Network operators whose organisations are kept.
    pub operators: usize,
    /// The maximum of `operators`; 0 if no label shows operators.
    pub operator_limit: u32,
}

impl Direction {
    /// Both directions, in the order of the exposition.
    pub const ALL: [Self; 2] = [Self::Sent, Self::Received];

    /// Returns the value of the label `direction`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }
}

impl Counters {
    /// Counts one packet.
    pub(super) fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.packets += 1;
    }
}
