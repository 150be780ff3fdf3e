//! The EtherType of the beginning of a packet from a socket of type `SOCK_DGRAM`.

/// The VLAN tags that Linux supports: IEEE 802.1Q and 802.1ad.
const VLAN: u16 = 0x8100;
const PROVIDER_BRIDGE: u16 = 0x88a8;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const PPPOE_SESSION: u16 = 0x8864;

/// Returns the EtherType of what `packet` begins with. `length` is the packet's original length,
/// and `protocol` what the socket reported for it.
///
/// Linux removes the outermost VLAN tag. In a stack of tags, the packet then begins with the next
/// tag, but since Linux 6.10 the socket reports the protocol behind all tags. So if the bytes look
/// like tags that lead to `protocol`, the packet begins with a tag, unless the bytes are also
/// plausible as `protocol` itself.
pub(super) fn ether_type(protocol: u16, packet: &[u8], length: usize) -> u16 {
    if is_tagged(protocol, packet) && !is_plausible(protocol, packet, length) {
        VLAN
    } else {
        protocol
    }
}

/// Whether the packet begins with tags that lead to this protocol. Behind more than eight tags, the
/// kernel reports 0.
fn is_tagged(protocol: u16, mut packet: &[u8]) -> bool {
    if matches!(protocol, VLAN | PROVIDER_BRIDGE) {
        return false;
    }
    while let [_, _, high, low, rest @ ..] = packet {
        match u16::from_be_bytes([*high, *low]) {
            VLAN | PROVIDER_BRIDGE => packet = rest,
            found => return found == protocol || protocol == 0,
        }
    }
    false
}

/// Whether the packet is plausible as this protocol.
fn is_plausible(protocol: u16, packet: &[u8], length: usize) -> bool {
    match (protocol, packet) {
        (IPV4, [0x45..=0x4f, _, high, low, ..]) => {
            u16_of(*high, *low) <= length && has_valid_checksum(packet)
        }
        (IPV6, [0x60..=0x6f, _, _, _, high, low, ..]) => u16_of(*high, *low) + 40 <= length,
        // RFC 2516, section 4: version 1, type 1, code 0.
        (PPPOE_SESSION, [0x11, 0, _, _, high, low, ..]) => u16_of(*high, *low) + 6 <= length,
        _ => false,
    }
}

fn u16_of(high: u8, low: u8) -> usize {
    u16::from_be_bytes([high, low]).into()
}

/// Whether the IPv4 header's checksum is correct. RFC 1071: the sum over the header, including its
/// checksum, is all ones.
fn has_valid_checksum(packet: &[u8]) -> bool {
    let header_length = usize::from(packet[0] & 0x0f) * 4;
    let Some(header) = packet.get(..header_length) else {
        return false;
    };
    let words = header.as_chunks::<2>().0.iter();
    let mut sum: u32 = words.map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum == 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv4 header with a correct checksum (computed by hand): UDP, from 0.0.0.0 to 0.0.0.0.
    fn ipv4(total_length: u16) -> Vec<u8> {
        let mut header = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
        header.extend([0; 8]);
        header[2..4].copy_from_slice(&total_length.to_be_bytes());
        // 0x4500 + 0x4011 = 0x8511
        let checksum = !(0x8511 + total_length);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header
    }

    fn tagged(tags: &[[u8; 2]], inner: [u8; 2], packet: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, tag) in tags.iter().enumerate() {
            let is_last = number + 1 == tags.len();
            bytes.extend(tag);
            bytes.extend(if is_last { inner } else { [0x81, 0x00] });
        }
        bytes.extend(packet);
        bytes
    }

    #[track_caller]
    fn check(protocol: u16, packet: &[u8], length: usize, expected: u16) {
        let found = ether_type(protocol, packet, length);
        assert_eq!(found, expected, "{found:#x} instead of {expected:#x}");
    }

    #[test]
    fn a_packet_without_tags_has_the_reported_protocol() {
        check(IPV4, &ipv4(100), 100, IPV4);
        check(IPV6, &[0x60; 40], 40, IPV6);
        check(PPPOE_SESSION, &[0x11; 40], 40, PPPOE_SESSION);
        check(VLAN, &tagged(&[[0, 5]], [8, 0], &ipv4(100)), 104, VLAN);
        check(IPV4, &[], 0, IPV4);
    }

    #[test]
    fn in_a_stack_of_tags_the_next_tag_is_found() {
        check(IPV4, &tagged(&[[0, 5]], [8, 0], &ipv4(100)), 104, VLAN);
        let deep = tagged(&[[0, 5], [0, 6], [0, 7]], [8, 0], &ipv4(100));
        check(IPV4, &deep, 112, VLAN);
        check(0, &deep, 112, VLAN);
        let sixth = tagged(&[[0, 5]], [0x86, 0xdd], &[0x60; 40]);
        check(IPV6, &sixth, 44, VLAN);
        let pppoe = tagged(&[[0, 5]], [0x88, 0x64], &[0x11; 40]);
        check(PPPOE_SESSION, &pppoe, 44, VLAN);
    }

    #[test]
    fn a_tag_that_looks_like_an_ip_version_is_still_a_tag() {
        // Priority 2, VLAN 0x505; priority 3, VLAN 5.
        check(IPV4, &tagged(&[[0x45, 5]], [8, 0], &ipv4(3000)), 3004, VLAN);
        let sixth = tagged(&[[0x60, 5]], [0x86, 0xdd], &[0x60; 40]);
        check(IPV6, &sixth, 44, VLAN);
        let pppoe = tagged(&[[0x11, 0]], [0x88, 0x64], &[0x11; 40]);
        check(PPPOE_SESSION, &pppoe, 44, VLAN);
    }

    #[test]
    fn a_packet_that_looks_like_a_tag_is_still_a_packet() {
        // 2048 bytes: the length is the EtherType of IPv4.
        check(IPV4, &ipv4(0x0800), 0x0800, IPV4);
        // The flow label ends in 0x86dd; the payload is 8 bytes.
        let mut sixth = [0; 48];
        sixth[..6].copy_from_slice(&[0x60, 0, 0x86, 0xdd, 0, 8]);
        check(IPV6, &sixth, 48, IPV6);
        // Session 0x8864 of 42 bytes.
        let mut pppoe = [0; 48];
        pppoe[..6].copy_from_slice(&[0x11, 0, 0x88, 0x64, 0, 42]);
        check(PPPOE_SESSION, &pppoe, 48, PPPOE_SESSION);
    }
}
