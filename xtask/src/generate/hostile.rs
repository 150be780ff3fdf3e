//! Generates frames with all combinations of encapsulations, some truncated and some malformed. They
//! serve to compare the results of two decoders.

mod carriers;

use std::io::{self, Write};

use super::traffic::Random;
use crate::capture_file::{
    LINK_AVS, LINK_COOKED_V1, LINK_COOKED_V2, LINK_ETHERNET, LINK_IPV4, LINK_IPV6, LINK_LOOP,
    LINK_NULL, LINK_PPI, LINK_PPP, LINK_PPP_HDLC, LINK_PPPOE, LINK_PRISM, LINK_RADIOTAP, LINK_RAW,
    LINK_TZSP, LINK_WLAN, Order, Record, SNAP_LENGTH, Section, timestamps,
};
use crate::fixtures::links::{cooked_v1, cooked_v2};
use crate::packet::{
    COLLECTOR, ESP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_MPLS, ETHERTYPE_PPPOE_SESSION, GRE,
    ICMP, Ipv4, LAPTOP, MORE_FRAGMENTS, ROUTER, SCTP, SERVER, TCP, UDP, concat, inner_ethernet,
    ipv6, length_type, outer_ethernet, pppoe, transport, udp_claiming, vlan_tags, vlan_type,
};

const LINKS: [u32; 17] = [
    LINK_ETHERNET,
    LINK_COOKED_V1,
    LINK_COOKED_V2,
    LINK_NULL,
    LINK_LOOP,
    LINK_RAW,
    LINK_IPV4,
    LINK_IPV6,
    LINK_TZSP,
    LINK_WLAN,
    LINK_PRISM,
    LINK_RADIOTAP,
    LINK_AVS,
    LINK_PPI,
    LINK_PPP,
    LINK_PPP_HDLC,
    LINK_PPPOE,
];

const PORT: u16 = 37008;
/// The port of a protocol that tshark dissects.
const QUAKE: u16 = 26000;

const AUTHENTICATION: u8 = 51;
const UDP_LITE: u8 = 136;

/// Padding, tags that describe the radio signal, one whose length tshark checks, and unknown tags.
const TAGS: [u8; 12] = [0, 0, 10, 10, 12, 12, 41, 41, 60, 60, 17, 255];
const TIME: u8 = 82;

