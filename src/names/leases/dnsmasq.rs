//! dnsmasq: one lease on each line, sorted by nothing.
//!
//! ```text
//! 1700000000 02:00:00:00:00:0a 192.168.1.10 laptop 01:02:00:00:00:00:0a
//! duid 00:01:00:01:2c:aa:bb:cc:02:00:00:00:00:01
//! 1700000000 12345678 2001:db8::10 laptop 00:01:00:01:2c:aa:bb:cc:02:00:00:00:00:0a
//! ```
//!
//! The columns: when the lease ends, the hardware address (for DHCPv6 the identity association),
//! the address, the name or `*`, and the identifier of the client or `*`.

use std::net::IpAddr;

use super::super::file_names::{FileError, FileNames};
use super::super::text::Name;

/// The identifier of the server, above the leases of DHCPv6.
const SERVER: &str = "duid ";
/// The name of a client that gave none.
const NO_NAME: &str = "*";

/// Whether this is a line of the file.
pub(super) fn is_lease(line: &str) -> bool {
    line.starts_with(SERVER) || lease(line).is_some()
}

pub(super) fn parse(text: &str) -> Result<FileNames, FileError> {
    let mut names = FileNames::default();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with(SERVER) {
            continue;
        }
        let (address, name) =
            lease(line).ok_or_else(|| FileError::line(number, "no lease", line.as_bytes()))?;
        if name != NO_NAME
            && let Some(name) = Name::new(name.as_bytes())
        {
            names.insert(address, name);
        }
    }
    Ok(names)
}

/// Returns address and name.
fn lease(line: &str) -> Option<(IpAddr, &str)> {
    let mut words = line.split_ascii_whitespace();
    let end = words.next()?;
    let _hardware = words.next()?;
    let address = words.next()?.parse().ok()?;
    let name = words.next()?;
    let _client = words.next()?;
    end.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some((address, name))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, check_refused};

    #[test]
    fn leases_have_names() {
        check(
            "1700000000 02:00:00:00:00:0a 192.168.1.10 laptop 01:02:00:00:00:00:0a\n\
             0 02:00:00:00:00:0b 192.168.1.11 * *\n\
             0 06-02:00:00:00:00:0c 192.168.1.12 printer *\n\
             duid 00:01:00:01:2c:aa:bb:cc:02:00:00:00:00:01\n\
             1700000000 12345678 2001:db8::10 laptop 00:01:00:01\n\
             1700000000 T12345678 2001:db8::11 tablet 00:01:00:02\n",
            &[
                ("192.168.1.10", "laptop"),
                ("192.168.1.12", "printer"),
                ("2001:db8::10", "laptop"),
                ("2001:db8::11", "tablet"),
            ],
        );
    }

    #[test]
    fn a_lease_that_is_half_written_is_an_error() {
        check_refused(
            "1700000000 02:00:00:00:00:0a 192.168.1.10 laptop *\n\
             1700000000 02:00:00:00:00:0b 192.168.1\n",
            "line 2: no lease: '1700000000 02:00:00:00:00:0b 192.168.1'",
        );
    }
}
