//! Ethernet II and the VLAN tags that may follow its addresses.
//!
//! ```text
//!  +-------------+-------------+----------------------+-----------+
//!  | destination |   source    |  any number of tags  | EtherType |
//!  |   6 bytes   |   6 bytes   | 4 bytes each         |  2 bytes  |
//!  +-------------+-------------+----------------------+-----------+
//! ```

use etherparse::EtherType;

/// Reads an Ethernet header with its tags: the EtherType behind them and the payload.
///
/// `None` if the frame ends before that.
pub(super) fn payload(frame: &[u8]) -> Option<(EtherType, &[u8])> {
    let (header, rest) = frame.split_first_chunk::<14>()?;
    let [.., high, low] = *header;
    skip_tags(EtherType(u16::from_be_bytes([high, low])), rest)
}

/// Passes over a stack of VLAN tags of any depth (IEEE 802.1Q, 802.1ad and the 0x9100 in use
/// before it): each holds two bytes of tag and the EtherType of what follows.
pub(super) fn skip_tags(mut ether_type: EtherType, mut rest: &[u8]) -> Option<(EtherType, &[u8])> {
    while let EtherType::VLAN_TAGGED_FRAME
    | EtherType::PROVIDER_BRIDGING
    | EtherType::VLAN_DOUBLE_TAGGED_FRAME = ether_type
    {
        let [_, _, high, low, tail @ ..] = rest else {
            return None;
        };
        ether_type = EtherType(u16::from_be_bytes([*high, *low]));
        rest = tail;
    }
    Some((ether_type, rest))
}
