//! Points in time as the table stores them: 8 bytes instead of the 16 of a `Duration`.

use std::time::Duration;

/// A moment in the time of the table, in nanoseconds since a zero that the caller chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Moment(u64);

impl Moment {
    /// Converts a time. Times beyond 2^64 nanoseconds (584 years) become the latest moment.
    pub(super) fn of(at: Duration) -> Self {
        let seconds = at.as_secs().saturating_mul(1_000_000_000);
        Self(seconds.saturating_add(at.subsec_nanos().into()))
    }

    /// Whether this moment is at least `duration` before `now`.
    pub(super) fn is_older(self, duration: Duration, now: Self) -> bool {
        Duration::from_nanos(now.0.saturating_sub(self.0)) >= duration
    }

    pub(super) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(Self::of(duration).0))
    }

    /// Returns the time since zero.
    pub(super) fn duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}
