//! Held flows, for `--hold-new-flows`.
//!
//! Prometheus computes rates from the difference of two samples. The packets before the first
//! sample of a series are in no difference, so they would be missing in every rate. A new flow
//! therefore shows 0 for a while, until a scrape has seen the 0. A flow that returns shows its old
//! count for the same reason.

use std::collections::VecDeque;
use std::time::Duration;

use super::Counters;
use super::clock::Moment;

/// A queue of the flows that do not show their true counters yet, the oldest first.
///
/// All flows are held equally long, so the queue is always in the order of their release.
#[derive(Debug, Default)]
pub(super) struct Holds {
    queue: VecDeque<Hold>,
    /// The number of the first hold. Numbers wrap. No two holds in the queue have the same number,
    /// because there are fewer flows than numbers.
    first: u32,
}

/// One held flow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hold {
    since: Moment,
    /// The counters that the flow shows while it is held.
    pub(super) base: Counters,
    pub(super) slot: u32,
    /// Whether the slot is in the store of wide flows.
    pub(super) wide: bool,
}

impl Holds {
    /// Holds a flow and returns the number of the hold.
    pub(super) fn push(&mut self, since: Moment, base: Counters, slot: u32, wide: bool) -> u32 {
        let length = u32::try_from(self.queue.len()).expect("the limit of flows is a u32");
        self.queue.push_back(Hold {
            since,
            base,
            slot,
            wide,
        });
        self.first.wrapping_add(length)
    }

    /// Removes the first hold if it is at least `age` old.
    pub(super) fn pop(&mut self, age: Duration, now: Moment) -> Option<Hold> {
        self.queue
            .front()
            .filter(|hold| hold.since.is_older(age, now))?;
        self.first = self.first.wrapping_add(1);
        self.queue.pop_front()
    }

    /// Returns the allocated bytes, including spare capacity.
    pub(super) fn allocated(&self) -> usize {
        self.queue.capacity() * size_of::<Hold>()
    }

    /// Returns the counters that a held flow shows.
    pub(super) fn base(&self, number: u32) -> Counters {
        self.queue[number.wrapping_sub(self.first) as usize].base
    }
}
