//! The fixed 20 bytes of the IPv4 header (RFC 791, section 3.1).
//!
//! ```text
//!   0                   1                   2                   3
//!  +-------+-------+---------------+-------------------------------+
//!  |version|  IHL  |type of service|         total length          |
//!  +-------+-------+---------------+-----+-------------------------+
//!  |        identification         |flags|     fragment offset     |
//!  +---------------+---------------+-----+-------------------------+
//!  | time to live  |   protocol    |        header checksum        |
//!  +---------------+---------------+-------------------------------+
//!  |                        source address                         |
//!  +---------------------------------------------------------------+
//!  |                      destination address                      |
//!  +---------------------------------------------------------------+
//! ```
//!
//! Options may be missing from the captured bytes; they are not needed.

use etherparse::IpNumber;

use super::ip::Ip;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ipv4 {
    pub(super) source: Ip,
    pub(super) destination: Ip,
    pub(super) protocol: IpNumber,
    /// The upper six bits of the type of service: RFC 2474, section 3.
    pub(super) dscp: u8,
    /// In bytes, options included: 20 to 60.
    pub(super) header_length: usize,
    /// In bytes, header included. 0 if segmentation offload left it empty.
    pub(super) total_length: u16,
    pub(super) more_fragments: bool,
    /// In units of 8 bytes.
    pub(super) fragment_offset: u16,
}

impl Ipv4 {
    /// Length of the fixed header in bytes.
    pub(super) const LENGTH: usize = 20;
    /// The mask of the offset in the field that it shares with the flags.
    pub(super) const MORE_FRAGMENTS: u16 = 0x2000;
    pub(super) const FRAGMENT_OFFSET: u16 = 0x1fff;

    /// Decodes the header; `None` if it is cut short or contradicts itself.
    pub(super) fn parse(packet: &[u8]) -> Option<Self> {
        let fixed = packet.first_chunk::<{ Self::LENGTH }>()?;
        #[rustfmt::skip]
        let [
            version_ihl, service, length_high, length_low,
            _, _, fragment_high, fragment_low,
            _, protocol, _, _,
            source @ ..,
            d0, d1, d2, d3,
        ] = *fixed;
        let source: [u8; 4] = source;

        let header_length = usize::from(version_ihl & 0x0f).checked_mul(4)?;
        let total_length = u16::from_be_bytes([length_high, length_low]);
        let too_short = total_length != 0 && usize::from(total_length) < header_length;
        // Version 4, and a header of at least 5 words.
        if !matches!(version_ihl, 0x45..=0x4f) || too_short {
            return None;
        }
        let fragment = u16::from_be_bytes([fragment_high, fragment_low]);
        Some(Self {
            source: Ip::V4(u32::from_be_bytes(source)),
            destination: Ip::V4(u32::from_be_bytes([d0, d1, d2, d3])),
            protocol: IpNumber(protocol),
            dscp: service >> 2,
            header_length,
            total_length,
            more_fragments: fragment & Self::MORE_FRAGMENTS != 0,
            fragment_offset: fragment & Self::FRAGMENT_OFFSET,
        })
    }
}
