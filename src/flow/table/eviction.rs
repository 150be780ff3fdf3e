//! How flows give up their slots: exposed flows become idle, and idle flows are forgotten.
//!
//! An exposed flow counts towards the limit of flows. After some time without a packet it becomes
//! idle: scrapes no longer show it, but its counters are kept, so that they continue when it
//! returns. Idle flows have a limit too. Beyond it, the longest-idle are forgotten, and start from
//! 0 when they return.

use std::time::Duration;

use super::super::clock::Moment;
use super::super::key::Address;
use super::super::store::{Slot, SlotState, Store};
use super::resolutions::FlowSlot;
use super::{Accounts, FlowTable};

/// The time from the start of one sweep to the start of the next.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// The number of flows that are examined for each packet without a slot.
const SWEPT_PER_PACKET: usize = 128;

/// A sweep over the exposed flows of a full table, in search of one that may be hidden.
///
/// Examining all flows for each packet without a slot would take milliseconds, and a flood of new
/// flows has such packets only. So a packet examines a few flows and the next packet continues. A
/// finished sweep has found nothing else to hide, and the next one waits for the rest of the
/// second.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// The next flow to examine: narrow flows first, then wide ones.
    position: usize,
    /// The number of flows that are left in this sweep.
    left: usize,
    /// When the next sweep may start.
    next: Moment,
}

impl FlowTable {
    /// Continues the sweep until a flow is hidden. Returns whether there is a slot now.
    pub(super) fn make_room(&mut self) -> bool {
        if !self.accounts.can_hide_flows() {
            return false;
        }
        if self.accounts.limits.hide_unseen {
            // Held flows cannot be hidden. Without scrapes, nothing else releases them.
            self.release_holds();
        }
        let now = self.accounts.now;
        if self.sweep.left == 0 {
            if now < self.sweep.next {
                return false;
            }
            self.sweep.left = self.exposed();
            self.sweep.next = now.plus(SWEEP_INTERVAL);
        }
        for _ in 0..self.sweep.left.min(SWEPT_PER_PACKET) {
            if self.sweep.position >= self.exposed() {
                self.sweep.position = 0;
            }
            let position = self.sweep.position;
            let position_in_wide = position.checked_sub(self.narrow.exposed().len());
            let is_hidden = match position_in_wide {
                None => self.accounts.hide_if_possible(&mut self.narrow, position),
                Some(position) => self.accounts.hide_if_possible(&mut self.wide, position),
            };
            if is_hidden {
                // The position stays: the last exposed flow has moved to it.
                self.forget_surplus();
                return true;
            }
            self.sweep.position += 1;
            self.sweep.left -= 1;
        }
        false
    }

    /// Hides all flows that may be hidden, the longest-idle first: the list of idle flows then has
    /// the order in which they are to be forgotten.
    pub(super) fn hide_idle(&mut self) {
        if !self.accounts.can_hide_flows() {
            return;
        }
        let mut flows = self.accounts.idle_flows(&self.narrow);
        flows.extend(self.accounts.idle_flows(&self.wide));
        flows.sort_unstable();
        for (_, is_wide, slot) in flows {
            if is_wide {
                self.wide.hide(slot);
            } else {
                self.narrow.hide(slot);
            }
        }
        self.forget_surplus();
    }

    /// Forgets the longest-idle flows until no more idle flows are left than the limit allows.
    fn forget_surplus(&mut self) {
        let limit = self.accounts.limits.idle_flows as usize;
        if self.idle() > limit {
            self.invalidate_resolutions();
        }
        while self.idle() > limit {
            let narrow = self.narrow.longest_idle();
            let wide = self.wide.longest_idle();
            match (narrow, wide) {
                (Some(narrow), Some(wide)) if self.narrow[narrow].last > self.wide[wide].last => {
                    self.forget_wide(wide);
                }
                (Some(narrow), _) => {
                    self.accounts.forget(&mut self.narrow, narrow);
                    self.checkpoints.forget_narrow(narrow);
                }
                (None, Some(wide)) => self.forget_wide(wide),
                (None, None) => return,
            }
        }
    }

    fn forget_wide(&mut self, slot: u32) {
        self.accounts.forget(&mut self.wide, slot);
        self.checkpoints.forget_wide(slot);
    }

    /// Releases all flows and hosts that were held for long enough: they show their true counters from now
    /// on.
    pub(super) fn release_holds(&mut self) {
        let Accounts {
            holds,
            hosts,
            limits,
            now,
            ..
        } = &mut self.accounts;
        hosts.release_holds(*now);
        while let Some(hold) = holds.pop(limits.hold, *now) {
            let FlowSlot { index, is_wide } = hold.held;
            if is_wide {
                self.wide[index].set_state(SlotState::Exposed);
            } else {
                self.narrow[index].set_state(SlotState::Exposed);
            }
        }
    }
}

impl Accounts {
    /// Whether flows can be hidden at all: there is a timeout, and a scrape has shown some flows.
    pub(super) fn can_hide_flows(&self) -> bool {
        let were_seen = self.limits.hide_unseen || self.last_delivered.is_some();
        !self.limits.idle_timeout.is_zero() && were_seen
    }

    /// Whether a flow may be hidden: it is idle, and a delivered scrape has shown its last value.
    ///
    /// A flow that was hidden without that would leave its last packets out of every sum of rates.
    fn may_be_hidden<A: Address>(&self, slot: &Slot<A>) -> bool {
        slot.state() == SlotState::Exposed && self.idle_test()(slot.last)
    }

    /// Returns a function that tells, given the time of the last packet of a flow or a host,
    /// whether it is idle and a delivered scrape has shown its last value.
    #[inline]
    pub(super) fn idle_test(&self) -> impl Fn(Moment) -> bool + use<> {
        let (limits, now, last_delivered) = (self.limits, self.now, self.last_delivered);
        move |last| {
            let was_seen = limits.hide_unseen || last_delivered > Some(last);
            last.is_older(limits.idle_timeout, now) && was_seen
        }
    }

    /// Returns the flows that may be hidden: the time of the last packet, whether the flow is wide,
    /// and its slot.
    fn idle_flows<A: Address>(&self, store: &Store<A>) -> Vec<(Moment, bool, u32)> {
        let exposed = store.exposed().iter();
        let idle = exposed.filter(|&&slot| self.may_be_hidden(&store[slot]));
        idle.map(|&slot| (store[slot].last, A::WIDE, slot))
            .collect()
    }

    /// Hides the exposed flow at this position if it may be hidden. Returns whether it was.
    fn hide_if_possible<A: Address>(&self, store: &mut Store<A>, position: usize) -> bool {
        let slot = store.exposed()[position];
        let may_be_hidden = self.may_be_hidden(&store[slot]);
        if may_be_hidden {
            store.hide(slot);
        }
        may_be_hidden
    }

    fn forget<A: Address>(&mut self, store: &mut Store<A>, slot: u32) {
        let counters = store.forget(slot, &self.keys.seed);
        self.forgotten_flows += 1;
        self.forgotten.bytes += counters.bytes;
        self.forgotten.packets += counters.packets;
    }
}
