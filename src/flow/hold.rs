//! Held series, for `--hold-new-flows`.
//!
//! Prometheus computes rates from the difference of two samples. The packets before the first
//! sample of a series are in no difference, so they would be missing in every rate. A new flow
//! therefore shows 0 for a while, until a scrape has seen the 0. A flow that returns shows its old
//! count for the same reason. The same applies to the series of hosts.

use std::collections::VecDeque;
use std::time::Duration;

use super::Counters;
use super::clock::Moment;

/// A queue of what does not show its true counters yet, the oldest first. `S` says which series
/// or which flow a hold is for.
///
/// All holds last equally long, so the queue is always in the order of their release.
#[derive(Debug)]
pub(super) struct Holds<S> {
    queue: VecDeque<Hold<S>>,
}

/// One held flow or series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hold<S> {
    since: Moment,
    /// The counters that it shows while it is held.
    pub(super) base: Counters,
    pub(super) held: S,
}

impl<S> Holds<S> {
    pub(super) fn push(&mut self, since: Moment, base: Counters, held: S) {
        self.queue.push_back(Hold { since, base, held });
    }

    /// Removes the first hold if it is at least `age` old.
    pub(super) fn pop(&mut self, age: Duration, now: Moment) -> Option<Hold<S>> {
        self.queue
            .front()
            .filter(|hold| hold.since.is_older(age, now))?;
        self.queue.pop_front()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Hold<S>> {
        self.queue.iter()
    }

    /// Returns the allocated bytes, including spare capacity.
    pub(super) fn allocated(&self) -> usize {
        self.queue.capacity() * size_of::<Hold<S>>()
    }
}

impl<S> Default for Holds<S> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
        }
    }
}
