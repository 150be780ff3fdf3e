//! The table of flows: counts packets, within limits, and returns what scrapes show.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::changes::Changes;
use super::clock::Moment;
use super::packets::{BatchedPacket, KeyRef, Keys, PacketBatch};
use super::shape::Shape;
use super::snapshot::{Occupancy, Snapshot};
use super::store::{NONE, Store};
use crate::geo::Databases;
use accounts::Accounts;
pub use checkpoints::CHECKPOINT_INTERVAL;
use checkpoints::Checkpoints;
use eviction::Sweep;

mod accounts;
mod checkpoints;
mod eviction;
mod hosts;

/// The number of packets that are looked up together.
const GROUP: usize = 32;

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

    /// Counts the packets of a batch in their order, and empties the batch.
    ///
    /// In a large table, nearly every packet waits for memory twice: for an entry of the index and
    /// for a slot. Each step is therefore done for a whole group of packets before the next step.
    /// The loads within a step do not depend on each other, so the processor waits for many of them
    /// at once. This works like prefetching, but needs no `unsafe` code. The first two steps only
    /// load; `count` verifies the key, because earlier packets of the group may have changed the
    /// slot meanwhile.
    pub fn record(&mut self, packets: &mut PacketBatch) {
        self.record_each(packets, |_, _, _| {});
    }

    /// Does the same as [`record`](Self::record), and adds the packets to `changes`.
    pub fn record_with(&mut self, packets: &mut PacketBatch, changes: &mut Changes) {
        self.record_each(packets, |accounts, packet, has_slot| {
            changes.add(packet, has_slot, accounts.host_keys(packet));
        });
    }

    /// Counts the packets of a batch. Calls `counted` after each, with the packet and whether its
    /// flow has a slot.
    #[inline]
    fn record_each(
        &mut self,
        packets: &mut PacketBatch,
        mut counted: impl FnMut(&Accounts, BatchedPacket<'_>, bool),
    ) {
        packets.learn_operators();
        let mut found = [NONE; GROUP];
        for group in packets.groups(GROUP) {
            // Loads the entries of the index.
            for (found, packet) in found.iter_mut().zip(group.clone()) {
                *found = if packet.has_wide_key() {
                    self.wide.candidate(packet.hash())
                } else {
                    self.narrow.candidate(packet.hash())
                };
            }
            // Loads the slots.
            for (found, packet) in found.iter_mut().zip(group.clone()) {
                *found = if packet.has_wide_key() {
                    self.wide.if_exposed(*found)
                } else {
                    self.narrow.if_exposed(*found)
                };
            }
            for (found, packet) in found.iter().zip(group) {
                let overflow_packets = self.accounts.overflow_packets;
                self.count(*found, packet);
                let has_slot = self.accounts.overflow_packets == overflow_packets;
                counted(&self.accounts, packet, has_slot);
            }
        }
        packets.clear();
    }

    /// Counts a packet. If `found` is the slot of its flow, no other look-up is needed. It may be
    /// [`NONE`].
    #[expect(
        clippy::inline_always,
        reason = "a call for each packet, with its arguments in memory, costs a tenth of the counting"
    )]
    #[inline(always)]
    fn count(&mut self, found: u32, packet: BatchedPacket<'_>) {
        let Self {
            narrow,
            wide,
            accounts,
            ..
        } = self;
        accounts.advance(packet.at());
        match packet.key() {
            KeyRef::Narrow(key) => {
                if let Some(slot) = narrow.exposed_at(found, &key)
                    && slot.has_known_hosts()
                {
                    return accounts.count(slot, packet);
                }
            }
            KeyRef::Wide(key) => {
                if let Some(slot) = wide.exposed_at(found, key)
                    && slot.has_known_hosts()
                {
                    return accounts.count(slot, packet);
                }
            }
        }
        self.admit(packet);
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
    pub fn set_databases(&self, databases: Arc<Databases>) {
        self.accounts.keys.shape.places.set_databases(databases);
    }

    #[must_use]
    pub fn shape(&self) -> &Arc<Shape> {
        &self.accounts.keys.shape
    }

    /// Returns the bytes allocated for flows and hosts, including spare capacity.
    #[must_use]
    pub fn allocated(&self) -> usize {
        let stores = self.narrow.allocated() + self.wide.allocated();
        stores
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

    /// Counts a packet of a flow that is new, idle or without a slot, or whose hosts are unknown.
    /// Exposes the flow if there is a free slot.
    #[cold]
    fn admit(&mut self, packet: BatchedPacket<'_>) {
        self.make_room_for_hosts();
        // An earlier packet of the same group may have exposed the flow. Or the candidate was
        // another flow with the same 32 bits of the hash.
        match packet.key() {
            KeyRef::Narrow(key) => {
                if let Some(slot) = self.narrow.find_exposed(packet.hash(), &key) {
                    return self.accounts.find_hosts_and_count(slot, packet);
                }
            }
            KeyRef::Wide(key) => {
                if let Some(slot) = self.wide.find_exposed(packet.hash(), key) {
                    return self.accounts.find_hosts_and_count(slot, packet);
                }
            }
        }
        if self.is_full() {
            self.accounts.was_full = true;
            if !self.make_room() {
                self.accounts.overflow(packet);
                return;
            }
        }
        match packet.key() {
            KeyRef::Narrow(key) => self.accounts.admit(&mut self.narrow, &key, packet),
            KeyRef::Wide(key) => self.accounts.admit(&mut self.wide, key, packet),
        }
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
mod host_model;
#[cfg(test)]
mod label_model;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
