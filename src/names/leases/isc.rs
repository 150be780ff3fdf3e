//! ISC dhcpd: dhcpd.leases(5), to which changes are appended, so that the last declaration of an
//! address is the current one.
//!
//! ```text
//! lease 192.168.1.10 {
//!   starts 2 2023/11/14 22:13:20;
//!   ends 2 2023/11/14 23:13:20;
//!   binding state active;
//!   hardware ethernet 02:00:00:00:00:0a;
//!   client-hostname "laptop";
//! }
//! ```

use std::net::IpAddr;

use super::super::file_names::FileNames;
use super::super::text::Name;

/// The words with which the statements of such a file begin.
const STATEMENTS: [&str; 10] = [
    "lease",
    "authoring-byte-order",
    "server-duid",
    "failover",
    "host",
    "group",
    "subgroup",
    "class",
    "subclass",
    "ia-na",
];

/// Whether the first line of such a file may be this one.
pub(super) fn is_statement(line: &str) -> bool {
    let word = line.split_ascii_whitespace().next();
    word.is_some_and(|word| STATEMENTS.contains(&word))
}

/// Parses a file. A declaration at the end that lacks its brace is not finished, and is ignored, as
/// the server itself does.
pub(super) fn parse(text: &str) -> FileNames {
    let mut names = FileNames::default();
    let mut current: Option<Lease> = None;
    let mut depth = 0_usize;
    for line in text.lines().map(str::trim) {
        let depth_before = depth;
        if line.ends_with('{') {
            depth += 1;
            current = current.or_else(|| Lease::begin(line, depth_before));
        } else if line.starts_with('}') {
            depth = depth.saturating_sub(1);
            if let Some(lease) = current.take_if(|lease| lease.depth == depth) {
                lease.end(&mut names);
            }
        } else if let Some(lease) = &mut current {
            lease.statement(line);
        }
    }
    names
}

/// A declaration that is being read.
struct Lease {
    address: IpAddr,
    /// In how many blocks it is.
    depth: usize,
    is_active: bool,
    /// The name that the client gave.
    client_name: Option<Name>,
    /// The name under which the server added the client to DNS.
    dns_name: Option<Name>,
}

impl Lease {
    /// `lease ADDRESS {`, or `iaaddr ADDRESS {` in a block of DHCPv6.
    fn begin(line: &str, depth: usize) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let ("lease" | "iaaddr") = words.next()? else {
            return None;
        };
        Some(Self {
            address: words.next()?.parse().ok()?,
            depth,
            // Very old versions have no binding state.
            is_active: true,
            client_name: None,
            dns_name: None,
        })
    }

    fn statement(&mut self, line: &str) {
        let line = line.trim_end_matches(';');
        if let Some(state) = line.strip_prefix("binding state ") {
            self.is_active = state.trim() == "active";
        } else if let Some(name) = line.strip_prefix("client-hostname ") {
            self.client_name = quoted(name);
        } else if let Some(name) = line.strip_prefix("set ddns-fwd-name =") {
            self.dns_name = quoted(name);
        }
    }

    fn end(self, names: &mut FileNames) {
        match self.client_name.or(self.dns_name) {
            Some(name) if self.is_active => names.insert(self.address, name),
            _ => names.remove(&self.address),
        };
    }
}

/// Returns the content of quotes, in which bytes may be written as `\OOO`, in octal.
fn quoted(text: &str) -> Option<Name> {
    let text = text.trim().strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                let digits = [a, b, c].map(|digit| digit - b'0');
                (digits.iter().fold(0, |byte, digit| byte << 3 | digit), tail)
            }
            (b'\\', [escaped, tail @ ..]) => (*escaped, tail),
            (byte, tail) => (*byte, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    Name::new(&bytes)
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn the_last_declaration_of_an_address_counts() {
        check(
            "# The format of this file is documented in the dhcpd.leases(5) manual page.\n\
             authoring-byte-order little-endian;\n\
             lease 192.168.1.10 {\n  ends 2 2023/11/14 23:13:20;\n  binding state active;\n  \
             client-hostname \"laptop\";\n}\n\
             lease 192.168.1.11 {\n  binding state active;\n  client-hostname \"phone\";\n}\n\
             lease 192.168.1.11 {\n  binding state free;\n  client-hostname \"phone\";\n}\n\
             lease 192.168.1.12 {\n  binding state active;\n  next binding state free;\n  \
             set ddns-fwd-name = \"tv.lan\";\n}\n\
             lease 192.168.1.10 {\n  binding state active;\n  client-hostname \"K\\303\\274che \
             \\\"1\\\"\";\n}\n",
            &[("192.168.1.10", "Küche \"1\""), ("192.168.1.12", "tv.lan")],
        );
    }

    #[test]
    fn a_declaration_without_its_end_is_ignored() {
        check(
            "lease 192.168.1.10 {\n  client-hostname \"laptop\";\n}\n\
             lease 192.168.1.10 {\n  client-hostname \"tab",
            &[("192.168.1.10", "laptop")],
        );
    }

    #[test]
    fn other_blocks_are_skipped() {
        check(
            "server-duid \"\\000\\001\";\n\
             failover peer \"x\" state {\n  my state normal;\n}\n\
             ia-na \"\\001\" {\n  cltt 2 2023/11/14 22:13:20;\n  iaaddr 2001:db8::10 {\n    \
             binding state active;\n    set ddns-fwd-name = \"six.lan\";\n  }\n}\n",
            &[("2001:db8::10", "six.lan")],
        );
    }
}
