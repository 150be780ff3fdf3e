//! Files in the format of hosts(5): an address and its names on each line.

use std::net::IpAddr;

use super::file_names::{FileError, FileNames};
use super::text::Name;

/// Parses a file. The first name of the first line with an address wins, as in the C library.
pub(super) fn parse(content: &[u8]) -> Result<FileNames, FileError> {
    let mut names = FileNames::default();
    for (number, line) in content.split(|&byte| byte == b'\n').enumerate() {
        let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let Some(word) = words.next() else {
            continue;
        };
        let address = address(word).ok_or_else(|| FileError::line(number, "no address", word))?;
        let name = words
            .next()
            .ok_or_else(|| FileError::line(number, "no name behind", word))?;
        if let Some(name) = Name::new(name) {
            names.entry(address).or_insert(name);
        }
    }
    Ok(names)
}

/// Parses an address. The scope of a link-local one (`fe80::1%eth0`) is ignored.
fn address(word: &[u8]) -> Option<IpAddr> {
    let word = str::from_utf8(word).ok()?;
    let (address, _) = word.split_once('%').unwrap_or((word, ""));
    address.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(content: &str, expected: &[(&str, &str)]) {
        let names = parse(content.as_bytes()).expect("a hosts file");
        let found: Vec<_> = names.iter().collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(address, name)| {
                let address: IpAddr = address.parse().expect("an address");
                (address, Name::new(name.as_bytes()).expect("a name"))
            })
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(address, name)| (address, name))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_first_name_of_the_first_line_wins() {
        check(
            "127.0.0.1 localhost\n\
             # a comment\n\
             \n\
             192.168.1.10\tnas.lan   nas # the storage\r\n\
             192.168.1.10 other\n\
             fe80::1%lo0 loopback\n\
             2001:db8::1 six.",
            &[
                ("127.0.0.1", "localhost"),
                ("192.168.1.10", "nas.lan"),
                ("2001:db8::1", "six"),
                ("fe80::1", "loopback"),
            ],
        );
        check("", &[]);
    }

    #[track_caller]
    fn check_refused(content: &[u8], expected: &str) {
        let error = parse(content).expect_err("not a hosts file");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn lines_that_cannot_be_understood_are_errors() {
        check_refused(b"::1 a\nnas 192.168.1.10\n", "line 2: no address: 'nas'");
        check_refused(b"192.168.1.10\n", "line 1: no name behind: '192.168.1.10'");
        check_refused(b"\x7fELF\x01\n", "line 1: no address: '\\127ELF\\001'");
    }
}
