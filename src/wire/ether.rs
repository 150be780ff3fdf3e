//! Ethernet II and the VLAN tags that may follow its addresses.
//!
//! ```text
//!  +-------------+-------------+----------------------+-----------+
//!  | destination |   source    |  any number of tags  | EtherType |
//!  |   6 bytes   |   6 bytes   | 4 bytes each         |  2 bytes  |
//!  +-------------+-------------+----------------------+-----------+
//! ```

use etherparse::EtherType;

/// What an Ethernet header with its tags says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ethernet<'a> {
    /// The EtherType behind the tags.
    pub(super) ether_type: EtherType,
    /// The VLAN identifier of the outermost tag, if there is a tag.
    pub(super) vlan: Option<u16>,
    pub(super) payload: &'a [u8],
}

/// Reads an Ethernet header with its tags. `None` if the frame ends before its payload.
pub(super) fn parse(frame: &[u8]) -> Option<Ethernet<'_>> {
    let (header, rest) = frame.split_first_chunk::<14>()?;
    let [.., high, low] = *header;
    skip_tags(EtherType(u16::from_be_bytes([high, low])), rest)
}

/// Passes over a stack of VLAN tags of any depth (IEEE 802.1Q, 802.1ad, and 0x9100 and 0x9200 in
/// use before that): each holds two bytes of tag and the EtherType of what follows.
pub(super) fn skip_tags(mut ether_type: EtherType, mut rest: &[u8]) -> Option<Ethernet<'_>> {
    let mut vlan = None;
    while let EtherType::VLAN_TAGGED_FRAME
    | EtherType::PROVIDER_BRIDGING
    | EtherType::VLAN_DOUBLE_TAGGED_FRAME
    | EtherType(0x9200) = ether_type
    {
        let [tag_high, tag_low, high, low, tail @ ..] = rest else {
            return None;
        };
        // The four bits before the identifier are priority and drop eligibility.
        vlan = vlan.or(Some(u16::from_be_bytes([*tag_high, *tag_low]) & 0x0fff));
        ether_type = EtherType(u16::from_be_bytes([*high, *low]));
        rest = tail;
    }
    Some(Ethernet {
        ether_type,
        vlan,
        payload: rest,
    })
}
