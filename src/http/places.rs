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

#[cfg(test)]
mod tests {
    use super::*;

    fn take(places: &Arc<Places>) -> Place {
        places.take().expect("there is room").0
    }

    /// Whether it was told to go; it can be told once.
    fn has_lost(place: &Place) -> bool {
        !place.places.lock().seats.contains_key(&place.number)
    }

    #[test]
    fn the_one_that_was_quiet_for_the_longest_time_goes() {
        let places = Places::new(3, Duration::ZERO);
        let [first, second, third] = [(); 3].map(|()| take(&places));
        drop(first.user().work());
        let fourth = take(&places);
        assert!(has_lost(&second));
        let fifth = take(&places);
        assert!(has_lost(&third));
        let sixth = take(&places);
        assert!(has_lost(&first));
        assert!(![&fourth, &fifth, &sixth].into_iter().any(has_lost));
        assert_eq!(places.taken(), 3);
        // Those who lost theirs give up nobody else's.
        drop((first, second, third));
        assert_eq!(places.taken(), 3);
    }

    #[test]
    fn those_at_work_stay_and_the_known_go_last() {
        let places = Places::new(3, Duration::ZERO);
        let [known, stranger, busy] = [(); 3].map(|()| take(&places));
        known.user().is_known();
        let work = busy.user().work();
        let (other, has_loser) = places.take().expect("a stranger goes");
        assert!(has_loser && has_lost(&stranger));
        let others_work = other.user().work();
        let (last, _) = places.take().expect("the known one goes");
        assert!(has_lost(&known));
        let last_work = last.user().work();
        assert!(places.take().is_err(), "all are at work");
        assert!(!places.make_room());
        drop((work, others_work, last_work));
        assert!(places.make_room());
    }

    #[test]
    fn nobody_goes_before_the_patience_is_over() {
        let places = Places::new(1, Duration::from_hours(1));
        let place = take(&places);
        assert!(places.take().is_err());
        drop(place);
        assert!(places.take().is_ok());
    }
}
