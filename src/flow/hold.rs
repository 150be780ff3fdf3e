use std::collections::VecDeque;
use std::time::Duration;

use super::Counters;
use super::clock::Moment;

/// New and returning flows that do not show their true value yet, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Holds {
    queue: VecDeque<Hold>,
    /// The number of the first one. Numbers wrap: no two that are held have the same.
    first: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Hold {
    since: Moment,
    /// What it shows until then.
    pub(super) base: Counters,
    pub(super) slot: u32,
    /// Which of the two stores the slot is in.
    pub(super) wide: bool,
}

impl Holds {
    /// Holds a flow and returns the number of the hold.
    pub(super) fn push(&mut self, since: Moment, base: Counters, slot: u32, wide: bool) -> u32 {
        let length = u32::try_from(self.queue.len()).expect("the limits of flows fit");
        self.queue.push_back(Hold {
            since,
            base,
            slot,
            wide,
        });
        self.first.wrapping_add(length)
    }

    /// Takes out the first one if it is old enough.
    pub(super) fn pop(&mut self, age: Duration, now: Moment) -> Option<Hold> {
        self.queue
            .front()
            .filter(|hold| hold.since.is_over(age, now))?;
        self.first = self.first.wrapping_add(1);
        self.queue.pop_front()
    }

    /// Bytes that were asked for, spare room included.
    pub(super) fn allocated(&self) -> usize {
        self.queue.capacity() * size_of::<Hold>()
    }

    /// What a held flow shows.
    pub(super) fn base(&self, number: u32) -> Counters {
        self.queue[number.wrapping_sub(self.first) as usize].base
    }
}
