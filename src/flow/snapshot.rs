use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::key::{Address, Key};
use super::shape::{OverflowKey, Shape, TrafficKey};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    pub bytes: u64,
    pub packets: u64,
}

/// All that a scrape shows of a table. Flows are in no order: that of the table would tell its
/// seed.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub shape: Arc<Shape>,
    /// Flows with IPv4 addresses alone; no flow is in both.
    pub narrow: Vec<Flow<Ipv4Addr>>,
    pub wide: Vec<Flow<IpAddr>>,
    /// What found no place. Without a key: all that is beyond the number of keys.
    pub overflow: Vec<Sum<OverflowKey>>,
    /// All that was ever counted.
    pub traffic: Vec<Sum<TrafficKey>>,
    pub occupancy: Occupancy,
}

/// One flow and what it has counted. The classes in its key are those of its first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow<A: Address> {
    pub key: Key<A>,
    pub counters: Counters,
}

/// What was counted lately.
#[derive(Debug, Clone)]
pub struct Recent {
    pub shape: Arc<Shape>,
    /// From when to when, by the table's time.
    pub since: Duration,
    pub until: Duration,
    /// All that was counted.
    pub total: Counters,
    /// What of it found no place.
    pub overflow: Counters,
    /// The flows that counted most, idle ones included, those with the most bytes first.
    pub top: Vec<Flow<IpAddr>>,
    /// How many flows counted anything.
    pub active: usize,
}

/// What several flows have counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum<K> {
    pub key: Option<K>,
    pub counters: Counters,
}

/// How full the table is, and what came of its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    /// Flows exposed.
    pub flows: usize,
    pub limit: u32,
    /// Packets whose flow found no place.
    pub overflow_packets: u64,
    /// An estimate of how many distinct flows ever asked for a place.
    pub demand: u64,
    /// Flows whose count is kept although they are not exposed.
    pub idle: usize,
    pub idle_limit: u32,
    /// Flows whose count was given up.
    pub forgotten: u64,
}

impl Counters {
    pub(super) fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.packets += 1;
    }
}
