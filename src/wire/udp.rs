//! The payload of a mirrored UDP datagram (RFC 768), for those few that are read further.
//!
//! ```text
//!   0                   1                   2                   3
//!  +-------------------------------+-------------------------------+
//!  |          source port          |       destination port        |
//!  +-------------------------------+-------------------------------+
//!  |            length             |           checksum            |
//!  +-------------------------------+-------------------------------+
//! ```

use etherparse::{IpNumber, UdpHeader};

use super::ip::Ip;
use super::ipv4::Ipv4;
use super::ipv6::{self, Ipv6, Through};
use super::observation::Observation;
use crate::frame::Captured;

/// Returns the payload of the datagram in an IP packet that was decoded as `seen`, or its beginning
/// if it is cut short or a first fragment. `None` if the packet has no UDP header.
pub(super) fn payload<'a>(seen: &Observation, packet: Captured<'a>) -> Option<&'a [u8]> {
    if seen.protocol != IpNumber::UDP || seen.ports.is_none() {
        return None;
    }
    let claimed = usize::try_from(seen.bytes).unwrap_or(usize::MAX);
    let packet = Captured::claimed(packet.bytes, claimed);
    let datagram = match seen.source {
        Ip::V4(_) => packet.skip(Ipv4::parse(packet.bytes)?.header_length),
        Ip::V6(..) => {
            let header = Ipv6::parse(packet.bytes)?;
            let payload = header.payload(packet.bytes);
            ipv6::walk(header.next_header, payload, Through::Authentication).rest?
        }
    };
    let ([_, _, _, _, high, low, _, _], rest) = datagram.bytes.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    // 0 means the rest, as in a jumbogram, or where segmentation offload left it empty.
    let length = length.checked_sub(UdpHeader::LEN).unwrap_or(rest.len());
    Some(Captured::claimed(rest, length).bytes)
}

#[cfg(test)]
mod tests {
    use super::super::{DecodeOptions, LinkType, ListenPorts, mirrored_payload};
    use super::*;

    const PLAIN: DecodeOptions = DecodeOptions {
        listen_ports: ListenPorts::Plain,
        ipv6: true,
    };

    /// Port 68 to port 67, and a payload of 3 bytes.
    const DATAGRAM: &[u8] = &[0, 68, 0, 67, 0, 11, 0, 0, b'a', b'b', b'c'];

    fn ipv4(header: &[u8], datagram: &[u8]) -> Vec<u8> {
        [header, datagram].concat()
    }

    #[track_caller]
    fn check(packet: &[u8], expected: Option<&[u8]>) {
        let packet = Captured::whole(packet);
        assert_eq!(mirrored_payload(LinkType::RAW, packet, &PLAIN), expected);
    }

    #[rustfmt::skip]
    const IPV4: [u8; 20] = [
        0x45, 0, 0, 31,  0, 0, 0, 0,  64, 17, 0, 0,  10, 0, 0, 1,  10, 0, 0, 2,
    ];

    #[test]
    fn the_payload_follows_the_headers() {
        check(&ipv4(&IPV4, DATAGRAM), Some(b"abc"));
        // Padding of the frame does not belong to it.
        let padded = [&ipv4(&IPV4, DATAGRAM)[..], &[0; 20]].concat();
        check(&padded, Some(b"abc"));
        let mut options = IPV4.to_vec();
        options[0] = 0x46;
        options[3] = 35;
        options.extend([1, 1, 1, 0]);
        check(&ipv4(&options, DATAGRAM), Some(b"abc"));
    }

    #[test]
    fn extension_headers_of_ipv6_are_skipped() {
        let mut packet = vec![0x60, 0, 0, 0, 0, 19, 0, 64];
        packet.extend([0x20; 32]);
        // Hop-by-hop options, followed by UDP.
        packet.extend([17, 0, 1, 4, 0, 0, 0, 0]);
        packet.extend(DATAGRAM);
        check(&packet, Some(b"abc"));
    }

    #[test]
    fn the_beginning_of_what_is_cut_short_is_returned() {
        let packet = ipv4(&IPV4, DATAGRAM);
        check(&packet[..30], Some(b"ab"));
        check(&packet[..28], Some(b""));
        check(&packet[..27], None);
        check(&packet[..23], None);
    }

    #[test]
    fn a_length_of_zero_means_the_rest() {
        let mut datagram = DATAGRAM.to_vec();
        datagram[5] = 0;
        check(&ipv4(&IPV4, &datagram), Some(b"abc"));
    }

    #[test]
    fn other_packets_have_no_payload() {
        let mut tcp = IPV4;
        tcp[9] = 6;
        check(&ipv4(&tcp, DATAGRAM), None);
        let mut later_fragment = IPV4;
        later_fragment[7] = 1;
        check(&ipv4(&later_fragment, DATAGRAM), None);
    }
}
