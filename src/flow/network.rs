//! Values of the options `--network` and `--prefix-length`: `office=192.0.2.0/24`, `public=24/48`.

use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

/// The value of a label in series that count several flows together.
pub const OTHER: &str = "other";

const LONGEST_NAME: usize = 64;

/// A name for the addresses in a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub(super) name: String,
    pub(super) range: IpNet,
}

/// The number of bits that are shown of the addresses in a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixLength {
    pub(super) name: String,
    /// 0 to 32; 32 shows them whole.
    pub(super) ipv4: u8,
    /// 0 to 128; 128 shows them whole.
    pub(super) ipv6: u8,
}

/// Why a text is not a network or a prefix length.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NetworkError {
    #[error("write a name and an address range, such as office=192.0.2.0/24")]
    NoNetwork,
    #[error("'{0}' is not an address range: write one such as 192.0.2.0/24 or 2001:db8::/32")]
    Range(String),
    #[error("{0} has bits set after its prefix: the range is {1}")]
    HostBits(IpNet, IpNet),
    #[error("write a name and a prefix length, such as public=24 or public=24/48")]
    NoLength,
    #[error(
        "'{0}' is not a prefix length: write one from 0 to 128, or one for IPv4 and one for IPv6 \
         such as 24/48"
    )]
    Length(String),
    #[error("'{0}' is not a name: write 1 to {LONGEST_NAME} letters, digits, '_', '.' or '-'")]
    Name(String),
    #[error("the name '{OTHER}' is reserved for flows beyond the limit")]
    Other,
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (name, range) = text.split_once('=').ok_or(NetworkError::NoNetwork)?;
        let name = checked(name)?;
        let range: IpNet = range
            .parse()
            .map_err(|_| NetworkError::Range(range.to_owned()))?;
        if range.addr() != range.network() {
            return Err(NetworkError::HostBits(range, range.trunc()));
        }
        Ok(Self { name, range })
    }
}

impl FromStr for PrefixLength {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (name, lengths) = text.split_once('=').ok_or(NetworkError::NoLength)?;
        let name = checked(name)?;
        let length = |digits: &str, longest: u8| {
            let length = digits.parse::<u8>().ok();
            let length = length.filter(|length| *length <= longest);
            length.ok_or_else(|| NetworkError::Length(lengths.to_owned()))
        };
        let (ipv4, ipv6) = if let Some((ipv4, ipv6)) = lengths.split_once('/') {
            (length(ipv4, 32)?, length(ipv6, 128)?)
        } else {
            let both = length(lengths, 128)?;
            (both.min(32), both)
        };
        Ok(Self { name, ipv4, ipv6 })
    }
}

/// Returns the name if it is valid. Such names need no escaping in the exposition.
fn checked(name: &str) -> Result<String, NetworkError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_allowed) {
        return Err(NetworkError::Name(name.to_owned()));
    }
    if name == OTHER {
        return Err(NetworkError::Other);
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_a_name_and_a_range() {
        let network: Network = "lan.1-a_B=2001:db8::/32".parse().expect("a network");
        assert_eq!(network.name, "lan.1-a_B");
        assert_eq!(network.range.to_string(), "2001:db8::/32");

        let error = |text: &str| text.parse::<Network>().expect_err("not a network");
        assert_eq!(error("10.0.0.0/8"), NetworkError::NoNetwork);
        assert_eq!(error("a=10.0.0.0"), NetworkError::Range("10.0.0.0".into()));
        assert_eq!(
            error("a=1.0.0.0/33"),
            NetworkError::Range("1.0.0.0/33".into())
        );
        assert_eq!(error("=10.0.0.0/8"), NetworkError::Name(String::new()));
        assert_eq!(error("a b=10.0.0.0/8"), NetworkError::Name("a b".into()));
        assert_eq!(
            error("\u{e4}=10.0.0.0/8"),
            NetworkError::Name("\u{e4}".into())
        );
        assert_eq!(error("other=10.0.0.0/8"), NetworkError::Other);
        let long = "x".repeat(65);
        assert_eq!(
            error(&format!("{long}=10.0.0.0/8")),
            NetworkError::Name(long)
        );
        assert_eq!(
            error("a=10.1.2.3/8").to_string(),
            "10.1.2.3/8 has bits set after its prefix: the range is 10.0.0.0/8"
        );
    }

    #[test]
    fn a_prefix_length_is_one_for_both_ip_versions_or_one_for_each() {
        let lengths = |text: &str| {
            let parsed: PrefixLength = text.parse().expect("a prefix length");
            (parsed.ipv4, parsed.ipv6)
        };
        assert_eq!(lengths("public=0"), (0, 0));
        assert_eq!(lengths("public=24"), (24, 24));
        assert_eq!(lengths("public=48"), (32, 48));
        assert_eq!(lengths("public=24/48"), (24, 48));
        let error = |text: &str| {
            text.parse::<PrefixLength>()
                .expect_err("not a prefix length")
        };
        assert_eq!(error("public"), NetworkError::NoLength);
        for wrong in ["129", "33/48", "24/129", "-1", "", "24/", "24/48/1"] {
            assert_eq!(
                error(&format!("x={wrong}")),
                NetworkError::Length(wrong.into())
            );
        }
    }
}
