//! The wall time of what the flow table notes in its own time.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::flow::Start;

/// A time in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnixMillis(u64);

/// Converts starts of counters to wall time.
///
/// The clock of the flow table never jumps, but the system's clock may be set. A start that a
/// scrape has shown must not move then: Prometheus would take the counter for a new one. So what
/// started before the last scrape keeps its wall time, and only later starts follow the clock.
#[derive(Debug, Clone)]
pub struct WallClock {
    /// In the order of time. Never empty.
    settings: Vec<Setting>,
    /// When the clock was last compared.
    compared: u64,
}

/// What the system's clock was set to.
#[derive(Debug, Clone, Copy)]
struct Setting {
    /// The first start for which it counts, in the milliseconds of the table.
    since: u64,
    /// The wall time of the table's zero in milliseconds. Negative if the clock was set to a time
    /// before that.
    zero: i64,
}

impl WallClock {
    /// Settings are followed up to this number, so that a clock that is set all the time does not
    /// use up memory. Clocks are set a few times in the life of a process.
    const MOST_SETTINGS: usize = 1000;

    /// `zero` is the wall time at the zero of the table's time, in whole milliseconds since the
    /// Unix epoch.
    #[must_use]
    pub fn new(zero: Duration) -> Self {
        let zero = signed_millis(zero);
        Self {
            settings: vec![Setting { since: 0, zero }],
            compared: 0,
        }
    }

    /// Compares the clocks: the wall time was `wall` at a moment between `from` and `to` in the
    /// time of the table. Must be called for each scrape, before its starts are converted.
    pub fn compare(&mut self, from: Duration, wall: Duration, to: Duration) {
        let wall = signed_millis(wall);
        let earliest = wall - signed_millis(to);
        let latest = wall - signed_millis(from);
        let zero = self.last().zero;
        // Each of the times was rounded.
        let is_unchanged = (earliest - 1..=latest + 1).contains(&zero);
        if !is_unchanged && self.settings.len() < Self::MOST_SETTINGS {
            self.settings.push(Setting {
                since: self.compared + 1,
                zero: earliest,
            });
        }
        self.compared = u64::try_from(from.as_millis()).unwrap_or(u64::MAX);
    }

    /// Returns the wall time of the table's zero: when the counters of the process were 0.
    #[must_use]
    pub fn zero(&self) -> UnixMillis {
        self.settings[0].wall_time(0)
    }

    /// Returns the wall time of a start.
    #[must_use]
    pub fn of(&self, start: Start) -> UnixMillis {
        let start = start.millis();
        let last = self.last();
        if last.since <= start {
            return last.wall_time(start);
        }
        let mut settings = self.settings.iter().rev();
        let setting = settings.find(|setting| setting.since <= start);
        setting.unwrap_or(&self.settings[0]).wall_time(start)
    }

    fn last(&self) -> Setting {
        self.settings[self.settings.len() - 1]
    }
}

impl Setting {
    fn wall_time(self, millis: u64) -> UnixMillis {
        UnixMillis(
            self.zero
                .saturating_add_unsigned(millis)
                .max(0)
                .unsigned_abs(),
        )
    }
}

impl UnixMillis {
    /// Rounds a time since the Unix epoch down.
    #[must_use]
    pub fn of(time: Duration) -> Self {
        Self(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    /// Returns whole seconds, and the rest in milliseconds.
    pub(super) fn seconds_and_millis(self) -> (u64, usize) {
        let millis = usize::try_from(self.0 % 1000).expect("it is below 1000");
        (self.0 / 1000, millis)
    }
}

/// In seconds, such as `1700000000.007`.
impl Display for UnixMillis {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

fn signed_millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Checks the wall times of starts.
    #[track_caller]
    fn check(clock: &WallClock, expected: &[(u64, &str)]) {
        for &(start, wall) in expected {
            let start = Start::of_millis(start);
            assert_eq!(clock.of(start).to_string(), wall, "{start:?}");
        }
    }

    #[test]
    fn a_start_is_the_zero_plus_its_milliseconds() {
        let mut clock = WallClock::new(millis(1_700_000_000_500));
        assert_eq!(clock.zero().to_string(), "1700000000.500");
        let expected = [(0, "1700000000.500"), (1507, "1700000002.007")];
        check(&clock, &expected);
        // The wall time was read within 3 milliseconds: the clock runs as before.
        clock.compare(millis(2000), millis(1_700_000_002_502), millis(2003));
        check(&clock, &expected);
    }

    #[test]
    fn only_what_no_scrape_has_shown_follows_a_clock_that_was_set() {
        let mut clock = WallClock::new(millis(1_700_000_000_000));
        clock.compare(millis(10_000), millis(1_700_000_010_000), millis(10_000));
        // An hour back, then a day forward.
        clock.compare(millis(20_000), millis(1_699_996_420_000), millis(20_000));
        clock.compare(millis(30_000), millis(1_700_086_430_000), millis(30_000));
        clock.compare(millis(40_000), millis(1_700_086_440_000), millis(40_000));
        check(
            &clock,
            &[
                (0, "1700000000.000"),
                (10_000, "1700000010.000"),
                (10_001, "1699996410.001"),
                (20_000, "1699996420.000"),
                (20_001, "1700086420.001"),
                (50_000, "1700086450.000"),
            ],
        );
        assert_eq!(clock.zero().to_string(), "1700000000.000");
    }

    #[test]
    fn a_clock_set_to_the_epoch_does_not_wrap() {
        let mut clock = WallClock::new(millis(1_700_000_000_000));
        clock.compare(millis(60_000), millis(1000), millis(60_000));
        check(&clock, &[(1, "0.000"), (60_001, "1.001")]);
    }

    #[test]
    fn memory_is_bounded_under_a_clock_that_is_set_all_the_time() {
        let mut clock = WallClock::new(Duration::ZERO);
        for second in 0..2000 {
            let at = Duration::from_secs(second);
            clock.compare(at, at * 3, at);
        }
        assert_eq!(clock.settings.len(), 1000);
    }
}
