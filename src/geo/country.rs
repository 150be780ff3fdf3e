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
    fn codes_that_mean_an_unknown_country_are_none() {
        check("ZZ", None);
        check("xx", None);
    }
}
