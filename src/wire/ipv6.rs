//! IPv6 (RFC 8200, section 3) and its extension headers.
//!
//! ```text
//!   0                   1                   2                   3
//!  +-------+---------------+---------------------------------------+
//!  |version| traffic class |              flow label               |
//!  +-------+---------------+-------+---------------+---------------+
//!  |        payload length         |  next header  |   hop limit   |
//!  +-------------------------------+---------------+---------------+
//!  |                   source address, 16 bytes                    |
//!  +---------------------------------------------------------------+
//!  |                 destination address, 16 bytes                 |
//!  +---------------------------------------------------------------+
//! ```

use std::net::Ipv6Addr;

use etherparse::{IpNumber, Ipv6Header, Ipv6HeaderSlice};

use crate::frame::Captured;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ipv6 {
    pub(super) source: Ipv6Addr,
    pub(super) destination: Ipv6Addr,
    /// The upper six bits of the traffic class: RFC 2474, section 3.
    pub(super) dscp: u8,
    /// In bytes, without these 40. 0 in a jumbogram, or if segmentation offload left it empty.
    pub(super) payload_length: u16,
    pub(super) next_header: IpNumber,
}

impl Ipv6 {
    pub(super) const LENGTH: usize = Ipv6Header::LEN;

    /// Decodes the fixed header; `None` if it is cut short or is not IPv6.
    pub(super) fn parse(packet: &[u8]) -> Option<Self> {
        let header = Ipv6HeaderSlice::from_slice(packet).ok()?;
        Some(Self {
            source: header.source_addr(),
            destination: header.destination_addr(),
            dscp: header.traffic_class() >> 2,
            payload_length: header.payload_length(),
            next_header: header.next_header(),
        })
    }

    /// Returns what follows the 40 bytes in `packet`.
    pub(super) fn payload(self, packet: &[u8]) -> Captured<'_> {
        let payload = packet.get(Self::LENGTH..).unwrap_or_default();
        match self.payload_length {
            0 => Captured::whole(payload),
            length => Captured::claimed(payload, usize::from(length)),
        }
    }
}

/// Which extension headers to skip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Through {
    /// Hop-by-hop, routing, destination options and fragment.
    Plain,
    /// These and the authentication header.
    Authentication,
}

/// The end of a chain of extension headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chain<'a> {
    /// The first next-header number that is not skipped, or the last one known if the chain is cut.
    pub(super) protocol: IpNumber,
    /// What follows the chain; `None` if the chain is cut short.
    pub(super) rest: Option<Captured<'a>>,
    pub(super) more_fragments: bool,
    /// A fragment other than the first: `protocol` is that of the first, and `rest` is payload.
    pub(super) later_fragment: bool,
}

/// RFC 8200, section 4: each extension header starts with the number of the next one.
pub(super) fn walk(first: IpNumber, payload: Captured<'_>, through: Through) -> Chain<'_> {
    let mut chain = Chain {
        protocol: first,
        rest: None,
        more_fragments: false,
        later_fragment: false,
    };
    let mut rest = payload;
    // Each iteration consumes at least one byte, so the loop ends.
    while !chain.later_fragment {
        let (next, size) = match (chain.protocol, rest.bytes) {
            (
                IpNumber::IPV6_HEADER_HOP_BY_HOP
                | IpNumber::IPV6_ROUTE_HEADER
                | IpNumber::IPV6_DESTINATION_OPTIONS,
                bytes,
            ) => match bytes {
                [next, units, ..] => (
                    *next,
                    usize::from(*units).saturating_add(1).saturating_mul(8),
                ),
                // The length field is cut away, and so is everything behind it.
                [next] => (*next, usize::MAX),
                [] => return chain,
            },
            // RFC 4302, section 2.2: in units of 4 bytes, minus 2.
            (IpNumber::AUTHENTICATION_HEADER, bytes) if through == Through::Authentication => {
                match bytes {
                    [next, units, ..] => (
                        *next,
                        usize::from(*units).saturating_add(2).saturating_mul(4),
                    ),
                    [next] => (*next, usize::MAX),
                    [] => return chain,
                }
            }
            (IpNumber::IPV6_FRAGMENTATION_HEADER, bytes) => {
                let [next, _, high, low, ..] = bytes else {
                    if let [next, ..] = bytes {
                        chain.protocol = IpNumber(*next);
                    }
                    return chain;
                };
                let offset_and_flags = u16::from_be_bytes([*high, *low]);
                chain.more_fragments = offset_and_flags & 1 != 0;
                chain.later_fragment = offset_and_flags & 0xfff8 != 0;
                (*next, 8)
            }
            _ => break,
        };
        chain.protocol = IpNumber(next);
        rest = rest.skip(size);
    }
    chain.rest = Some(rest);
    chain
}
