//! A fixed number of slots, for connections or for scrapes.
//!
//! When all slots are in use, one holder is evicted for the new one. Refusing the new one instead
//! would let an attacker lock everybody out by opening connections and sending nothing. A time
//! limit alone would not help, because the attacker can open new ones at once. The rules are:
//! - Only a slot that has been idle for [`Slots::min_idle`] is evicted, so that a slow client keeps
//!   its slot. If there is none, the new one is refused.
//! - Unauthenticated clients are evicted before authenticated ones, so that a flood of
//!   unauthenticated connections never evicts Prometheus.
//! - Among these, the longest-idle slot is evicted. A request in flight counts as idle only once it
//!   has taken longer than [`Slots::grace`]: otherwise requests that never end would hold their
//!   slots for ever.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// A fixed number of slots. When all are in use, the longest-idle one is evicted.
pub(super) struct Slots {
    limit: usize,
    /// How long a slot must have been idle to be evicted.
    min_idle: Duration,
    /// How long a request may take before it counts as idle.
    grace: Duration,
    in_use: Mutex<InUse>,
}

#[derive(Default)]
struct InUse {
    next: u64,
    entries: BTreeMap<u64, Arc<Entry>>,
}

struct Entry {
    state: Mutex<Usage>,
    evicted: Notify,
}

struct Usage {
    /// When each request in flight began, the oldest first, by number.
    requests: Vec<(u64, Instant)>,
    next: u64,
    idle_since: Instant,
    is_authenticated: bool,
}

/// All slots are in use, and none may be evicted.
#[derive(Debug)]
pub(super) struct Full;

impl Slots {
    pub(super) fn new(limit: usize, min_idle: Duration, grace: Duration) -> Arc<Self> {
        Arc::new(Self {
            limit,
            min_idle,
            grace,
            in_use: Mutex::default(),
        })
    }

    /// Returns the number of slots in use.
    pub(super) fn count(&self) -> usize {
        self.lock().entries.len()
    }

    /// Takes a slot, which starts idle. Also returns whether another slot was evicted for it.
    ///
    /// # Errors
    /// All slots are in use, and none may be evicted.
    pub(super) fn take(self: &Arc<Self>) -> Result<(Slot, bool), Full> {
        let is_full = self.count() >= self.limit;
        if is_full && !self.evict_one() {
            return Err(Full);
        }
        let entry = Arc::new(Entry {
            state: Mutex::new(Usage {
                requests: Vec::new(),
                next: 0,
                idle_since: Instant::now(),
                is_authenticated: false,
            }),
            evicted: Notify::new(),
        });
        let mut in_use = self.lock();
        let number = in_use.next;
        in_use.next += 1;
        in_use.entries.insert(number, Arc::clone(&entry));
        drop(in_use);
        let slots = Arc::clone(self);
        let slot = Slot {
            slots,
            number,
            entry,
        };
        Ok((slot, is_full))
    }

    /// Evicts a slot by the rules above. Returns `false` if none may be evicted.
    pub(super) fn evict_one(&self) -> bool {
        let now = Instant::now();
        let mut in_use = self.lock();
        let victim = in_use
            .entries
            .iter()
            .map(|(number, entry)| {
                let state = entry.state();
                let idle_from = state.idle_from(self.grace);
                (state.is_authenticated, idle_from, *number)
            })
            .filter(|(_, idle_from, _)| now.duration_since(*idle_from) >= self.min_idle)
            .min()
            .map(|(_, _, number)| number);
        let entry = victim.and_then(|number| in_use.entries.remove(&number));
        if let Some(entry) = &entry {
            entry.evicted.notify_one();
        }
        entry.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, InUse> {
        self.in_use.lock().expect(NO_PANIC)
    }
}

impl Entry {
    fn state(&self) -> MutexGuard<'_, Usage> {
        self.state.lock().expect(NO_PANIC)
    }
}

impl Usage {
    /// When the connection became idle, or when its oldest request will count as stuck.
    fn idle_from(&self, grace: Duration) -> Instant {
        match self.requests.first() {
            Some((_, begin)) => *begin + grace,
            None => self.idle_since,
        }
    }
}

const NO_PANIC: &str = "no thread panics while it holds the lock";

/// A slot in use, until this is dropped or evicted.
pub(super) struct Slot {
    slots: Arc<Slots>,
    number: u64,
    entry: Arc<Entry>,
}

impl Slot {
    /// Waits until this slot is evicted.
    pub(super) async fn evicted(&self) {
        self.entry.evicted.notified().await;
    }

