//! The payload of a link layer, and why it may not be reachable.

use etherparse::EtherType;

use crate::frame::Captured;

/// The smallest EtherType: IEEE 802.3, section 3.2.6. Smaller numbers have other meanings, such as
/// lengths.
pub(super) const MIN_ETHER_TYPE: u16 = 0x0600;

/// The payload of a link layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Payload<'a> {
    /// The type of `packet`. If the link layer has other numbers, the EtherType of the same
    /// meaning.
    pub(super) ether_type: EtherType,
    /// The VLAN identifier of the outermost tag, if there is one.
    pub(super) vlan: Option<u16>,
    pub(super) packet: Captured<'a>,
}

/// Why the payload of a frame cannot be reached. Outer and inner frames map each to a reason of
/// their own.
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

    /// Returns an IP packet whose type no header states: its first four bits are the version.
    ///
    /// # Errors
    /// [`LinkError::Malformed`] if there are no bytes, [`LinkError::NoEtherType`] if it is not IP.
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
