//! Times as text.

use std::time::{Duration, SystemTime};

/// The last time with a year of four digits: 9999-12-31 23:59:59.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// Formats a time since the Unix epoch as RFC 3339, to the second: `2024-01-15T10:05:00Z`.
///
/// A capture may claim any time. What is later than the year 9999 is shown as its last second.
pub(crate) fn seconds(at: Duration) -> String {
    let at = SystemTime::UNIX_EPOCH + at.min(LAST);
    humantime::format_rfc3339_seconds(at).to_string()
}

/// Formats a time as [`seconds`] does, to the nanosecond.
///
/// The times of Windows, on which `SystemTime` is based there, are multiples of 100 nanoseconds.
pub(crate) fn nanoseconds(at: Duration) -> String {
    let at = at.min(LAST);
    let whole = seconds(at);
    let whole = whole.trim_end_matches('Z');
    format!("{whole}.{:09}Z", at.subsec_nanos())
}

/// Formats a time for people, to the second: `2024-01-15 10:05:00Z`.
pub(crate) fn moment(at: Duration) -> String {
    seconds(at).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc() {
        // 19,737 days after 1970-01-01.
        let at = Duration::new(19_737 * 86_400 + 10 * 3600 + 5 * 60, 1);
        assert_eq!(seconds(at), "2024-01-15T10:05:00Z");
        assert_eq!(moment(at), "2024-01-15 10:05:00Z");
        assert_eq!(nanoseconds(at), "2024-01-15T10:05:00.000000001Z");
    }

    #[test]
    fn the_last_year_is_9999() {
        assert_eq!(seconds(Duration::MAX), "9999-12-31T23:59:59Z");
        assert_eq!(nanoseconds(Duration::MAX), "9999-12-31T23:59:59.000000000Z");
    }
}
