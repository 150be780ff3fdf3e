//! Numbers as people read them.

use std::time::Duration;

use indicatif::{DecimalBytes, HumanCount};

pub(crate) fn number(number: u64) -> String {
    HumanCount(number).to_string()
}

/// A number of things.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", HumanCount(number))
}

pub(crate) fn bytes(bytes: u64) -> String {
    DecimalBytes(bytes).to_string()
}

/// None of what took no time.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is not negative, and one beyond 2^64 may be shown as that"
)]
pub(crate) fn bits_per_second(bytes: u64, time: Duration) -> Option<String> {
    if time.is_zero() {
        return None;
    }
    let rate = bytes as f64 * 8.0 / time.as_secs_f64();
    let rate = DecimalBytes(rate.round() as u64).to_string();
    Some(rate.trim_end_matches('B').to_owned() + "bit/s")
}

/// To the second, or to the millisecond where there are none.
pub(crate) fn duration(time: Duration) -> String {
    let time = if time < Duration::from_secs(10) {
        Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or_default())
    } else {
        Duration::from_secs(time.as_secs())
    };
    humantime::format_duration(time).to_string()
}

/// How much of all bytes these are.
pub(crate) fn share(bytes: u64, all: u64) -> String {
    let percent = if all == 0 {
        0.0
    } else {
        bytes as f64 * 100.0 / all as f64
    };
    if percent > 0.0 && percent < 0.1 {
        return "<0.1 %".to_owned();
    }
    format!("{percent:.1} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_decimal() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1500), "1.50 kB");
        assert_eq!(bytes(3_420_000_000), "3.42 GB");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(count(1, "packet"), "1 packet");
        assert_eq!(count(1000, "packet"), "1,000 packets");
    }

    #[test]
    fn rates_are_of_bits() {
        let second = Duration::from_secs(1);
        assert_eq!(bits_per_second(100, second).as_deref(), Some("800 bit/s"));
        assert_eq!(
            bits_per_second(1_000_000, 2 * second).as_deref(),
            Some("4.00 Mbit/s")
        );
        assert_eq!(bits_per_second(100, Duration::ZERO), None);
    }

    #[test]
    fn shares_are_in_percent() {
        assert_eq!(share(1, 3), "33.3 %");
        assert_eq!(share(3, 3), "100.0 %");
        assert_eq!(share(1, 10_000), "<0.1 %");
        assert_eq!(share(0, 10), "0.0 %");
        assert_eq!(share(0, 0), "0.0 %");
    }

    #[test]
    fn times_are_as_exact_as_it_matters() {
        assert_eq!(duration(Duration::from_micros(1_750_001)), "1s 750ms");
        assert_eq!(duration(Duration::from_millis(312_600)), "5m 12s");
        assert_eq!(duration(Duration::ZERO), "0s");
    }
}
