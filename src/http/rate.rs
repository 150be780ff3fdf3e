//! A token bucket that all requests share: `rate_limit` of the web configuration.

use std::sync::Mutex;
use std::time::Instant;

use super::config::Rate;

/// Limits the rate of requests.
#[derive(Default)]
pub(super) struct RateLimiter(Mutex<Option<Bucket>>);

#[derive(Clone, Copy)]
struct Bucket {
    rate: Rate,
    /// When the bucket will be full again. Stored instead of the number of tokens: no timer has to
    /// refill it.
    full: Instant,
}

impl RateLimiter {
    /// Takes a token for a request. Returns whether one was left, so whether the request is
    /// admitted. A changed rate starts with a full bucket; without a rate, everything is admitted.
    pub(super) fn take_token(&self, rate: Option<Rate>, now: Instant) -> bool {
        let Some(rate) = rate else {
            return true;
        };
        let mut bucket = self.0.lock().expect("no thread panics while it holds it");
        let full = match *bucket {
            Some(bucket) if bucket.rate == rate => bucket.full.max(now),
            _ => now,
        };
        let missing = full.duration_since(now);
        let is_admitted = missing <= rate.interval.saturating_mul(rate.burst - 1);
        let full = full
            .checked_add(rate.interval)
            .filter(|_| is_admitted)
            .unwrap_or(full);
        *bucket = Some(Bucket { rate, full });
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_one_more_after_each_interval() {
        let limiter = RateLimiter::default();
        let begin = Instant::now();
        let rate = Some(Rate {
            interval: Duration::from_secs(1),
            burst: 3,
        });
        let admitted = |milliseconds| {
            let now = begin + Duration::from_millis(milliseconds);
            (0..10).filter(|_| limiter.take_token(rate, now)).count()
        };
        assert_eq!(admitted(0), 3);
        assert_eq!(admitted(999), 0);
        assert_eq!(admitted(1000), 1);
        assert_eq!(admitted(3500), 2);
        assert_eq!(admitted(4000), 1);
        assert_eq!(admitted(60_000), 3);
        assert!(limiter.take_token(None, begin));
    }
}
