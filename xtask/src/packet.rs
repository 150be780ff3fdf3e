//! Builds frames and packets as bytes, each layer around the one inside it. TZSP has no builder: its
//! few bytes are spelt out in each fixture.

pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;
pub(crate) const ETHERTYPE_MPLS: u16 = 0x8847;
pub(crate) const ETHERTYPE_PPPOE_SESSION: u16 = 0x8864;

pub(crate) const ICMP: u8 = 1;
pub(crate) const IGMP: u8 = 2;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const GRE: u8 = 47;
pub(crate) const ESP: u8 = 50;
pub(crate) const AH: u8 = 51;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const OSPF: u8 = 89;
pub(crate) const SCTP: u8 = 132;

/// The IPv4 flag "more fragments", in the 16 bits that also hold the fragment offset.
pub(crate) const MORE_FRAGMENTS: u16 = 0x2000;
pub(crate) const DONT_FRAGMENT: u16 = 0x4000;

/// The sensor: a RouterOS device at its default address.
pub(crate) const ROUTER: [u8; 4] = [192, 168, 88, 1];
/// The machine that the sensor streams to.
pub(crate) const COLLECTOR: [u8; 4] = [192, 168, 88, 10];
/// A machine whose traffic the sensor mirrors, and a server that it communicates with.
pub(crate) const LAPTOP: [u8; 4] = [192, 168, 88, 50];
pub(crate) const SERVER: [u8; 4] = [142, 250, 74, 110];

pub(crate) const ROUTER_MAC: [u8; 6] = [0x48, 0x8f, 0x5a, 0x11, 0x22, 0x01];
pub(crate) const COLLECTOR_MAC: [u8; 6] = [0xdc, 0xa6, 0x32, 0x33, 0x44, 0x0a];
pub(crate) const LAPTOP_MAC: [u8; 6] = [0x3c, 0x22, 0xfb, 0x55, 0x66, 0x32];

/// Version 1, type received, encapsulation Ethernet, end tag: what RouterOS sends.
pub(crate) const ROUTEROS: [u8; 5] = [0x01, 0x00, 0x00, 0x01, 0x01];

pub(crate) fn concat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Returns an Ethernet frame from the router to the collector.
pub(crate) fn outer_ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    concat(&[
        &COLLECTOR_MAC,
        &ROUTER_MAC,
        &ether_type.to_be_bytes(),
        payload,
    ])
}

/// Returns an Ethernet frame that the router mirrors: from the laptop to the router.
pub(crate) fn inner_ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    concat(&[&ROUTER_MAC, &LAPTOP_MAC, &ether_type.to_be_bytes(), payload])
}

/// Returns VLAN tags, each given as type and identifier, and the payload after them. The first type
/// is not included: it belongs in the header before the tags; see [`vlan_type`].
pub(crate) fn vlan_tags(tags: &[(u16, u16)], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (position, (_, identifier)) in tags.iter().enumerate() {
        let next_type = tags.get(position + 1).map_or(ether_type, |(next, _)| *next);
        bytes.extend(identifier.to_be_bytes());
        bytes.extend(next_type.to_be_bytes());
    }
    bytes.extend(payload);
    bytes
}

/// Returns the type that announces a stack of tags in the header before it.
pub(crate) fn vlan_type(tags: &[(u16, u16)]) -> u16 {
    tags.first().expect("a stack has tags").0
}

/// Returns `payload` after a PPPoE session header and the PPP protocol: RFC 2516.
pub(crate) fn pppoe(ppp_protocol: u16, payload: &[u8]) -> Vec<u8> {
    let length = length16(2 + payload.len());
    concat(&[
        &[0x11, 0x00, 0x00, 0x2a],
        &length.to_be_bytes(),
        &ppp_protocol.to_be_bytes(),
        payload,
    ])
}

