//! What a link layer carries, and why it may not be reached.

use etherparse::EtherType;

use crate::frame::Captured;

/// IEEE 802.3, section 3.2.6: smaller numbers are lengths, or of another kind.
pub(super) const MIN_ETHER_TYPE: u16 = 0x0600;

/// What a link layer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Payload<'a> {
    /// What `packet` is. Where a link layer has other numbers, the EtherType of the same meaning.
    pub(super) ether_type: EtherType,
    /// The VLAN identifier of the outermost tag, if there is a tag.
    pub(super) vlan: Option<u16>,
    pub(super) packet: Captured<'a>,
}

/// Why the payload of a frame is not reached. Outer and inner frames have a reason of their own
/// for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkError {
    /// A link type that is not decoded.
    Unsupported,
    /// The frame ends, or contradicts itself, before its payload.
    Malformed,
    /// The frame carries something for which there is no EtherType.
    NoEtherType,
    /// An 802.11 management or control frame, or a data frame without data.
    WlanNoData,
    /// An encrypted 802.11 data frame.
    WlanEncrypted,
    /// A fragment of an 802.11 data frame other than the first.
    WlanLaterFragment,
    /// An 802.11 data frame that holds several frames (A-MSDU).
    WlanAggregate,
}

impl<'a> Payload<'a> {
    #[inline]
    pub(super) fn untagged(ether_type: EtherType, packet: Captured<'a>) -> Self {
        Self {
            ether_type,
            vlan: None,
            packet,
        }
    }

    /// An IP packet that nothing announces: its first four bits are the version.
    ///
    /// # Errors
    /// [`LinkError::Malformed`] if nothing is there, [`LinkError::NoEtherType`] if it is no IP.
    #[inline]
    pub(super) fn by_version(packet: Captured<'a>) -> Result<Self, LinkError> {
        let [version_and_more, ..] = packet.bytes else {
            return Err(LinkError::Malformed);
        };
        match version_and_more >> 4 {
            4 => Ok(Self::untagged(EtherType::IPV4, packet)),
            6 => Ok(Self::untagged(EtherType::IPV6, packet)),
            _ => Err(LinkError::NoEtherType),
        }
    }
}
