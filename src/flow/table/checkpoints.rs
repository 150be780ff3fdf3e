//! The traffic of the last minute: the counters of flows, minus their values at a checkpoint.
//!
//! Checkpoints are copies of all counters, so counting a packet does no extra work for them. Only
//! when a flow is forgotten are they updated, because another flow may get its slot.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::super::clock::{Moment, Start};
use super::super::groups::GroupSums;
use super::super::hosts::HostTotals;
use super::super::key::{Address, Key};
use super::super::snapshot::{BothDirections, Counters, Flow, Recent};
use super::super::store::{SlotState, Store};
use super::super::top_n::TopN;
use super::FlowTable;

/// The time between two checkpoints.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(20);
/// The number of checkpoints that are kept. The oldest is 40 to 60 seconds old.
const KEPT: usize = 3;
/// With more slots than this, no checkpoints are made, and no groups are added up. All checkpoints together then take at most
/// 131,072 * 3 * 16 bytes = 6 MiB, and copying the counters does not hold the table's lock for
/// long.
const MOST_SLOTS: usize = 1 << 17;

/// The kept checkpoints, the oldest first. Never empty.
#[derive(Debug)]
pub(super) struct Checkpoints(VecDeque<Checkpoint>);

/// A copy of all counters at one moment.
#[derive(Debug, Default)]
struct Checkpoint {
    at: Moment,
    total: Counters,
    overflow: Counters,
    /// Counters by slot. Slots that were allocated later had no packets at that moment.
    narrow: Vec<Counters>,
    wide: Vec<Counters>,
    hosts: Vec<HostTotals>,
    host_total: BothDirections,
}

/// A single checkpoint from before the first packet.
impl Default for Checkpoints {
    fn default() -> Self {
        Self([Checkpoint::default()].into())
    }
}

impl FlowTable {
    /// Makes a checkpoint at `at`. Call it every [`CHECKPOINT_INTERVAL`].
    pub fn checkpoint(&mut self, at: Duration) {
        self.accounts.advance_to_read(Moment::of(at));
        if self.has_many_slots() {
            self.checkpoints = Checkpoints::default();
            return;
        }
        let mut checkpoint = self.checkpoints.next_to_fill();
        checkpoint.at = self.accounts.now;
        (checkpoint.total, checkpoint.overflow) = self.sums();
        copy(&self.narrow, &mut checkpoint.narrow);
        copy(&self.wide, &mut checkpoint.wide);
        self.accounts.hosts.copy_totals(&mut checkpoint.hosts);
        checkpoint.host_total = self.host_totals();
        self.checkpoints.0.push_back(checkpoint);
    }

    /// Returns the traffic since the oldest checkpoint, about a minute ago, or since the start if
    /// there is none. Lists the `top` flows, hosts and groups of each kind with the most bytes.
    ///
    /// This does not count as a scrape: idle flows stay exposed until a scrape has shown them. Held
    /// flows are listed with their true counters.
    pub fn recent(&mut self, at: Duration, top: usize) -> Recent {
        self.accounts.advance_to_read(Moment::of(at));
        let checkpoint = self.checkpoints.oldest();
        let (total, overflow) = self.sums();
        let mut top_n = TopN::new(top);
        let shape = &self.accounts.keys.shape;
        let mut groups = GroupSums::of_shape(shape).filter(|_| !self.has_many_slots());
        offer(
            &mut top_n,
            &mut groups,
            &self.narrow,
            checkpoint.at,
            &checkpoint.narrow,
        );
        offer(
            &mut top_n,
            &mut groups,
            &self.wide,
            checkpoint.at,
            &checkpoint.wide,
        );
        let hosts = &self.accounts.hosts;
        let hosts = hosts.recent(&checkpoint.hosts, checkpoint.host_total, top);
        let (largest, active) = top_n.finish();
        let flow = |((key, start), counters)| Flow {
            key,
            counters,
            start,
        };
        Recent {
            shape: Arc::clone(shape),
            since: checkpoint.at.duration(),
            until: self.accounts.now.duration(),
            total: total.since(checkpoint.total),
            overflow: overflow.since(checkpoint.overflow),
            top: largest.into_iter().map(flow).collect(),
            active,
            groups: groups.map_or_else(Vec::new, |groups| groups.finish(top)),
            hosts,
        }
    }

