//! Numbers as people read them: with separators, decimal units and plurals.

use std::time::Duration;

/// Decimal prefixes, each a thousand times the one before.
const PREFIXES: [&str; 6] = ["k", "M", "G", "T", "P", "E"];

/// Formats a number with a comma before each three digits: `1,234,567`.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a number of things: `1 packet`, `1,000 packets`.
pub(crate) fn count(things: u64, noun: &str) -> String {
    format!("{} {}", number(things), plural(things, noun))
}

/// Returns the noun as it follows this number: `1` packet, `2` packets.
pub(crate) fn plural(things: u64, noun: &str) -> String {
    let ending = if things == 1 { "" } else { "s" };
    format!("{noun}{ending}")
}

/// Formats a number of bytes: `999 B`, `1.50 kB`.
pub(crate) fn bytes(bytes: u64) -> String {
    scaled(bytes as f64, "B")
}

/// Formats an average rate: `1.20 kbit/s`. `None` if no time passed.
pub(crate) fn bits_per_second(bytes: u64, time: Duration) -> Option<String> {
    if time.is_zero() {
        return None;
    }
    let rate = bytes as f64 * 8.0 / time.as_secs_f64();
    Some(scaled(rate.round(), "bit/s"))
}

/// Formats a rate in bits per second: `1.20 kbit/s`.
pub(crate) fn rate(bits: u64) -> String {
    scaled(bits as f64, "bit/s")
}

/// Formats a round rate in bits per second, with the unit of another one: `0.2 Mbit/s`, with that
/// of 1,000,000.
pub(crate) fn round_rate(bits: u64, unit_of: u64) -> String {
    let mut unit = 1;
    let mut prefix = "";
    for larger in PREFIXES {
        if unit_of / unit < 1000 {
            break;
        }
        unit *= 1000;
        prefix = larger;
    }
    format!("{} {prefix}bit/s", bits as f64 / unit as f64)
}

/// Formats a whole amount with three or more significant digits and a prefix, if it needs one.
fn scaled(amount: f64, unit: &str) -> String {
    let mut amount = amount;
    let mut prefix = None;
    for larger in PREFIXES {
        if amount < 1000.0 {
            break;
        }
        amount /= 1000.0;
        prefix = Some(larger);
    }
    match prefix {
        Some(prefix) => format!("{amount:.2} {prefix}{unit}"),
        None => format!("{amount:.0} {unit}"),
    }
}

/// Formats a duration to the second, or below ten seconds to the millisecond: `5m 12s`,
/// `1s 750ms`.
pub(crate) fn duration(time: Duration) -> String {
    let time = if time < Duration::from_secs(10) {
        Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or_default())
    } else {
        Duration::from_secs(time.as_secs())
    };
    humantime::format_duration(time).to_string()
}

/// Formats a part of a sum in percent: `33.3 %`, and `<0.1 %` for what would round to nothing.
pub(crate) fn share(part: u64, all: u64) -> String {
    let percent = if all == 0 {
        0.0
    } else {
        part as f64 * 100.0 / all as f64
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
    fn bytes_have_decimal_units() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1000), "1.00 kB");
        assert_eq!(bytes(1500), "1.50 kB");
        // Rounded after the unit was chosen.
        assert_eq!(bytes(999_999), "1000.00 kB");
        assert_eq!(bytes(3_420_000_000), "3.42 GB");
        assert_eq!(bytes(u64::MAX), "18.45 EB");
    }

    #[test]
    fn thousands_are_separated() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1000), "1,000");
        assert_eq!(number(100_000), "100,000");
        assert_eq!(number(1_234_567), "1,234,567");
    }

    #[test]
    fn only_one_is_singular() {
        assert_eq!(count(0, "packet"), "0 packets");
        assert_eq!(count(1, "packet"), "1 packet");
        assert_eq!(count(1000, "packet"), "1,000 packets");
    }

    #[test]
    fn rates_are_in_bits() {
        let second = Duration::from_secs(1);
        assert_eq!(bits_per_second(100, second).as_deref(), Some("800 bit/s"));
        assert_eq!(
            bits_per_second(1_000_000, 2 * second).as_deref(),
            Some("4.00 Mbit/s")
        );
        assert_eq!(bits_per_second(100, Duration::ZERO), None);
        assert_eq!(rate(999), "999 bit/s");
        assert_eq!(rate(1200), "1.20 kbit/s");
    }

    #[test]
    fn round_rates_have_a_common_unit() {
        assert_eq!(round_rate(500, 999), "500 bit/s");
        assert_eq!(round_rate(600_000, 1_000_000), "0.6 Mbit/s");
        assert_eq!(round_rate(20_000, 80_000), "20 kbit/s");
        assert_eq!(round_rate(0, u64::MAX), "0 Ebit/s");
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
    fn durations_below_ten_seconds_have_milliseconds() {
        assert_eq!(duration(Duration::from_micros(1_750_001)), "1s 750ms");
        assert_eq!(duration(Duration::from_millis(312_600)), "5m 12s");
        assert_eq!(duration(Duration::ZERO), "0s");
    }
}
