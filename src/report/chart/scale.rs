//! The axis of rates: round numbers in a unit that fits.

use super::super::units;

/// The smallest distance of two ticks, in bits per second. A network without traffic thus has an
/// axis too.
const LEAST_STEP: u64 = 500;
/// The number of ticks above zero.
const MOST_TICKS: u64 = 4;

/// An axis from zero to a whole number of equal steps, in bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    step: u64,
    ticks: u64,
}

impl Scale {
    /// The axis for rates up to this one. Its step is 1, 2 or 5 times a power of ten.
    pub(super) fn up_to(most: u64) -> Self {
        let mut step = LEAST_STEP;
        while step.saturating_mul(MOST_TICKS) < most {
            // 1 to 2 to 5 to 10: all but 2 are doubled.
            step = match leading_digit(step) {
                2 => step / 2 * 5,
                _ => step.saturating_mul(2),
            };
        }
        Self {
            step,
            ticks: most.div_ceil(step).max(2),
        }
    }

    /// The rates of the ticks, without zero.
    pub(super) fn ticks(self) -> impl Iterator<Item = u64> {
        (1..=self.ticks).map(move |tick| self.step.saturating_mul(tick))
    }

    /// The position of a rate on an axis of this length.
    pub(super) fn position(self, rate: u64, length: u64) -> u64 {
        let top = u128::from(self.step) * u128::from(self.ticks);
        let position = u128::from(rate) * u128::from(length) / top;
        u64::try_from(position).map_or(length, |position| position.min(length))
    }

    /// A tick as text. All have the unit of the highest one.
    pub(super) fn label(self, rate: u64) -> String {
        units::round_rate(rate, self.step.saturating_mul(self.ticks))
    }
}

fn leading_digit(number: u64) -> u64 {
    number / 10_u64.pow(number.checked_ilog10().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(most: u64, expected: &[&str]) {
        let scale = Scale::up_to(most);
        let labels: Vec<_> = scale.ticks().map(|tick| scale.label(tick)).collect();
        assert_eq!(labels, expected);
        let top = scale.position(most, 1000);
        assert!(top <= 1000, "{top}");
    }

    #[test]
    fn ticks_are_round_and_have_one_unit() {
        check(0, &["0.5 kbit/s", "1 kbit/s"]);
        check(1000, &["0.5 kbit/s", "1 kbit/s"]);
        check(1001, &["0.5 kbit/s", "1 kbit/s", "1.5 kbit/s"]);
        check(2001, &["1 kbit/s", "2 kbit/s", "3 kbit/s"]);
        check(4001, &["2 kbit/s", "4 kbit/s", "6 kbit/s"]);
        check(9999, &["5 kbit/s", "10 kbit/s"]);
        check(
            750_000,
            &["200 kbit/s", "400 kbit/s", "600 kbit/s", "800 kbit/s"],
        );
        check(1_400_000, &["0.5 Mbit/s", "1 Mbit/s", "1.5 Mbit/s"]);
        check(940_000_000, &["0.5 Gbit/s", "1 Gbit/s"]);
    }

    #[test]
    fn the_highest_rate_has_a_position() {
        let scale = Scale::up_to(u64::MAX);
        let position = scale.position(u64::MAX, 1000);
        assert!((400..=1000).contains(&position), "{position}");
        assert!(scale.ticks().count() <= 4);
    }

    #[test]
    fn positions_are_proportional() {
        let scale = Scale::up_to(9999);
        assert_eq!(scale.position(0, 1000), 0);
        assert_eq!(scale.position(2500, 1000), 250);
        assert_eq!(scale.position(10_000, 1000), 1000);
    }
}
