//! The files in which DHCP servers store their leases. A server removes or marks the leases that
//! have ended, by its own clock, so times are not read.

mod dnsmasq;
mod isc;
mod kea;

use super::file_names::{FileError, FileNames};

/// Parses a file of dnsmasq, ISC dhcpd or Kea, which its content tells apart.
pub(super) fn parse(content: &[u8]) -> Result<FileNames, FileError> {
    let text = String::from_utf8_lossy(content);
    let first = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'));
    match first {
        // A server that has given no lease yet.
        None => Ok(FileNames::default()),
        Some(line) if kea::is_header(line) => kea::parse(&text),
        Some(line) if dnsmasq::is_lease(line) => dnsmasq::parse(&text),
        Some(line) if isc::is_statement(line) => Ok(isc::parse(&text)),
        Some(_) => Err(FileError::UnknownFormat),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::IpAddr;

    use super::*;

    #[track_caller]
    pub(super) fn check(content: &str, expected: &[(&str, &str)]) {
        let names = parse(content.as_bytes()).expect("leases");
        let found: Vec<_> = names
            .iter()
            .map(|(address, name)| (*address, name.as_str()))
            .collect();
        let expected: Vec<(IpAddr, &str)> = expected
            .iter()
            .map(|(address, name)| (address.parse().expect("an address"), *name))
            .collect();
        assert_eq!(found, expected);
    }

    #[track_caller]
    pub(super) fn check_refused(content: &str, expected: &str) {
        let error = parse(content.as_bytes()).expect_err("no leases");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_server_without_leases_knows_no_name() {
        check("", &[]);
        check("# The format of this file is documented.\n\n", &[]);
    }

    #[test]
    fn other_files_are_refused() {
        let unknown = "not the leases of dnsmasq, ISC dhcpd or Kea";
        check_refused("127.0.0.1 localhost\n", unknown);
        check_refused("{\"leases\": []}\n", unknown);
        check_refused("\u{7f}ELF\0\0\n", unknown);
    }
}