/// Like [`pppoe`], with a PPP protocol of one byte: RFC 1661, section 6.5.
pub(crate) fn pppoe_compressed(ppp_protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = length16(1 + payload.len());
    concat(&[
        &[0x11, 0x00, 0x00, 0x2a],
        &length.to_be_bytes(),
        &[ppp_protocol],
        payload,
    ])
}

/// Returns `payload` after a stack of MPLS labels, each with a time to live of 64: RFC 3032.
pub(crate) fn mpls(labels: &[u32], payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (position, label) in labels.iter().enumerate() {
        let bottom = u32::from(position + 1 == labels.len());
        bytes.extend((label << 12 | bottom << 8 | 64).to_be_bytes());
    }
    bytes.extend(payload);
    bytes
}

/// Returns `payload` after the LLC and SNAP headers of RFC 1042.
pub(crate) fn snap(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    concat(&[
        &[0xaa, 0xaa, 0x03, 0x00, 0x00, 0x00],
        &ether_type.to_be_bytes(),
        payload,
    ])
}

/// Returns the length field of IEEE 802.3, which takes the place of an EtherType.
pub(crate) fn length_type(llc: &[u8]) -> u16 {
    length16(llc.len())
}

/// An IPv4 header. `total_length` and `first_byte` are correct unless they are set.
pub(crate) struct Ipv4 {
    pub(crate) source: [u8; 4],
    pub(crate) destination: [u8; 4],
    pub(crate) protocol: u8,
    pub(crate) identification: u16,
    /// Three bits of flags, then the offset in units of eight bytes.
    pub(crate) fragment: u16,
    pub(crate) options: Vec<u8>,
    pub(crate) total_length: Option<u16>,
    /// Version and header length.
    pub(crate) first_byte: Option<u8>,
}

impl Ipv4 {
    pub(crate) fn new(source: [u8; 4], destination: [u8; 4], protocol: u8) -> Self {
        Self {
            source,
            destination,
            protocol,
            identification: 0x3a7c,
            fragment: 0,
            options: Vec::new(),
            total_length: None,
            first_byte: None,
        }
    }

    pub(crate) fn around(&self, payload: &[u8]) -> Vec<u8> {
        let header_length = 20 + self.options.len();
        let words = u8::try_from(header_length / 4).expect("a header has at most 15 words");
        let total = length16_or(self.total_length, header_length + payload.len());
        let mut header = concat(&[
            &[self.first_byte.unwrap_or(0x40 | words), 0],
            &total.to_be_bytes(),
            &self.identification.to_be_bytes(),
            &self.fragment.to_be_bytes(),
            &[64, self.protocol, 0, 0],
            &self.source,
            &self.destination,
            &self.options,
        ]);
        let checksum = internet_checksum(&[&header]);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header.extend(payload);
        header
    }
}

/// Returns an IPv6 packet from the router to the collector. `payload` includes extension headers.
pub(crate) fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    ipv6_claiming(length16(payload.len()), next_header, payload)
}

/// Like [`ipv6`], with a payload length that may be wrong.
pub(crate) fn ipv6_claiming(length: u16, next_header: u8, payload: &[u8]) -> Vec<u8> {
    concat(&[
        &[0x60, 0, 0, 0],
        &length.to_be_bytes(),
        &[next_header, 64],
        &ROUTER_IPV6,
        &COLLECTOR_IPV6,
        payload,
    ])
}

/// `2001:db8:88::1` and `2001:db8:88::10`.
const ROUTER_IPV6: [u8; 16] = [
    0x20, 0x01, 0x0d, 0xb8, 0, 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
];
const COLLECTOR_IPV6: [u8; 16] = [
    0x20, 0x01, 0x0d, 0xb8, 0, 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16,
];

/// Returns a UDP datagram as RouterOS sends it when source and destination port are equal, which is
/// without a checksum.
pub(crate) fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    udp_claiming(port, length16(8 + payload.len()), payload)
}

/// Like [`udp`], with two ports.
pub(crate) fn udp_between(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    udp_header(from, to, length16(8 + payload.len()), payload)
}

