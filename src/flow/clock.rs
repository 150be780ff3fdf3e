use std::time::Duration;

/// A moment in the table's time, in nanoseconds since whatever the caller counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Moment(u64);

impl Moment {
    /// Moments beyond the year 2554 are alike.
    pub(super) fn of(at: Duration) -> Self {
        let seconds = at.as_secs().saturating_mul(1_000_000_000);
        Self(seconds.saturating_add(at.subsec_nanos().into()))
    }

    /// Whether so much time has passed since then.
    pub(super) fn is_over(self, duration: Duration, now: Self) -> bool {
        Duration::from_nanos(now.0.saturating_sub(self.0)) >= duration
    }

    pub(super) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(Self::of(duration).0))
    }

    pub(super) fn duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}
