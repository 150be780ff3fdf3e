//! The table of flows: counts packets, within limits, and returns what scrapes show.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::clock::Moment;
use super::packets::{Keys, PacketBatch};
use super::shape::Shape;
use super::snapshot::{Occupancy, Snapshot};
use super::store::Store;
use crate::geo::Databases;
use accounts::Accounts;
pub use checkpoints::CHECKPOINT_INTERVAL;
use checkpoints::Checkpoints;
use eviction::Sweep;
pub(super) use resolutions::Counted;
use resolutions::Resolutions;

mod accounts;
mod changes;
mod checkpoints;
mod eviction;
mod hosts;
mod record;
mod resolutions;

/// The limits of a table.
///
/// Senders choose the keys of flows, so nothing but these limits bounds the number of flows, and
/// with it the memory of the process and the number of series in Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowLimits {
    /// The maximum number of exposed flows.
    pub flows: u32,
    /// The maximum number of idle flows: not exposed, but their counters are kept.
    pub idle_flows: u32,
    /// A flow becomes idle after this time without a packet. Zero: never.
    pub idle_timeout: Duration,
    /// For this time, a new or returning flow shows its earlier counters: 0 for a new one.
    pub hold: Duration,
    /// Whether a flow may become idle although no scrape has shown its last value. For runs without
    /// scrapes.
    pub hide_unseen: bool,
    /// The maximum number of hosts that are counted one by one. Zero: hosts are not counted.
    pub hosts: u32,
}

/// Counts the packets of flows, within limits.
///
/// A flow is exposed (scrapes show it), idle (its counters are kept) or forgotten. The packets of
/// new flows that get no slot count in overflow series. Every packet also counts in a traffic
/// series, which is never evicted. So every packet is in exactly one of exposed, idle, forgotten
/// and overflow, and their sum equals the traffic.
///
/// Time comes in as an argument, and the table's own time never goes back. Packets may come late. A
/// flow's idle time starts at the latest time of its packets, so the outcome does not depend on the
/// order of the packets, unless [`depends_on_order`](FlowTable::depends_on_order).
#[derive(Debug)]
pub struct FlowTable {
    narrow: Store<Ipv4Addr>,
    wide: Store<IpAddr>,
    /// A cache, unused if the table [is direct](Accounts::is_direct).
    narrow_resolutions: Resolutions<Ipv4Addr>,
    wide_resolutions: Resolutions<IpAddr>,
    accounts: Accounts,
    sweep: Sweep,
    checkpoints: Checkpoints,
}

impl FlowTable {
    #[must_use]
    pub fn new(shape: Shape, limits: FlowLimits) -> Self {
        Self::with_keys(Keys::new(shape), limits)
    }

    fn with_keys(keys: Keys, limits: FlowLimits) -> Self {
        Self {
            narrow: Store::default(),
            wide: Store::default(),
            narrow_resolutions: Resolutions::default(),
            wide_resolutions: Resolutions::default(),
            accounts: Accounts::new(keys, limits),
            sweep: Sweep::default(),
            checkpoints: Checkpoints::default(),
        }
    }

    /// Discards everything that was counted. Existing batches stay valid: the seed of the hash does
    /// not change.
    pub fn clear(&mut self) {
        let Accounts { keys, limits, .. } = &self.accounts;
        *self = Self::with_keys(keys.clone(), *limits);
    }

    /// Whether the same packets in another order might have led to another outcome.
    ///
    /// Slots and series go to the flows that come first, which matters once they have run out. A
    /// hold begins with the first packet of a flow.
    #[must_use]
    pub fn depends_on_order(&self) -> bool {
        let Accounts {
            was_full,
            traffic,
            hosts,
            limits,
            ..
        } = &self.accounts;
        *was_full || traffic.has_overflowed() || hosts.was_full() || !limits.hold.is_zero()
    }

