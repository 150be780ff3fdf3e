//! A limited number of places, of which no client can hold one for nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Whoever asks for a place when all are taken gets that of the one who has been quiet for the
/// longest time.
pub(super) struct Places {
    limit: usize,
    /// How long one must have been quiet to lose its place.
    patience: Duration,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    seats: BTreeMap<u64, Arc<Seat>>,
}

struct Seat {
    state: Mutex<State>,
    lost: Notify,
}

#[derive(Clone, Copy)]
struct State {
    /// How many things keep it busy.
    work: usize,
    quiet_since: Instant,
    has_worked: bool,
    /// A known client: it loses its place only when all strangers have lost theirs.
    is_known: bool,
}

/// All places are taken by those who make use of them.
#[derive(Debug)]
pub(super) struct Full;

impl Places {
    pub(super) fn new(limit: usize, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            limit,
            patience,
            taken: Mutex::default(),
        })
    }

    pub(super) fn taken(&self) -> usize {
        self.lock().seats.len()
    }

    /// A place that starts quiet, and whether somebody lost it.
    pub(super) fn take(self: &Arc<Self>) -> Result<(Place, bool), Full> {
        let has_loser = self.taken() >= self.limit;
        if has_loser && !self.make_room() {
            return Err(Full);
        }
        let seat = Arc::new(Seat {
            state: Mutex::new(State {
                work: 0,
                quiet_since: Instant::now(),
                has_worked: false,
                is_known: false,
            }),
            lost: Notify::new(),
        });
        let mut taken = self.lock();
        let number = taken.next;
        taken.next += 1;
        taken.seats.insert(number, Arc::clone(&seat));
        drop(taken);
        let places = Arc::clone(self);
        let place = Place {
            places,
            number,
            seat,
        };
        Ok((place, has_loser))
    }

    /// Takes the place of the one who needs it least. Returns whether there is such a one.
    pub(super) fn make_room(&self) -> bool {
        let now = Instant::now();
        let mut taken = self.lock();
        let loser = taken
            .seats
            .iter()
            .map(|(number, seat)| (*number, seat.state()))
            .filter(|(_, state)| {
                state.work == 0 && now.duration_since(state.quiet_since) >= self.patience
            })
            .min_by_key(|(_, state)| (state.is_known, state.quiet_since))
            .map(|(number, _)| number);
        let seat = loser.and_then(|number| taken.seats.remove(&number));
        if let Some(seat) = &seat {
            seat.lost.notify_one();
        }
        seat.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().expect(NO_PANIC)
    }
}

impl Seat {
    fn state(&self) -> State {
        *self.state.lock().expect(NO_PANIC)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().expect(NO_PANIC));
    }
}

const NO_PANIC: &str = "no thread panics while it holds the lock";

/// Somebody's place, until this is dropped or somebody else gets it.
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    seat: Arc<Seat>,
}

impl Place {
    /// Done once the place belongs to somebody else.
    pub(super) async fn lost(&self) {
        self.seat.lost.notified().await;
    }

    /// Done once it has been quiet for too long: `first` if it was never used, `later` after that.
    /// Returns whether it was ever used.
    pub(super) async fn quiet_for(&self, first: Duration, later: Duration) -> bool {
        loop {
            let state = self.seat.state();
            let now = Instant::now();
            let since = if state.work == 0 {
                state.quiet_since
            } else {
                now
            };
            let end = since + if state.has_worked { later } else { first };
            if now >= end {
                return state.has_worked;
            }
            sleep_until(end).await;
        }
    }

    pub(super) fn user(&self) -> User {
        User(Arc::clone(&self.seat))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().seats.remove(&self.number);
    }
}

/// One who makes use of a place.
pub(super) struct User(Arc<Seat>);

impl User {
    /// The place is in use until this is dropped.
    pub(super) fn work(&self) -> Work {
        self.0.change(|state| state.work += 1);
        Work(Arc::clone(&self.0))
    }

    pub(super) fn is_known(&self) {
        self.0.change(|state| state.is_known = true);
    }
}

pub(super) struct Work(Arc<Seat>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.work -= 1;
            state.has_worked = true;
            state.quiet_since = Instant::now();
        });
    }
}
