//! Encapsulations of an inner packet other than Ethernet with VLAN tags.

use super::{Random, ether_type};
use crate::capture_file::{
    LINK_AVS, LINK_PPI, LINK_PPP, LINK_PPP_HDLC, LINK_PPPOE, LINK_PRISM, LINK_RADIOTAP, Order,
};
use crate::packet::{concat, inner_ethernet, mpls, pppoe, pppoe_compressed, snap};
use crate::radio::{avs, ppi, ppi_with_common, prism, radiotap};

impl Random {
    /// Returns a packet in LLC and SNAP, sometimes with the code of another organisation.
    pub(super) fn llc(&mut self, ether_type: u16, packet: &[u8]) -> Vec<u8> {
        let mut llc = snap(ether_type, packet);
        llc[5] = self.one_of(&[0x00, 0x00, 0x00, 0xf8, 0x0c]);
        llc
    }

    /// Returns a packet after a stack of MPLS labels, which rarely lacks the bottom-of-stack bit.
    pub(super) fn labels(&mut self, packet: &[u8]) -> Vec<u8> {
        let depth = self.one_of(&[1_usize, 1, 1, 2, 3, 8]);
        let labels: Vec<u32> = (0..depth)
            .map(|_| u32::from(self.within(16, 0xffff)))
            .collect();
        let mut stack = mpls(&labels, packet);
        if self.rarely(30) {
            stack[4 * depth - 2] &= 0xfe;
        }
        stack
    }

    /// Returns an IP packet in PPP with a protocol field of one or two bytes, sometimes with MPLS
    /// labels in between.
    fn ppp(&mut self, is_ipv6: bool, packet: &[u8]) -> Vec<u8> {
        let protocol = if is_ipv6 { 0x57 } else { 0x21 };
        match self.below(4) {
            0 => concat(&[&[0x02, 0x81], &self.labels(packet)]),
            1 | 2 => concat(&[&[protocol], packet]),
            _ => concat(&[&[0x00, protocol], packet]),
        }
    }

    /// Returns a frame that is not mirrored, of a link type whose frames carry IP packets.
    pub(super) fn plain(&mut self, link: u32) -> Vec<u8> {
        let is_ipv6 = self.rarely(4);
        let packet = self.inner(is_ipv6);
        match link {
            LINK_PPP | LINK_PPP_HDLC if self.rarely(5) => {
                let address = self.one_of(&[0x0f, 0x8f]);
                let [high, low] = ether_type(is_ipv6).to_be_bytes();
                concat(&[&[address, 0, high, low], &packet])
            }
            LINK_PPP | LINK_PPP_HDLC => {
                let framing: &[u8] = self.one_of(&[&[0xff, 0x03], &[]]);
                concat(&[framing, &self.ppp(is_ipv6, &packet)])
            }
            LINK_PPPOE => self.session(is_ipv6, &packet),
            LINK_PPI => match self.below(4) {
                0 => ppi(1, &inner_ethernet(ether_type(is_ipv6), &packet)),
                1 => ppi(9, &self.ppp(is_ipv6, &packet)),
                2 => ppi(105, &self.wlan(ether_type(is_ipv6), &packet, false)),
                _ => {
                    let wlan = self.wlan(ether_type(is_ipv6), &packet, false);
                    ppi_with_common(1, &concat(&[&wlan, &[0xde, 0xad, 0xbe, 0xef]]))
                }
            },
            _ => self.radio(link, ether_type(is_ipv6), &packet),
        }
    }

    /// Returns an 802.11 frame after the radio header of the link type.
    pub(super) fn radio(&mut self, link: u32, ether_type: u16, packet: &[u8]) -> Vec<u8> {
        match link {
            LINK_PRISM => {
                let order = self.one_of(&[Order::Little, Order::Big]);
                let wlan = self.wlan(ether_type, packet, false);
                if self.rarely(10) {
                    // A longer header whose length field is correct.
                    let mut frame = prism(order, &concat(&[&[0; 4], &wlan]));
                    frame[4..8].copy_from_slice(&order.u32(148));
                    return frame;
                }
                prism(order, &wlan)
            }
            LINK_AVS => avs(&self.wlan(ether_type, packet, false)),
            LINK_RADIOTAP => match self.below(3) {
                0 => radiotap(0x00, &self.wlan(ether_type, packet, false)),
                1 => radiotap(0x20, &self.wlan(ether_type, packet, true)),
                _ => {
                    let wlan = self.wlan(ether_type, packet, false);
                    radiotap(0x10, &concat(&[&wlan, &[0xde, 0xad, 0xbe, 0xef]]))
                }
            },
            _ => self.wlan(ether_type, packet, false),
        }
    }

    /// Returns a packet in a PPPoE session, whose length field may be wrong.
    pub(super) fn session(&mut self, is_ipv6: bool, packet: &[u8]) -> Vec<u8> {
        let mut session = match self.below(6) {
            0 => pppoe_compressed(if is_ipv6 { 0x57 } else { 0x21 }, packet),
            1 => pppoe(0x0281, &self.labels(packet)),
            _ => pppoe(if is_ipv6 { 0x0057 } else { 0x0021 }, packet),
        };
        if self.rarely(10) {
            session[4] = 0;
            session[5] = self.one_of(&[0, 1, 2, 10, 20]);
        }
        session
    }

    /// Returns an 802.11 data frame to the access point, with or without quality of service. If
    /// `is_padded`, the header is padded to a multiple of 4 bytes.
    fn wlan(&mut self, ether_type: u16, packet: &[u8], is_padded: bool) -> Vec<u8> {
        let with_qos = self.rarely(2);
        let without_llc = self.rarely(20);
        concat(&[
            &[if with_qos { 0x88 } else { 0x08 }, 1, 0x2c, 0],
            &[0x48, 0x8f, 0x5a, 0x11, 0x22, 0x05],
            &[0x3c, 0x22, 0xfb, 0x55, 0x66, 0x32],
            &[0x48, 0x8f, 0x5a, 0x11, 0x22, 0x01],
            &[0x30, 0x12],
            if with_qos { &[0, 0] } else { &[] },
            if with_qos && is_padded { &[0, 0] } else { &[] },
            if without_llc {
                &[]
            } else {
                &[0xaa, 0xaa, 0x03, 0, 0, 0]
            },
            &ether_type.to_be_bytes(),
            packet,
        ])
    }
}
