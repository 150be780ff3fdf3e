use std::time::{Duration, SystemTime};

/// Dates have four digits for the year: 9999-12-31 23:59:59 is the last one.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// A time since the Unix epoch as RFC 3339 writes it; all that is later, as the last one.
pub(crate) fn rfc3339<D: std::fmt::Display>(at: Duration, format: fn(SystemTime) -> D) -> String {
    format(SystemTime::UNIX_EPOCH + at.min(LAST)).to_string()
}
