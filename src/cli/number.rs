//! Numbers on the command line, with the range that is accepted in each error.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Returns a value parser for numbers in `range`.
pub(super) fn number<T>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("write a number from {} to {}", range.start(), range.end()))
    }
}

/// Parses a number of any size.
pub(super) fn any_number(text: &str) -> Result<usize, &'static str> {
    text.parse().map_err(|_| "write a whole number such as 40")
}
