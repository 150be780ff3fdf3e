//! Countries, as their two letters.

use std::fmt;

/// Codes that databases give to addresses of which they do not know the country. ISO 3166-1 leaves
/// both to its users.
const UNKNOWN: [&[u8; 2]; 2] = [b"XX", b"ZZ"];

/// A country as its ISO 3166-1 code: two upper-case letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// Creates a country from two letters. `None` if the text is anything else, or one of the codes
    /// that mean an unknown country.
    #[must_use]
    pub fn new(code: &str) -> Option<Self> {
        let code: [u8; 2] = code.as_bytes().try_into().ok()?;
        let code = code.map(|letter| letter.to_ascii_uppercase());
        let is_known = code.iter().all(u8::is_ascii_uppercase) && !UNKNOWN.contains(&&code);
        is_known.then_some(Self(code))
    }

    /// Returns a number of at most 10 bits: 1 for AA to 676 for ZZ.
    pub(crate) fn number(self) -> u16 {
        let [first, second] = self.0.map(|letter| u16::from(letter - b'A'));
        first * 26 + second + 1
    }

    /// Reverses [`number`](Self::number). `None` for any other number.
    pub(crate) fn from_number(number: u16) -> Option<Self> {
        let index = number.checked_sub(1)?;
        let letter = |position: u16| Some(b'A' + u8::try_from(position).ok()?);
        (index < 26 * 26).then_some(Self([letter(index / 26)?, letter(index % 26)?]))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("letters are ASCII")
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, expected: Option<&str>) {
        let country = Country::new(code);
        assert_eq!(country.as_ref().map(Country::as_str), expected);
    }

    #[test]
    fn a_country_is_two_letters() {
        check("DE", Some("DE"));
        check("de", Some("DE"));
        for other in ["", "D", "DEU", "D1", "--", "\u{e4}", "Germany"] {
            check(other, None);
        }
    }

    #[test]
    fn countries_are_numbered_in_their_order() {
        for (code, number) in [("AA", 1), ("AZ", 26), ("BA", 27), ("ZY", 675)] {
            let country = Country::new(code).expect("a country");
            assert_eq!(country.number(), number);
            assert_eq!(Country::from_number(number), Some(country));
        }
        assert_eq!(Country::from_number(0), None);
        assert_eq!(Country::from_number(677), None);
    }

    #[test]
    fn codes_that_mean_an_unknown_country_are_none() {
        check("ZZ", None);
        check("xx", None);
    }
}
