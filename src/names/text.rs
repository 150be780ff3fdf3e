//! What a name may contain. Names come from strangers: a device chooses its own, and a name server
//! anything.

use std::fmt::{self, Write};
use std::sync::Arc;

use crate::printable::is_printable;

/// The maximum length of a name in bytes: that of a domain name in text (RFC 1035, section 2.3.4).
pub(super) const MAX_LENGTH: usize = 253;

/// The name of an address: 1 to 253 bytes of printable text. Quotes are allowed, so outputs that
/// have quotes escape them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(Arc<str>);

impl Name {
    /// Creates a name from any bytes; `None` if it would be empty or too long.
    ///
    /// A dot, spaces and zeros at the end are removed, and spaces at the beginning. Bytes that are
    /// not UTF-8, characters that are not printable, and backslashes are replaced by `\DDD`, their
    /// bytes in decimal, as zone files have it (RFC 1035, section 5.1).
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let bytes = trimmed(bytes);
        if bytes.len() > MAX_LENGTH {
            return None;
        }
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            for character in chunk.valid().chars() {
                if is_printable(character) {
                    text.push(character);
                } else {
                    push_escaped(&mut text, character.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            push_escaped(&mut text, chunk.invalid());
        }
        (1..=MAX_LENGTH)
            .contains(&text.len())
            .then(|| Self(text.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Some DHCP clients end their name with a zero, as C does.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes.trim_ascii_start();
    while let [rest @ .., 0 | b' ' | b'\t' | b'\r' | b'\n'] = bytes {
        bytes = rest;
    }
    bytes.strip_suffix(b".").unwrap_or(bytes)
}

fn push_escaped(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(text, "\\{byte:03}").expect("writing to a String does not fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: Option<&str>) {
        let name = Name::new(bytes);
        assert_eq!(name.as_ref().map(Name::as_str), expected);
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        check(b"laptop", Some("laptop"));
        check(b"John's iPhone", Some("John's iPhone"));
        check("Küche-\u{1f4fa}".as_bytes(), Some("Küche-\u{1f4fa}"));
        check(b"say \"hi\"", Some("say \"hi\""));
    }

    #[test]
    fn what_surrounds_a_name_is_removed() {
        check(b"host.example.org.", Some("host.example.org"));
        check(b" laptop\0\0", Some("laptop"));
        check(b"laptop\r\n", Some("laptop"));
        check(b"", None);
        check(b" \0", None);
        check(b".", None);
    }

    #[test]
    fn what_cannot_be_shown_is_escaped() {
        check(b"a\nb\x1b[31m", Some("a\\010b\\027[31m"));
        check(b"a\xffb", Some("a\\255b"));
        check("\u{85}".as_bytes(), Some("\\194\\133"));
        check("\u{202e}moc".as_bytes(), Some("\\226\\128\\174moc"));
        check(b"a\\b", Some("a\\092b"));
    }

    #[test]
    fn names_that_are_too_long_are_none() {
        let [fits, too_long] = [253, 254].map(|length| "x".repeat(length));
        check(fits.as_bytes(), Some(&fits));
        check(too_long.as_bytes(), None);
        check(&[1; 63], Some(&"\\001".repeat(63)));
        check(&[1; 64], None);
    }
}