/// Like [`udp`], with a length that may be wrong.
pub(crate) fn udp_claiming(port: u16, length: u16, payload: &[u8]) -> Vec<u8> {
    udp_header(port, port, length, payload)
}

fn udp_header(from: u16, to: u16, length: u16, payload: &[u8]) -> Vec<u8> {
    concat(&[
        &from.to_be_bytes(),
        &to.to_be_bytes(),
        &length.to_be_bytes(),
        &[0, 0],
        payload,
    ])
}

/// Returns a UDP datagram over IPv4 from the router to the collector, with a checksum.
pub(crate) fn udp_with_checksum(source_port: u16, port: u16, payload: &[u8]) -> Vec<u8> {
    let length = length16(8 + payload.len()).to_be_bytes();
    let ports = concat(&[&source_port.to_be_bytes(), &port.to_be_bytes()]);
    let checksum = internet_checksum(&[
        &ROUTER,
        &COLLECTOR,
        &[0, UDP],
        &length,
        &ports,
        &length,
        payload,
    ]);
    // A checksum of zero is sent as all ones, because zero means "no checksum" (RFC 768).
    let checksum = if checksum == 0 { 0xffff } else { checksum };
    concat(&[&ports, &length, &checksum.to_be_bytes(), payload])
}

/// Returns a UDP datagram over IPv6, where a checksum is required.
pub(crate) fn udp_over_ipv6(port: u16, payload: &[u8]) -> Vec<u8> {
    udp_between_over_ipv6(port, port, payload)
}

/// Like [`udp_over_ipv6`], with two ports.
pub(crate) fn udp_between_over_ipv6(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = length16(8 + payload.len()).to_be_bytes();
    let ports = concat(&[&from.to_be_bytes(), &to.to_be_bytes()]);
    let checksum = internet_checksum(&[
        &ROUTER_IPV6,
        &COLLECTOR_IPV6,
        &[0, 0],
        &length,
        &[0, 0, 0, UDP],
        &ports,
        &length,
        payload,
    ]);
    let checksum = if checksum == 0 { 0xffff } else { checksum };
    concat(&[&ports, &length, &checksum.to_be_bytes(), payload])
}

/// Returns the IPv4 packet that carries `payload` from the router to a port of the collector.
pub(crate) fn datagram(port: u16, payload: &[u8]) -> Vec<u8> {
    Ipv4::new(ROUTER, COLLECTOR, UDP).around(&udp(port, payload))
}

/// Returns the frame on the collector's Ethernet that carries `tzsp` to port 37008.
pub(crate) fn frame(tzsp: &[u8]) -> Vec<u8> {
    frame_to(37008, tzsp)
}

pub(crate) fn frame_to(port: u16, tzsp: &[u8]) -> Vec<u8> {
    outer_ethernet(ETHERTYPE_IPV4, &datagram(port, tzsp))
}

/// Returns the frame with which RouterOS mirrors `inner_frame` to port 37008.
pub(crate) fn mirrored(inner_frame: &[u8]) -> Vec<u8> {
    frame(&routeros(inner_frame))
}

/// Returns `inner_frame` in TZSP as RouterOS encapsulates it.
pub(crate) fn routeros(inner_frame: &[u8]) -> Vec<u8> {
    concat(&[&ROUTEROS, inner_frame])
}

/// Returns the inner Ethernet frame with an IPv4 packet of `total_length` bytes from the laptop to
/// the server.
pub(crate) fn lan_frame(protocol: u8, total_length: u16) -> Vec<u8> {
    inner_ethernet(ETHERTYPE_IPV4, &packet(protocol, total_length))
}

/// Returns an IPv4 packet of `total_length` bytes from the laptop to the server.
pub(crate) fn packet(protocol: u8, total_length: u16) -> Vec<u8> {
    packet_between(LAPTOP, SERVER, protocol, total_length)
}