    /// Creates an empty batch for packets of this table. It is full with `capacity` packets.
    #[must_use]
    pub fn packets(&self, capacity: usize) -> PacketBatch {
        PacketBatch::new(&self.accounts.keys, capacity)
    }

    /// Hides idle flows, and returns what a scrape at `at` shows.
    ///
    /// Call [`delivered`](Self::delivered) once it has reached the client: until then, its flows do
    /// not count as shown.
    pub fn scrape(&mut self, at: Duration) -> Snapshot {
        self.accounts.advance_to_read(Moment::of(at));
        self.hide_idle();
        self.hide_idle_hosts();
        self.release_holds();
        Snapshot {
            shape: Arc::clone(&self.accounts.keys.shape),
            narrow: self.accounts.flows(&self.narrow),
            wide: self.accounts.flows(&self.wide),
            overflow: self.accounts.overflow_sums(),
            traffic: self.accounts.traffic_sums(),
            hosts: self.accounts.hosts.series(),
            occupancy: self.occupancy(),
        }
    }

    /// Notes that the scrape of time `at` has reached its client. The flows that it showed may now
    /// become idle.
    pub fn delivered(&mut self, at: Duration) {
        let at = Some(Moment::of(at));
        self.accounts.last_delivered = self.accounts.last_delivered.max(at);
    }

    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        let Shape { labels, places, .. } = &*self.accounts.keys.shape;
        let operator_limit = if labels.have_operators() {
            places.operator_limit()
        } else {
            0
        };
        Occupancy {
            flows: self.exposed(),
            limit: self.accounts.limits.flows,
            overflow_packets: self.accounts.overflow_packets,
            demand: self.accounts.demand(),
            idle: self.idle(),
            idle_limit: self.accounts.limits.idle_flows,
            forgotten: self.accounts.forgotten_flows,
            hosts: self.accounts.hosts.exposed(),
            host_limit: self.accounts.limits.hosts,
            other_host_packets: self.accounts.hosts.other_packets(),
            forgotten_hosts: self.accounts.hosts.forgotten(),
            operators: places.operator_count(),
            operator_limit,
        }
    }

    /// Replaces the databases of countries and network operators. Flows that exist keep the values
    /// that they were given.
    pub fn set_databases(&mut self, databases: Arc<Databases>) {
        self.accounts.keys.shape.places.set_databases(databases);
        for recent in &mut self.accounts.recent_places {
            recent.clear();
        }
        self.invalidate_resolutions();
    }

    #[must_use]
    pub fn shape(&self) -> &Arc<Shape> {
        &self.accounts.keys.shape
    }

    /// Returns the bytes allocated for flows and hosts, including spare capacity.
    #[must_use]
    pub fn allocated(&self) -> usize {
        let stores = self.narrow.allocated() + self.wide.allocated();
        let resolutions = self.narrow_resolutions.allocated() + self.wide_resolutions.allocated();
        stores
            + resolutions
            + self.checkpoints.allocated()
            + self.accounts.holds.allocated()
            + self.accounts.hosts.allocated()
    }

    fn exposed(&self) -> usize {
        self.narrow.exposed().len() + self.wide.exposed().len()
    }

    fn idle(&self) -> usize {
        self.narrow.idle() + self.wide.idle()
    }

    /// Empties the caches of where packets count.
    fn invalidate_resolutions(&mut self) {
        self.narrow_resolutions.invalidate();
        self.wide_resolutions.invalidate();
    }

    fn is_full(&self) -> bool {
        self.exposed() >= self.accounts.limits.flows as usize
    }
}

#[cfg(test)]
impl FlowTable {
    /// Scrapes, and delivers the scrape at once.
    fn show(&mut self, at: Duration) -> Snapshot {
        let snapshot = self.scrape(at);
        self.delivered(self.accounts.now.duration());
        snapshot
    }
}

#[cfg(test)]
mod change_model;
#[cfg(test)]
mod host_model;
#[cfg(test)]
mod label_model;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
