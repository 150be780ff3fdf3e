//! The EtherType of frames that carry no IP, for reports about skipped frames.

use etherparse::EtherType;

use super::link;
use super::options::ListenPorts;
use super::outer::datagram;
use super::payload::LinkError;
use super::skipped::Skipped;
use super::tzsp;
use crate::frame::{Captured, LinkType};

/// Returns the EtherType, behind all VLAN tags, of a frame that was skipped because it carries no
/// IP: that of the mirrored frame for [`Skipped::InnerNotIp`], unless frames are decoded without
/// TZSP. 0 means a payload without an EtherType, such as LLC without SNAP. `None` if the frame has
/// no payload.
#[must_use]
pub fn ether_type_of(
    link: LinkType,
    frame: Captured<'_>,
    listen_ports: &ListenPorts,
    reason: Skipped,
) -> Option<EtherType> {
    let is_own = *listen_ports == ListenPorts::Plain && link != LinkType::TZSP;
    let (link, frame) = match reason {
        Skipped::InnerNotIp if !is_own => {
            let datagram = datagram(link, frame).ok()?;
            let mirrored = tzsp::unwrap(datagram.payload).ok()?;
            (mirrored.link, mirrored.frame)
        }
        Skipped::InnerNotIp | Skipped::NotIp => (link, frame),
        _ => return None,
    };
    match link::payload(link, frame) {
        Ok(payload) => Some(payload.ether_type),
        Err(LinkError::NoEtherType) => Some(EtherType(0)),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESSES: [u8; 12] = [0xff; 12];

    #[track_caller]
    fn check(
        link: LinkType,
        bytes: &[u8],
        listen_ports: &ListenPorts,
        reason: Skipped,
        expected: Option<u16>,
    ) {
        let found = ether_type_of(link, Captured::whole(bytes), listen_ports, reason);
        assert_eq!(found.map(|ether_type| ether_type.0), expected);
    }

    #[test]
    fn a_captured_frame_has_its_ether_type_behind_the_tags() {
        let check = |link, header: &[u8], expected| {
            let plain = &ListenPorts::Plain;
            check(link, header, plain, Skipped::InnerNotIp, expected);
            let any = &ListenPorts::Any;
            check(link, header, any, Skipped::NotIp, expected);
            check(link, header, any, Skipped::NotUdp, None);
        };
        let ethernet = |behind: &[u8]| [&ADDRESSES[..], behind].concat();
        check(LinkType::ETHERNET, &ethernet(&[0x08, 0x06]), Some(0x0806));
        let tagged = ethernet(&[0x81, 0, 0, 7, 0x88, 0xa8, 0, 9, 0x88, 0xcc]);
        check(LinkType::ETHERNET, &tagged, Some(0x88cc));
        check(LinkType::ETHERNET, &ethernet(&[0x08]), None);
        let cooked = [&[0; 14][..], &[0x88, 0x8e]].concat();
        check(LinkType::LINUX_SLL, &cooked, Some(0x888e));
        let cooked = [&[0x08, 0x06][..], &[0; 18]].concat();
        check(LinkType::LINUX_SLL2, &cooked, Some(0x0806));
        check(LinkType::NULL, &[0, 0, 0, 7], Some(0));
    }

    #[test]
    fn a_mirrored_frame_has_its_own_ether_type() {
        let check = |tzsp: &[u8], frame: &[u8], expected| {
            let bytes = [tzsp, frame].concat();
            let reason = Skipped::InnerNotIp;
            for listen_ports in [ListenPorts::Any, ListenPorts::Plain] {
                check(LinkType::TZSP, &bytes, &listen_ports, reason, expected);
            }
        };
        let arp = [&ADDRESSES[..], &[0x08, 0x06]].concat();
        check(&[1, 0, 0, 1, 1], &arp, Some(0x0806));
        let llc = [&ADDRESSES[..], &[0, 38, 0x42, 0x42, 3]].concat();
        check(&[1, 0, 0, 1, 1], &llc, Some(0));
        // 802.11 data between stations, then LLC and SNAP.
        let header = [&[0x08, 0][..], &[0; 22]].concat();
        let wlan = [&header[..], &[0xaa, 0xaa, 3, 0, 0, 0, 0x88, 0x8e]].concat();
        check(&[1, 0, 0, 18, 1], &wlan, Some(0x888e));
        check(&[1, 0, 0, 7, 1], &[0x50], None);
    }
}