    /// Waits until one of the time limits is exceeded, and returns which.
    pub(super) async fn overdue(&self, limits: TimeLimits) -> Overdue {
        loop {
            let (end, overdue) = {
                let state = self.entry.state();
                match state.requests.first() {
                    Some((_, begin)) => (*begin + limits.request, Overdue::Request),
                    None if state.next == 0 => {
                        (state.idle_since + limits.first, Overdue::FirstRequest)
                    }
                    None => (state.idle_since + limits.idle, Overdue::Idle),
                }
            };
            if Instant::now() >= end {
                return overdue;
            }
            // Anything that happens until then can only postpone the end, never bring it forward.
            // So there is no need to wake up earlier.
            sleep_until(end).await;
        }
    }

    pub(super) fn activity(&self) -> Activity {
        Activity(Arc::clone(&self.entry))
    }
}

/// The time limits of a connection.
#[derive(Clone, Copy)]
pub(super) struct TimeLimits {
    /// Until the first request begins.
    pub(super) first: Duration,
    /// From one request to the next.
    pub(super) idle: Duration,
    /// From the start of a request to the end of its response.
    pub(super) request: Duration,
}

/// The time limit that was exceeded.
pub(super) enum Overdue {
    FirstRequest,
    Idle,
    Request,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().entries.remove(&self.number);
    }
}

/// Records the requests and the authentication of the client in a slot.
pub(super) struct Activity(Arc<Entry>);

impl Activity {
    /// Begins a request, which is in flight until the returned value is dropped.
    pub(super) fn begin(&self) -> InFlight {
        let mut state = self.0.state();
        let number = state.next;
        state.next += 1;
        state.requests.push((number, Instant::now()));
        drop(state);
        let entry = Arc::clone(&self.0);
        InFlight { entry, number }
    }

    /// Records that the client has authenticated, by a password or a certificate.
    pub(super) fn set_authenticated(&self) {
        self.0.state().is_authenticated = true;
    }
}

/// A request in flight.
pub(super) struct InFlight {
    entry: Arc<Entry>,
    number: u64,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.entry.state();
        state.requests.retain(|(number, _)| *number != self.number);
        state.idle_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_mins(1);

    fn take(slots: &Arc<Slots>) -> Slot {
        slots.take().expect("there is room").0
    }

    fn is_evicted(slot: &Slot) -> bool {
        !slot.slots.lock().entries.contains_key(&slot.number)
    }

    #[test]
    fn the_longest_idle_slot_is_evicted() {
        let slots = Slots::new(3, Duration::ZERO, GRACE);
        let [first, second, third] = [(); 3].map(|()| take(&slots));
        drop(first.activity().begin());
        let fourth = take(&slots);
        assert!(is_evicted(&second));
        let fifth = take(&slots);
        assert!(is_evicted(&third));
        let sixth = take(&slots);
        assert!(is_evicted(&first));
        assert!(![&fourth, &fifth, &sixth].into_iter().any(is_evicted));
        assert_eq!(slots.count(), 3);
        // Dropping an evicted slot does not free another one.
        drop((first, second, third));
        assert_eq!(slots.count(), 3);
    }

    #[test]
    fn requests_in_flight_are_protected_and_authenticated_clients_are_evicted_last() {
        let slots = Slots::new(3, Duration::ZERO, GRACE);
        let [authenticated, idle, busy] = [(); 3].map(|()| take(&slots));
        authenticated.activity().set_authenticated();
        let request = busy.activity().begin();
        let (other, has_evicted) = slots.take().expect("an idle slot is evicted");
        assert!(has_evicted && is_evicted(&idle));
        let (last, _) = slots.take().expect("the other idle slot is evicted");
        assert!(is_evicted(&other) && !is_evicted(&busy));
        let last_request = last.activity().begin();
        let _next = slots
            .take()
            .expect("without a minimum idle time, one is always evicted");
        assert!(is_evicted(&busy), "the slot with the oldest request");
        assert!(!is_evicted(&authenticated));
        drop((request, last_request));
    }

    #[test]
    fn a_request_protects_its_slot_until_the_grace_period_ends() {
        let slots = Slots::new(2, Duration::ZERO, Duration::ZERO);
        let stuck = take(&slots);
        let request = stuck.activity().begin();
        let idle = take(&slots);
        let _ = take(&slots);
        assert!(is_evicted(&stuck) && !is_evicted(&idle));
        drop(request);
    }

    #[test]
    fn a_slot_is_not_evicted_before_the_minimum_idle_time() {
        let slots = Slots::new(1, Duration::from_hours(1), GRACE);
        let slot = take(&slots);
        assert!(slots.take().is_err());
        drop(slot);
        assert!(slots.take().is_ok());
    }
}