/// Writes this number of frames as pcapng, which can hold frames of all link types in one file.
pub(super) fn write(out: &mut impl Write, seed: u64, frames: u64) -> io::Result<()> {
    let mut random = Random::new(seed);
    let mut section = Section::new(Order::Little);
    for link in LINKS {
        section = section.interface(link, SNAP_LENGTH, &[]);
    }
    out.write_all(&section.finish())?;
    for (_, at) in (0..frames).zip(timestamps()) {
        let interface = if random.rarely(5) {
            random.one_of(&[9_u8, 10, 11, 12, 13, 14, 15, 16])
        } else {
            random.one_of(&[0_u8, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
        };
        let frame = random.frame(LINKS[usize::from(interface)]);
        let record = random.damage(frame);
        let block = Section::empty(Order::Little);
        let block = block.enhanced(interface.into(), at / 1000, &record, &[]);
        out.write_all(&block.finish())?;
    }
    out.flush()
}

impl Random {
    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.index(all.len())]
    }

    fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).expect("an index")
    }

    /// Returns `true` with a probability of 1 in `times`.
    fn rarely(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn frame(&mut self, link: u32) -> Vec<u8> {
        match link {
            LINK_TZSP => return self.tzsp(),
            LINK_WLAN | LINK_PRISM | LINK_RADIOTAP | LINK_AVS | LINK_PPI | LINK_PPP
            | LINK_PPP_HDLC | LINK_PPPOE => return self.plain(link),
            _ => {}
        }
        let is_ipv6 = match link {
            LINK_IPV4 => self.rarely(20),
            LINK_IPV6 => true,
            _ => self.rarely(3),
        };
        let mut packet = self.outer(is_ipv6);
        let mut ether_type = ether_type(is_ipv6);
        if link == LINK_ETHERNET && self.rarely(30) {
            packet = pppoe(if is_ipv6 { 0x0057 } else { 0x0021 }, &packet);
            ether_type = ETHERTYPE_PPPOE_SESSION;
        }
        match link {
            LINK_ETHERNET => self.tagged(ether_type, &packet, outer_ethernet),
            LINK_COOKED_V1 => self.tagged(ether_type, &packet, cooked_v1),
            LINK_COOKED_V2 => self.tagged(ether_type, &packet, cooked_v2),
            LINK_NULL if self.rarely(3) => {
                let [high, low] = ether_type.to_be_bytes();
                let header = self.one_of(&[[0, 0, high, low], [low, high, 0, 0]]);
                concat(&[&header, &packet])
            }
            // The families of Linux and of BSD.
            LINK_NULL => {
                let third = if self.rarely(20) { 2 } else { 0 };
                concat(&[&[if is_ipv6 { 24 } else { 2 }, 0, third, 0], &packet])
            }
            LINK_LOOP => concat(&[&[0, 0, 0, if is_ipv6 { 24 } else { 2 }], &packet]),
            _ => packet,
        }
    }

    fn tagged(
        &mut self,
        ether_type: u16,
        packet: &[u8],
        header: impl Fn(u16, &[u8]) -> Vec<u8>,
    ) -> Vec<u8> {
        let tags = self.tags();
        // IEEE 802.3, but not after a cooked header, whose protocol field is never a length.
        let has_length = self.rarely(8) && header(0, &[]).len() == 14;
        let (ether_type, packet) = if has_length || (self.rarely(8) && !tags.is_empty()) {
            let llc = self.llc(ether_type, packet);
            let right = length_type(&llc);
            let length = if self.rarely(10) {
                self.one_of(&[0, 3, 20, 1501])
            } else {
                right
            };
            (length, llc)
        } else {
            (ether_type, packet.to_vec())
        };
        if tags.is_empty() {
            return header(ether_type, &packet);
        }
        header(vlan_type(&tags), &vlan_tags(&tags, ether_type, &packet))
    }

    fn tags(&mut self) -> Vec<(u16, u16)> {
        let depth = self.one_of(&[0, 0, 0, 1, 1, 2, 4]);
        let tag = |_| {
            (
                self.one_of(&[0x8100, 0x88a8, 0x9100]),
                self.within(0, 0xffff),
            )
        };
        (0..depth).map(tag).collect()
    }

    /// Returns an outer packet that carries TZSP.
    fn outer(&mut self, is_ipv6: bool) -> Vec<u8> {
        let tzsp = self.tzsp();
        let right = u16::try_from(8 + tzsp.len()).expect("a datagram is short");
        let length = if self.rarely(10) {
            let any = self.within(0, 2 * right);
            self.one_of(&[0, 7, 8, any, 2 * right])
        } else {
            right
        };
        let mut udp = udp_claiming(PORT, length, &tzsp);
        if self.rarely(100) {
            udp[..2].copy_from_slice(&QUAKE.to_be_bytes());
        }
        let mut protocol = if self.rarely(30) {
            self.one_of(&[TCP, UDP_LITE])
        } else {
            UDP
        };
        if is_ipv6 && self.rarely(50) {
            udp = concat(&[&[protocol, 4], &[0; 22], &udp]);
            protocol = AUTHENTICATION;
        }
        self.packet(is_ipv6, [ROUTER, COLLECTOR], protocol, &udp)
    }

    fn tzsp(&mut self) -> Vec<u8> {
        let version = if self.rarely(40) { self.octet() } else { 1 };
        let kind = self.one_of(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 3, 4, 5]);
        let encapsulation = self.one_of(&[
            1_u8, 1, 1, 1, 1, 1, 1, 1, 7, 7, 18, 18, 18, 18, 2, 119, 126, 127,
        ]);
        let mut tzsp = vec![version, kind, 0, encapsulation];
        for _ in 0..self.one_of(&[0, 0, 0, 1, 2, 5]) {
            match if self.rarely(50) {
                TIME
            } else {
                self.one_of(&TAGS)
            } {
                0 => tzsp.push(0),
                tag => {
                    let length = self.one_of(&[0, 1, 2, 4, 30]);
                    tzsp.extend([tag, length]);
                    tzsp.extend((0..length).map(|_| self.octet()));
                }
            }
        }
        if !self.rarely(30) {
            tzsp.push(1);
        }
        let is_ipv6 = self.rarely(4);
        let packet = self.inner(is_ipv6);
        tzsp.extend(match encapsulation {
            7 => packet,
            18 => self.radio(LINK_WLAN, ether_type(is_ipv6), &packet),
            119 => self.radio(LINK_PRISM, ether_type(is_ipv6), &packet),
            126 => self.radio(LINK_RADIOTAP, ether_type(is_ipv6), &packet),
            127 => self.radio(LINK_AVS, ether_type(is_ipv6), &packet),
            _ if self.rarely(6) => {
                let session = self.session(is_ipv6, &packet);
                self.tagged(ETHERTYPE_PPPOE_SESSION, &session, inner_ethernet)
            }
            _ if self.rarely(8) => {
                let stack = self.labels(&packet);
                self.tagged(ETHERTYPE_MPLS, &stack, inner_ethernet)
            }
            _ if self.rarely(20) => inner_ethernet(0x0806, &[0, 1, 8, 0, 6, 4, 0, 1]),
            _ => self.tagged(ether_type(is_ipv6), &packet, inner_ethernet),
        });
        tzsp
    }

    /// Returns an inner packet.
    fn inner(&mut self, is_ipv6: bool) -> Vec<u8> {
        let protocol = self.one_of(&[TCP, TCP, UDP, ICMP, GRE, ESP, SCTP, 253]);
        let length = usize::from(self.within(0, 80));
        let payload = transport(protocol, length);
        self.packet(is_ipv6, [LAPTOP, SERVER], protocol, &payload)
    }

    fn packet(
        &mut self,
        is_ipv6: bool,
        [source, destination]: [[u8; 4]; 2],
        protocol: u8,
        payload: &[u8],
    ) -> Vec<u8> {
        if is_ipv6 {
            let mut next = protocol;
            let mut body = payload.to_vec();
            // Hop-by-hop or destination options: one padding option, sometimes longer than the header.
            if self.rarely(4) {
                let padding = self.one_of(&[4, 4, 4, 4, 255]);
                body = concat(&[&[next, 0, 1, padding, 0, 0, 0, 0], &body]);
                next = self.one_of(&[0, 60]);
            }
            return ipv6(next, &body);
        }
        let mut header = Ipv4::new(source, destination, protocol);
        if self.rarely(5) {
            header.options = vec![1; 4 * usize::from(self.within(1, 10))];
        }
        if self.rarely(10) {
            header.fragment = self.one_of(&[MORE_FRAGMENTS, MORE_FRAGMENTS | 1, 185, 0x4000]);
        }
        if self.rarely(10) {
            header.total_length = Some(self.one_of(&[0, 0, 0, 10, 19, 20, 28, 60, 1500, 65535]));
        }
        if self.rarely(40) {
            header.first_byte = Some(self.octet());
        }
        header.around(payload)
    }

    /// Truncates or corrupts a frame, with a probability of 1 in 2.
    fn damage(&mut self, mut frame: Vec<u8>) -> Record {
        let at = self.index(frame.len());
        match self.below(10) {
            0 | 1 => Record::cut_at(frame, at),
            2 => {
                frame.truncate(at);
                Record::whole(frame)
            }
            3 | 4 => {
                frame[at] = self.octet();
                Record::whole(frame)
            }
            _ => Record::whole(frame),
        }
    }
}

fn ether_type(is_ipv6: bool) -> u16 {
    if is_ipv6 {
        ETHERTYPE_IPV6
    } else {
        ETHERTYPE_IPV4
    }
}
