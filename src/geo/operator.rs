//! Network operators: the autonomous systems that announce addresses.

use std::fmt;
use std::sync::Arc;

use crate::printable::is_printable;

/// The maximum length of the text in bytes, so that a label stays readable.
const MAX_LENGTH: usize = 64;

/// A network operator: the number of its autonomous system and its organisation, such as
/// `AS15169 GOOGLE`. At most 64 bytes of printable text; quotes are allowed, so outputs that have
/// quotes escape them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operator {
    number: u32,
    text: Arc<str>,
}

impl Operator {
    /// Creates an operator. The organisation may be unknown (empty). `None` for number 0, which no
    /// network may use (RFC 7607).
    #[must_use]
    pub fn new(number: u32, organization: &str) -> Option<Self> {
        if number == 0 {
            return None;
        }
        let mut text = format!("AS{number}");
        for word in organization
            .split(|character: char| character.is_whitespace() || !is_printable(character))
        {
            if word.is_empty() {
                continue;
            }
            text.push(' ');
            let room = MAX_LENGTH.saturating_sub(text.len());
            text.push_str(&word[..word.floor_char_boundary(room)]);
            if text.len() >= MAX_LENGTH || word.len() > room {
                break;
            }
        }
        Some(Self {
            number,
            text: text.trim_end().into(),
        })
    }

    /// Returns the number of the autonomous system. Never 0.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(number: u32, organization: &str, expected: &str) {
        let operator = Operator::new(number, organization).expect("an operator");
        assert_eq!(operator.as_str(), expected);
    }

    #[test]
    fn an_operator_is_a_number_and_an_organization() {
        check(15169, "GOOGLE", "AS15169 GOOGLE");
        check(4_294_967_295, "Größe \"1\"", "AS4294967295 Größe \"1\"");
        check(1, "", "AS1");
        assert_eq!(Operator::new(0, "GOOGLE"), None);
    }

    #[test]
    fn spaces_and_what_does_not_show_become_one_space() {
        check(1, "  a\t\tb\n", "AS1 a b");
        check(1, "a\u{202e}b\\c\u{0}", "AS1 a b c");
        check(1, " \u{7f} ", "AS1");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let x = |length: usize| "x".repeat(length);
        check(1, &x(60), &format!("AS1 {}", x(60)));
        check(1, &x(61), &format!("AS1 {}", x(60)));
        // The letter takes two bytes, of which only one has room.
        check(1, &format!("{}\u{e4}bc", x(59)), &format!("AS1 {}", x(59)));
        check(1, &format!("{} bc", x(59)), &format!("AS1 {}", x(59)));
        check(1, &format!("{} bc", x(58)), &format!("AS1 {} b", x(58)));
    }
}
