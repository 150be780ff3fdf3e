//! Messages in the mirrored traffic from which names are learnt.

use super::dhcp::{self, Exchange};
use super::dns::{self, Answer};

/// Longer payloads are not read: they are longer than any packet of a network without jumbo frames,
/// and the longer a hostile message is, the longer it takes to parse.
const MAX_PAYLOAD: usize = 1500;

/// Which messages are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Protocols {
    pub dhcp: bool,
    pub dns: bool,
}

/// What a message says about names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lesson(pub(super) Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Dhcp(Exchange),
    Dns(Answer),
    /// A message of DHCP that cannot be read.
    UnreadableDhcp,
    /// A message of DNS that cannot be read.
    UnreadableDns,
}

impl Protocols {
    /// Whether any messages are read.
    #[must_use]
    #[inline]
    pub fn any(self) -> bool {
        self.dhcp || self.dns
    }

    /// Whether a datagram between these ports may be such a message.
    #[must_use]
    #[inline]
    pub fn include(self, (from, to): (u16, u16)) -> bool {
        self.dns && from == dns::PORT || self.dhcp && (is_dhcp_v4(from, to) || is_dhcp_v6(from, to))
    }

    /// Reads the payload of a UDP datagram between these ports. Returns `None` if it says nothing
    /// about names.
    #[must_use]
    pub fn read(self, (from, to): (u16, u16), payload: &[u8]) -> Option<Lesson> {
        let payload = payload.get(..MAX_PAYLOAD).unwrap_or(payload);
        let kind = if self.dns && from == dns::PORT {
            dns::parse(payload).map_or(Some(Kind::UnreadableDns), |answer| answer.map(Kind::Dns))
        } else if self.dhcp && is_dhcp_v4(from, to) {
            of_dhcp(dhcp::parse_v4(payload))
        } else if self.dhcp && is_dhcp_v6(from, to) {
            of_dhcp(dhcp::parse_v6(payload))
        } else {
            None
        };
        kind.map(Lesson)
    }
}

fn is_dhcp_v4(from: u16, to: u16) -> bool {
    dhcp::V4_PORTS.contains(&from) && dhcp::V4_PORTS.contains(&to)
}

fn is_dhcp_v6(from: u16, to: u16) -> bool {
    dhcp::V6_PORTS.contains(&from) && dhcp::V6_PORTS.contains(&to)
}

fn of_dhcp(exchange: Option<Exchange>) -> Option<Kind> {
    match exchange {
        None => Some(Kind::UnreadableDhcp),
        Some(Exchange::Other) => None,
        Some(exchange) => Some(Kind::Dhcp(exchange)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ports: (u16, u16), expected: Option<&Kind>) {
        let both = Protocols {
            dhcp: true,
            dns: true,
        };
        // Nothing is a message of neither protocol.
        let found = both.read(ports, b"");
        assert_eq!(found.map(|lesson| lesson.0).as_ref(), expected);
        assert_eq!(both.include(ports), expected.is_some());
        assert_eq!(Protocols::default().read(ports, b""), None);
        assert!(!Protocols::default().include(ports));
    }

    #[test]
    fn messages_are_told_by_their_ports() {
        for ports in [(68, 67), (67, 68), (67, 67), (546, 547), (547, 546)] {
            check(ports, Some(&Kind::UnreadableDhcp));
        }
        check((53, 40_000), Some(&Kind::UnreadableDns));
        check((53, 53), Some(&Kind::UnreadableDns));
        for ports in [(40_000, 53), (67, 40_000), (68, 546), (5353, 5353)] {
            check(ports, None);
        }
    }
}