pub(crate) fn packet_between(
    source: [u8; 4],
    destination: [u8; 4],
    protocol: u8,
    total_length: u16,
) -> Vec<u8> {
    let payload = transport(protocol, usize::from(total_length) - 20);
    Ipv4::new(source, destination, protocol).around(&payload)
}

/// Returns a plausible transport header, and filler up to `length` bytes.
pub(crate) fn transport(protocol: u8, length: usize) -> Vec<u8> {
    let header: Vec<u8> = match protocol {
        // An echo request.
        ICMP => vec![8, 0, 0, 0, 0x12, 0x34, 0, 1],
        // A version 2 membership report for 224.0.0.251.
        IGMP => vec![0x16, 0, 0x09, 0x04, 224, 0, 0, 251],
        // Port 51234 to 443, ACK, with the timestamp option when there is room.
        TCP => {
            let mut header = vec![
                0xc8, 0x22, 0x01, 0xbb, 0x1a, 0x2b, 0x3c, 0x4d, 0x5e, 0x6f, 0x70, 0x81, 0x50, 0x10,
                0x01, 0xf6, 0, 0, 0, 0,
            ];
            if length >= 32 {
                header[12] = 0x80;
                header.extend([1, 1, 8, 10, 0x02, 0xa3, 0xb4, 0xc5, 0x11, 0x22, 0x33, 0x44]);
            }
            header
        }
        // Port 51234 to 443 (QUIC).
        UDP => {
            let claimed = length16(length).to_be_bytes();
            concat(&[&[0xc8, 0x22, 0x01, 0xbb], &claimed, &[0, 0]])
        }
        GRE => vec![0, 0, 0x08, 0],
        ESP => vec![0xc0, 0xff, 0xee, 0x01, 0, 0, 0, 7],
        // Followed by TCP, 12 bytes of check value.
        AH => vec![TCP, 4, 0, 0, 0xc0, 0xff, 0xee, 0x02, 0, 0, 0, 7],
        // A hello of version 2.
        OSPF => vec![2, 1, 0, 44, 192, 168, 88, 1, 0, 0, 0, 0],
        SCTP => vec![0x0b, 0x59, 0x0b, 0x59, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 0],
        _ => Vec::new(),
    };
    header.into_iter().chain(filler()).take(length).collect()
}

/// Returns the bytes 0 to 255 again and again. In a hex dump, each byte shows its offset in the
/// payload.
pub(crate) fn filler() -> impl Iterator<Item = u8> {
    (0..=255).cycle()
}

/// Returns the checksum of RFC 1071 over concatenated parts. All but the last must have an even
/// length.
pub(crate) fn internet_checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u32 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
        }
        sum = (sum & 0xffff) + (sum >> 16);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("the carries are folded in")
}

fn length16(length: usize) -> u16 {
    u16::try_from(length).expect("a length fits 16 bits")
}

fn length16_or(claimed: Option<u16>, length: usize) -> u16 {
    claimed.unwrap_or_else(|| length16(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_matches_the_example_on_wikipedia() {
        // The header on Wikipedia's page "Internet checksum", checksum field zero.
        let header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0x00, 0x00, 0xc0, 0xa8,
            0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7,
        ];
        assert_eq!(internet_checksum(&[&header]), 0xb861);
    }

    #[test]
    fn the_checksum_matches_the_example_of_rfc_1071() {
        // Section 3: 0001 f203 f4f5 f6f7 sums to ddf2.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(internet_checksum(&[&bytes]), !0xddf2);
    }

    #[test]
    fn a_vlan_stack_announces_each_next_type() {
        let tags = [(0x88a8, 100), (0x8100, 200)];
        assert_eq!(vlan_type(&tags), 0x88a8);
        assert_eq!(
            vlan_tags(&tags, ETHERTYPE_IPV4, &[0x45]),
            [0, 100, 0x81, 0x00, 0, 200, 0x08, 0x00, 0x45]
        );
    }
}
