//! IPv4 (RFC 791, section 3.1), as far as its 20 fixed bytes tell.
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
//! The options may have been cut away: nothing here needs them.

use etherparse::IpNumber;

use super::ip::Ip;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ipv4 {
    pub(super) source: Ip,
    pub(super) destination: Ip,
    pub(super) protocol: IpNumber,
    /// RFC 2474, section 3: the upper six bits of what was the type of service.
    pub(super) dscp: u8,
    /// In bytes, options included: 20 to 60.
    pub(super) header_length: usize,
    /// In bytes, header included. 0 where segmentation offload left it empty.
    pub(super) total_length: u16,
    pub(super) more_fragments: bool,
    /// In units of 8 bytes.
    pub(super) fragment_offset: u16,
}

impl Ipv4 {
    /// Of the fixed header, in bytes.
    pub(super) const LENGTH: usize = 20;
    /// In the field that flags and offset share.
    pub(super) const MORE_FRAGMENTS: u16 = 0x2000;
    pub(super) const FRAGMENT_OFFSET: u16 = 0x1fff;

    /// `None` if the fixed header is not there whole, or contradicts itself.
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
