//! The sources of names that a user can choose.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// A source of names, as it is written after `--names`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file in the format of hosts(5).
    Hosts(PathBuf),
    /// The leases of a DHCP server.
    Leases(PathBuf),
    /// DHCP in the mirrored traffic.
    Dhcp,
    /// Reverse DNS of private addresses.
    Resolve,
    /// Answers of name servers in the mirrored traffic.
    Dns,
}

/// Why a text is not a source of names.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SourceError {
    #[error("write one of hosts=FILE, leases=FILE, dhcp, resolve and dns")]
    Unknown,
    #[error("write the path of a file after '{0}='")]
    NoFile(&'static str),
    #[error("write the path of a file: '{0}=FILE'")]
    NoValue(&'static str),
    #[error("'{0}' takes no value")]
    Value(&'static str),
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let (kind, value) = match text.split_once('=') {
            Some((kind, value)) => (kind, Some(value)),
            None => (text, None),
        };
        match kind {
            "hosts" => file("hosts", value).map(Self::Hosts),
            "leases" => file("leases", value).map(Self::Leases),
            "dhcp" => without_value("dhcp", value, Self::Dhcp),
            "resolve" => without_value("resolve", value, Self::Resolve),
            "dns" => without_value("dns", value, Self::Dns),
            _ => Err(SourceError::Unknown),
        }
    }
}

fn file(kind: &'static str, value: Option<&str>) -> Result<PathBuf, SourceError> {
    match value {
        None => Err(SourceError::NoValue(kind)),
        Some("") => Err(SourceError::NoFile(kind)),
        Some(path) => Ok(path.into()),
    }
}

fn without_value(
    kind: &'static str,
    value: Option<&str>,
    source: Source,
) -> Result<Source, SourceError> {
    match value {
        None => Ok(source),
        Some(_) => Err(SourceError::Value(kind)),
    }
}

/// Writes the source as on the command line.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosts(path) => write!(f, "hosts={}", path.display()),
            Self::Leases(path) => write!(f, "leases={}", path.display()),
            Self::Dhcp => f.write_str("dhcp"),
            Self::Resolve => f.write_str("resolve"),
            Self::Dns => f.write_str("dns"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_written_as_they_are_parsed() {
        for text in ["hosts=/etc/hosts", "leases=a=b", "dhcp", "resolve", "dns"] {
            let source: Source = text.parse().expect(text);
            assert_eq!(source.to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let error = |text: &str| text.parse::<Source>().expect_err(text);
        assert_eq!(error("arp"), SourceError::Unknown);
        assert_eq!(error(""), SourceError::Unknown);
        assert_eq!(error("hosts"), SourceError::NoValue("hosts"));
        assert_eq!(error("leases="), SourceError::NoFile("leases"));
        assert_eq!(error("dhcp=eth0"), SourceError::Value("dhcp"));
    }
}
