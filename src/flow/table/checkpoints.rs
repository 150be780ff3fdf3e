//! What flows counted lately: what they have counted, less what they had at a mark.
//!
//! Counting a packet takes no part in this. Only a flow that is forgotten is noted, because
//! another flow may get its slot.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use super::super::clock::Moment;
use super::super::key::{Address, Key};
use super::super::snapshot::{Counters, Flow, Recent};
use super::super::store::{SlotState, Store};
use super::super::top_n::TopN;
use super::FlowTable;

/// How long to wait between checkpoints.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(20);
/// So many are kept: the oldest of them is 40 to 60 seconds old.
const KEPT: usize = 3;
/// Where flows ever took more slots than this, nothing is marked: all checkpoints together take six
/// megabytes at most, and no mark keeps the table busy for long.
const MOST_SLOTS: usize = 1 << 17;

/// The oldest first. There is always one.
#[derive(Debug)]
pub(super) struct Checkpoints(VecDeque<Checkpoint>);

/// All counters as they were at a moment.
#[derive(Debug, Default)]
struct Checkpoint {
    at: Moment,
    total: Counters,
    overflow: Counters,
    /// By slot. Slots that came later had counted nothing.
    narrow: Vec<Counters>,
    wide: Vec<Counters>,
}

/// When nothing had been counted.
impl Default for Checkpoints {
    fn default() -> Self {
        Self([Checkpoint::default()].into())
    }
}

impl FlowTable {
    /// Remembers what was counted until `at`, to be compared with later. To be called each
    /// [`CHECKPOINT_INTERVAL`].
    pub fn checkpoint(&mut self, at: Duration) {
        self.accounts.advance_to_read(Moment::of(at));
        if self.narrow.slot_count() + self.wide.slot_count() > MOST_SLOTS {
            self.checkpoints = Checkpoints::default();
            return;
        }
        let mut mark = self.checkpoints.make_room();
        mark.at = self.accounts.now;
        (mark.total, mark.overflow) = self.sums();
        copy(&self.narrow, &mut mark.narrow);
        copy(&self.wide, &mut mark.wide);
        self.checkpoints.0.push_back(mark);
    }

    /// What was counted since the oldest mark, which is about the last minute; since the start, if
    /// there is none. Neither does a look count as a scrape, nor are new flows held.
    pub fn recent(&mut self, at: Duration, top: usize) -> Recent {
        self.accounts.advance_to_read(Moment::of(at));
        let mark = self.checkpoints.oldest();
        let (total, overflow) = self.sums();
        let mut top_n = TopN::new(top);
        offer(&mut top_n, &self.narrow, mark.at, &mark.narrow);
        offer(&mut top_n, &self.wide, mark.at, &mark.wide);
        let (top, active) = top_n.finish();
        let flow = |(key, counters)| Flow { key, counters };
        Recent {
            shape: self.accounts.keys.shape.clone(),
            since: mark.at.duration(),
            until: self.accounts.now.duration(),
            total: total.since(mark.total),
            overflow: overflow.since(mark.overflow),
            top: top.into_iter().map(flow).collect(),
            active,
        }
    }

    /// All that was ever counted, and what of it found no place.
    fn sums(&self) -> (Counters, Counters) {
        let sum =
            |all: &mut dyn Iterator<Item = Counters>| all.fold(Counters::default(), Counters::plus);
        let traffic = sum(&mut self.accounts.traffic.iter().map(|one| one.counters));
        let overflow = sum(&mut self.accounts.overflow.iter().map(|one| one.counters));
        (traffic, overflow)
    }
}

fn copy<A: Address>(store: &Store<A>, marked: &mut Vec<Counters>) {
    marked.clear();
    marked.reserve_exact(store.slot_count());
    marked.extend(store.slots().map(|slot| match slot.state() {
        SlotState::Free => Counters::default(),
        _ => slot.counters,
    }));
}

/// All flows that counted something since then.
fn offer<A: Address>(
    top_n: &mut TopN<Key<IpAddr>>,
    store: &Store<A>,
    since: Moment,
    marked: &[Counters],
) {
    for (place, slot) in store.slots().enumerate() {
        if slot.last < since || slot.state() == SlotState::Free {
            continue;
        }
        let counters = slot
            .counters
            .since(marked.get(place).copied().unwrap_or_default());
        if counters.packets > 0 {
            top_n.offer(counters, || slot.shown_key().widened());
        }
    }
}

impl Checkpoints {
    fn oldest(&self) -> &Checkpoint {
        self.0.front().expect("there is always one")
    }

    /// Once there is one too many, the oldest, to be written anew.
    fn make_room(&mut self) -> Checkpoint {
        if self.0.len() < KEPT {
            return Checkpoint::default();
        }
        self.0.pop_front().unwrap_or_default()
    }

    pub(super) fn forget_narrow(&mut self, slot: u32) {
        for mark in &mut self.0 {
            forget(&mut mark.narrow, slot);
        }
    }

    pub(super) fn forget_wide(&mut self, slot: u32) {
        for mark in &mut self.0 {
            forget(&mut mark.wide, slot);
        }
    }

    pub(super) fn allocated(&self) -> usize {
        let slots = self
            .0
            .iter()
            .map(|mark| mark.narrow.capacity() + mark.wide.capacity());
        slots.sum::<usize>() * size_of::<Counters>()
    }
}

/// The next flow in this slot starts from nothing.
fn forget(marked: &mut [Counters], slot: u32) {
    if let Some(counters) = marked.get_mut(slot as usize) {
        *counters = Counters::default();
    }
}

#[cfg(test)]
mod tests;
