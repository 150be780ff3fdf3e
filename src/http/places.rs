//! A limited number of places, of which no client can hold one for nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Whoever asks for a place when all are taken gets that of the one who has been quiet for the
/// longest time. One at work counts as quiet only once its work has taken too long.
pub(super) struct Places {
    limit: usize,
    /// How long one must have been quiet to lose its place.
    patience: Duration,
    /// How long work may take.
    grace: Duration,
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

struct State {
    /// When each work that still goes on began, the oldest first, by number.
    work: Vec<(u64, Instant)>,
    next: u64,
    quiet_since: Instant,
    /// A known client: it loses its place only when all strangers have lost theirs.
    is_known: bool,
}

/// All places are taken by those who make use of them.
#[derive(Debug)]
pub(super) struct Full;

impl Places {
    pub(super) fn new(limit: usize, patience: Duration, grace: Duration) -> Arc<Self> {
        Arc::new(Self {
            limit,
            patience,
            grace,
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
                work: Vec::new(),
                next: 0,
                quiet_since: Instant::now(),
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
            .map(|(number, seat)| {
                let state = seat.state();
                (state.is_known, state.idle_from(self.grace), *number)
            })
            .filter(|(_, idle_from, _)| now.duration_since(*idle_from) >= self.patience)
            .min()
            .map(|(_, _, number)| number);
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
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(NO_PANIC)
    }
}

impl State {
    /// Since when it has been of no use, or when it will be.
    fn idle_from(&self, grace: Duration) -> Instant {
        match self.work.first() {
            Some((_, begin)) => *begin + grace,
            None => self.quiet_since,
        }
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

    /// Done once it has been of no use for too long.
    pub(super) async fn overdue(&self, limits: Limits) -> Overdue {
        loop {
            let (end, overdue) = {
                let state = self.seat.state();
                match state.work.first() {
                    Some((_, begin)) => (*begin + limits.work, Overdue::Work),
                    None if state.next == 0 => (state.quiet_since + limits.first, Overdue::First),
                    None => (state.quiet_since + limits.later, Overdue::Later),
                }
            };
            if Instant::now() >= end {
                return overdue;
            }
            // Whatever happens until then, it is not overdue before.
            sleep_until(end).await;
        }
    }

    pub(super) fn user(&self) -> User {
        User(Arc::clone(&self.seat))
    }
}

/// How long things may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Until the first work begins.
    pub(super) first: Duration,
    /// From one work to the next.
    pub(super) later: Duration,
    pub(super) work: Duration,
}

/// What took too long.
pub(super) enum Overdue {
    First,
    Later,
    Work,
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
        let mut state = self.0.state();
        let number = state.next;
        state.next += 1;
        state.work.push((number, Instant::now()));
        drop(state);
        let seat = Arc::clone(&self.0);
        Work { seat, number }
    }

    pub(super) fn is_known(&self) {
        self.0.state().is_known = true;
    }
}

pub(super) struct Work {
    seat: Arc<Seat>,
    number: u64,
}

impl Drop for Work {
    fn drop(&mut self) {
        let mut state = self.seat.state();
        state.work.retain(|(number, _)| *number != self.number);
        state.quiet_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_mins(1);

    fn take(places: &Arc<Places>) -> Place {
        places.take().expect("there is room").0
    }

    /// Whether it was told to go; it can be told once.
    fn has_lost(place: &Place) -> bool {
        !place.places.lock().seats.contains_key(&place.number)
    }

    #[test]
    fn the_one_that_was_quiet_for_the_longest_time_goes() {
        let places = Places::new(3, Duration::ZERO, GRACE);
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
        let places = Places::new(3, Duration::ZERO, GRACE);
        let [known, stranger, busy] = [(); 3].map(|()| take(&places));
        known.user().is_known();
        let work = busy.user().work();
        let (other, has_loser) = places.take().expect("a stranger goes");
        assert!(has_loser && has_lost(&stranger));
        let (last, _) = places.take().expect("the other quiet stranger goes");
        assert!(has_lost(&other) && !has_lost(&busy));
        let last_work = last.user().work();
        let _next = places.take().expect("somebody always goes");
        assert!(has_lost(&busy), "of those at work, the first that began");
        assert!(!has_lost(&known));
        drop((work, last_work));
    }

    #[test]
    fn work_protects_until_it_has_taken_too_long() {
        let places = Places::new(2, Duration::ZERO, Duration::ZERO);
        let stuck = take(&places);
        let work = stuck.user().work();
        let quiet = take(&places);
        let _ = take(&places);
        assert!(has_lost(&stuck) && !has_lost(&quiet));
        drop(work);
    }

    #[test]
    fn nobody_goes_before_the_patience_is_over() {
        let places = Places::new(1, Duration::from_hours(1), GRACE);
        let place = take(&places);
        assert!(places.take().is_err());
        drop(place);
        assert!(places.take().is_ok());
    }
}
