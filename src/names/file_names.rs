//! The names in a file, and why a file has none.

use std::collections::BTreeMap;
use std::net::IpAddr;

use thiserror::Error;

use super::text::Name;

/// The names in a file, by address.
pub(super) type FileNames = BTreeMap<IpAddr, Name>;

/// Why the content of a file cannot be used.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub(super) enum FileError {
    #[error("line {number}: {problem}: '{text}'")]
    Line {
        number: usize,
        problem: &'static str,
        text: String,
    },
    #[error("not the leases of dnsmasq, ISC dhcpd or Kea")]
    UnknownFormat,
}

impl FileError {
    /// Creates the error of a line, counted from 0, and quotes the word that it is about.
    pub(super) fn line(number: usize, problem: &'static str, word: &[u8]) -> Self {
        const QUOTED: usize = 60;

        let word = word.get(..QUOTED).unwrap_or(word);
        let text = Name::new(word).map_or_else(String::new, |word| word.to_string());
        Self::Line {
            number: number + 1,
            problem,
            text,
        }
    }
}
