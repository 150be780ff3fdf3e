//! Points in time as the table stores them: in 8 or 5 bytes instead of the 16 of a `Duration`.

use std::time::Duration;

/// A moment in the time of the table, in nanoseconds since a zero that the caller chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Moment(u64);

impl Moment {
    /// Converts a time. Times beyond 2^64 nanoseconds (584 years) become the latest moment.
    pub(super) fn of(at: Duration) -> Self {
        Self(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX))
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

/// The time at which a counter was 0 for the last time: that of its first packet, or up to a
/// millisecond earlier.
///
/// Whole milliseconds in the time of the table, big-endian. Each flow has one, so it takes as few
/// bytes as last for 34 years. Later starts become the latest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Start([u8; Self::BYTES]);

impl Start {
    pub(super) const BYTES: usize = 5;

    /// Rounds a moment down.
    pub(super) fn at(moment: Moment) -> Self {
        let latest = u64::MAX >> (u64::BITS - 8 * 5);
        let [_, _, _, bytes @ ..] = (moment.0 / 1_000_000).min(latest).to_be_bytes();
        Self(bytes)
    }

    /// Returns the milliseconds since zero.
    #[must_use]
    pub fn millis(self) -> u64 {
        let mut bytes = [0; size_of::<u64>()];
        bytes[size_of::<u64>() - Self::BYTES..].copy_from_slice(&self.0);
        u64::from_be_bytes(bytes)
    }

    #[cfg(test)]
    pub(crate) fn of_millis(millis: u64) -> Self {
        Self::at(Moment::of(Duration::from_millis(millis)))
    }

    pub(super) fn bytes(self) -> [u8; Self::BYTES] {
        self.0
    }

    pub(super) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_whole_milliseconds_for_34_years() {
        let millis = |at| Start::at(Moment::of(at)).millis();
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_nanos(1_999_999)), 1);
        let years = Duration::from_hours(24 * 365 * 34);
        assert_eq!(u128::from(millis(years)), years.as_millis());
        // 2^40 - 1, and later.
        for latest in [1_099_511_627_775, 1_099_511_627_776, u64::MAX] {
            assert_eq!(millis(Duration::from_millis(latest)), 1_099_511_627_775);
        }
    }
}
