//! The wait before a capture is restarted. Reads no clock.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The shortest run that resets the wait. Without this minimum, a capture that always ends after a
/// second would be restarted every two seconds for ever.
const HEALTHY_RUN: Duration = Duration::from_secs(5);
const SHORTEST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// Exponential backoff: waits that double from half a second to 15 seconds, each with random jitter
/// of up to its own length. A run that was long enough resets it.
///
/// Long enough means at least [`HEALTHY_RUN`] and longer than the wait before the run. A capture
/// that dies now and then is therefore down for about a second each time, and never for longer than
/// it ran. A capture that fails at once is retried at least twice a minute.
#[derive(Debug)]
pub(super) struct Backoff {
    waits: ExponentialBackoff,
    last_wait: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self {
            waits: waits(),
            last_wait: Duration::ZERO,
        }
    }

    /// Returns how long to wait after a capture that ran for `ran`; zero if it never began.
    pub(super) fn wait_after(&mut self, ran: Duration) -> Duration {
        if ran >= HEALTHY_RUN && ran > self.last_wait {
            self.waits = waits();
        }
        self.last_wait = self.waits.next().unwrap_or(LONGEST_WAIT);
        self.last_wait
    }
}

fn waits() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(SHORTEST_WAIT)
        .with_max_delay(LONGEST_WAIT)
        .with_factor(2.0)
        .without_max_times()
        .with_jitter()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks pairs of a run and the shortest wait after it, in milliseconds. The jitter at most
    /// doubles a wait.
    #[track_caller]
    fn check(backoff: &mut Backoff, runs_and_waits: &[(u64, u64)]) {
        for &(ran, shortest) in runs_and_waits {
            let wait = backoff.wait_after(Duration::from_millis(ran));
            let shortest = Duration::from_millis(shortest);
            assert!(
                (shortest..=2 * shortest).contains(&wait),
                "{wait:?} after a run of {ran} ms, expected {shortest:?} to twice as much"
            );
        }
    }

    #[test]
    fn fast_failures_back_off_to_half_a_minute() {
        let failures = [500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000];
        check(&mut Backoff::new(), &failures.map(|wait| (0, wait)));
        check(&mut Backoff::new(), &failures.map(|wait| (4999, wait)));
    }

    #[test]
    fn a_run_longer_than_the_wait_before_it_resets_the_backoff() {
        let mut backoff = Backoff::new();
        let first_failures = [(0, 500), (0, 1000), (0, 2000)];
        check(&mut backoff, &first_failures);
        // The wait was 2 to 4 seconds.
        check(&mut backoff, &[(5000, 500), (5000, 500)]);
        let failures = [(0, 1000), (0, 2000), (0, 4000), (0, 8000), (0, 15_000)];
        check(&mut backoff, &failures);
        // The wait was 15 to 30 seconds.
        check(&mut backoff, &[(14_000, 15_000), (31_000, 500)]);
    }

    /// Found by a soak test of 900 seconds: when only a run of a minute reset the backoff, such a
    /// capture was down for 39 % of the time.
    #[test]
    fn a_capture_that_dies_every_45_seconds_is_down_for_about_a_second_each_time() {
        let mut backoff = Backoff::new();
        let run = Duration::from_secs(45);
        let mut time = Duration::ZERO;
        let mut down = Duration::ZERO;
        while time < Duration::from_mins(15) {
            let wait = backoff.wait_after(run);
            time += run + wait;
            down += wait;
        }
        assert!(down <= Duration::from_secs(20), "{down:?} of {time:?}");
    }
}