    fn has_many_slots(&self) -> bool {
        self.narrow.slot_count() + self.wide.slot_count() > MOST_SLOTS
    }

    /// Returns what all hosts have sent and received since the start.
    #[must_use]
    pub fn host_totals(&self) -> BothDirections {
        self.accounts.hosts.totals_ever()
    }

    /// Returns the sum of all packets ever counted, and the part of it without a slot.
    fn sums(&self) -> (Counters, Counters) {
        let sum =
            |all: &mut dyn Iterator<Item = Counters>| all.fold(Counters::default(), Counters::plus);
        let traffic = sum(&mut self.accounts.traffic.iter().map(|one| one.counters));
        let overflow = sum(&mut self.accounts.overflow.iter().map(|one| one.counters));
        (traffic, overflow)
    }
}

/// Replaces `copies` by the present counters of all slots.
fn copy<A: Address>(store: &Store<A>, copies: &mut Vec<Counters>) {
    copies.clear();
    // Not `reserve`, which would double the capacity and break the limit of 6 MiB.
    copies.reserve_exact(store.slot_count());
    copies.extend(store.slots().map(|slot| match slot.state() {
        SlotState::Free => Counters::default(),
        _ => slot.counters,
    }));
}

/// Offers all flows that have counted a packet since the checkpoint, and adds them to the groups.
fn offer<A: Address>(
    top_n: &mut TopN<(Key<IpAddr>, Start)>,
    groups: &mut Option<GroupSums<'_>>,
    store: &Store<A>,
    since: Moment,
    then: &[Counters],
) {
    for (index, slot) in (0..).zip(store.slots()) {
        // Cheap first test: most flows have had no packet since.
        if slot.last < since || slot.state() == SlotState::Free {
            continue;
        }
        let counters = slot
            .counters
            .since(then.get(index as usize).copied().unwrap_or_default());
        if counters.packets > 0 {
            top_n.offer(counters, || {
                (store.shown_key(index).widened(), store.start(index))
            });
            if let Some(groups) = groups {
                groups.add(&store.shown_key(index), counters);
            }
        }
    }
}

impl Checkpoints {
    fn oldest(&self) -> &Checkpoint {
        self.0.front().expect("there is always a checkpoint")
    }

    /// Returns a checkpoint to fill in: the oldest, which is no longer needed and whose memory is
    /// reused, or a new one while there are few.
    fn next_to_fill(&mut self) -> Checkpoint {
        if self.0.len() < KEPT {
            return Checkpoint::default();
        }
        self.0.pop_front().unwrap_or_default()
    }

    pub(super) fn forget_narrow(&mut self, slot: u32) {
        for checkpoint in &mut self.0 {
            forget(&mut checkpoint.narrow, slot);
        }
    }

    pub(super) fn forget_wide(&mut self, slot: u32) {
        for checkpoint in &mut self.0 {
            forget(&mut checkpoint.wide, slot);
        }
    }

    /// Returns the allocated bytes.
    pub(super) fn allocated(&self) -> usize {
        let allocated = self.0.iter().map(|checkpoint| {
            let flows = checkpoint.narrow.capacity() + checkpoint.wide.capacity();
            flows * size_of::<Counters>() + checkpoint.hosts.capacity() * size_of::<HostTotals>()
        });
        allocated.sum()
    }
}

/// Sets the counters of a slot to 0, with which the next flow in it starts.
fn forget(copies: &mut [Counters], slot: u32) {
    if let Some(counters) = copies.get_mut(slot as usize) {
        *counters = Counters::default();
    }
}

#[cfg(test)]
mod tests;
