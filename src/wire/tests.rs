use std::net::Ipv6Addr;

use etherparse::IpNumber;

use super::*;

/// A complete mirrored TCP packet as RouterOS sends it.
#[rustfmt::skip]
const FRAME: [u8; 14 + 20 + 8 + 5 + 14 + 40] = [
    // Ethernet
    0x02, 0, 0, 0, 0, 0x02,  0x02, 0, 0, 0, 0, 0x01,  0x08, 0x00,
    // IPv4: 87 bytes, UDP, 192.168.88.1 to 192.168.88.10
    0x45, 0, 0, 87,  0, 0, 0, 0,  64, 17, 0, 0,  192, 168, 88, 1,  192, 168, 88, 10,
    // UDP: port 37008, 67 bytes
    0xc0, 0x00, 0x90, 0x90,  0, 67, 0, 0,
    // TZSP: version 1, received, Ethernet, end tag
    1, 0, 0, 1, 1,
    // Ethernet
    0x02, 0, 0, 0, 0, 0x04,  0x02, 0, 0, 0, 0, 0x03,  0x08, 0x00,
    // IPv4: 40 bytes, TCP, 10.1.2.3 to 142.250.74.110
    0x45, 0, 0, 40,  0, 0, 0, 0,  64, 6, 0, 0,  10, 1, 2, 3,  142, 250, 74, 110,
    // TCP
    0xd4, 0x31, 0x01, 0xbb,  0, 0, 0, 1,  0, 0, 0, 2,  0x50, 0x10, 0x01, 0xf5,  0, 0, 0, 0,
];

/// Where the layers of [`FRAME`] start.
const UDP: usize = 34;
const TZSP: usize = 42;
const INNER: usize = 47;
const INNER_IP: usize = 61;

const IPV4_ALONE: DecodeOptions = DecodeOptions {
    listen_ports: ListenPorts::Any,
    ipv6: false,
};

#[track_caller]
fn decode(frame: &[u8]) -> Result<Observation, Skipped> {
    decode_full(LinkType::ETHERNET, Captured::whole(frame), &IPV4_ALONE)
}

fn tcp(bytes: u64, truncated: Option<Truncated>) -> Observation {
    Observation {
        source: [10, 1, 2, 3].into(),
        destination: [142, 250, 74, 110].into(),
        protocol: IpNumber::TCP,
        listen_port: 37008,
        sensor: [192, 168, 88, 1].into(),
        ports: Some((54321, 443)),
        vlan: None,
        dscp: 0,
        bytes,
        truncated,
    }
}

/// Changes bytes of [`FRAME`] and checks the result.
#[track_caller]
fn check(changes: &[(usize, u8)], expected: Result<Observation, Skipped>) {
    let mut frame = FRAME;
    for &(index, byte) in changes {
        frame[index] = byte;
    }
    assert_eq!(decode(&frame), expected);
}

#[test]
fn a_complete_frame_is_decoded() {
    check(&[], Ok(tcp(40, None)));
}

/// Decodes a frame on both paths. Returns whether the fast path did.
#[track_caller]
fn check_both_paths(frame: Captured<'_>) -> bool {
    let full = decode_full(LinkType::ETHERNET, frame, &IPV4_ALONE);
    let fast = decode_fast(LinkType::ETHERNET, frame, &IPV4_ALONE);
    if let Some(seen) = fast {
        assert_eq!(full, Ok(seen), "{:02x?}", frame.bytes);
    }
    let ports = &ListenPorts::Any;
    let full = decapsulate::decapsulate_full(LinkType::ETHERNET, frame, ports);
    let inner = decapsulate::decapsulate_fast(LinkType::ETHERNET, frame, ports);
    if let Some(inner) = inner {
        assert_eq!(full, Some(Ok(inner)), "{:02x?}", frame.bytes);
    }
    assert_eq!(inner.is_some(), fast.is_some());
    fast.is_some()
}

#[test]
fn the_fast_path_decodes_what_routers_send_and_nothing_else() {
    let is_fast = |at: usize, bytes: &[u8]| {
        let mut frame = FRAME;
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        check_both_paths(Captured::whole(&frame))
    };
    assert!(is_fast(0, &[]));
    assert!(is_fast(TZSP + 1, &[1]), "type 1");
    assert!(is_fast(20, &[0x20, 0]), "a first fragment");
    assert!(is_fast(INNER_IP + 6, &[0, 1]), "a later fragment inside");
    assert!(!is_fast(20, &[0, 1]), "a later fragment");
    assert!(!is_fast(12, &[0x81, 0]), "a VLAN tag");
    assert!(!is_fast(INNER + 12, &[0x81, 0]), "a VLAN tag inside");
    assert!(!is_fast(14, &[0x46]), "options");
    assert!(!is_fast(INNER_IP, &[0x46]), "options inside");
    assert!(!is_fast(TZSP + 4, &[0, 1]), "padding");
    assert!(!is_fast(INNER_IP + 2, &[0, 0]), "segmentation offload");
    let plain = DecodeOptions {
        listen_ports: ListenPorts::Plain,
        ipv6: false,
    };
    let frame = Captured::whole(&FRAME);
    assert_eq!(decode_fast(LinkType::ETHERNET, frame, &plain), None);
    assert_eq!(decode_fast(LinkType::RAW, frame, &IPV4_ALONE), None);
}

#[test]
fn both_paths_agree_whatever_byte_is_changed() {
    for at in 0..FRAME.len() {
        for value in 0..=u8::MAX {
            let mut frame = FRAME;
            frame[at] = value;
            // Of the two lengths and the two fragment fields, each is odd beside the others.
            for (other, with) in [(0, 0), (17, 70), (20, 0x20), (39, 50), (INNER_IP + 3, 24)] {
                let mut frame = frame;
                frame[other] = with;
                for length in [INNER_IP + 20, INNER_IP + 23, INNER_IP + 24, FRAME.len()] {
                    check_both_paths(Captured::new(&frame[..length], FRAME.len()));
                }
            }
        }
    }
}

#[test]
fn other_ports_are_skipped_when_ports_are_named() {
    let only = |port| {
        let options = DecodeOptions {
            listen_ports: ListenPorts::Only(vec![1, port]),
            ipv6: false,
        };
        decode_full(LinkType::ETHERNET, Captured::whole(&FRAME), &options)
    };
    assert_eq!(only(37008), Ok(tcp(40, None)));
    assert_eq!(only(37009), Err(Skipped::OtherPort));
}

#[test]
fn a_frame_cut_anywhere_is_skipped_with_the_reason() {
    for length in 0..FRAME.len() {
        let expected = match length {
            0..TZSP => Err(Skipped::OuterMalformed),
            TZSP => Err(Skipped::NotTzsp),
            43..INNER => Err(Skipped::TzspMalformed),
            INNER..81 => Err(Skipped::InnerMalformed),
            81..85 => Ok(Observation {
                ports: None,
                ..tcp(40, Some(Truncated::Snaplen))
            }),
            _ => Ok(tcp(40, Some(Truncated::Snaplen))),
        };
        assert_eq!(decode(&FRAME[..length]), expected, "cut at {length}");
    }
}

#[test]
fn the_protocol_is_checked_before_the_fragment_offset() {
    const PROTOCOL: usize = 14 + 9;
    const OFFSET: usize = 14 + 7;
    check(&[(PROTOCOL, 6)], Err(Skipped::NotUdp));
    check(&[(PROTOCOL, 6), (OFFSET, 1)], Err(Skipped::NotUdp));
    check(&[(OFFSET, 1)], Err(Skipped::LaterFragment));
}

#[test]
fn the_first_cause_of_truncation_counts() {
    const MORE_FRAGMENTS: (usize, u8) = (14 + 6, 0x20);
    const INNER_LENGTH: usize = INNER_IP + 3;
    const UDP_LENGTH: usize = UDP + 5;
    let (sensor, fragment, snaplen) = (Truncated::Sensor, Truncated::Fragment, Truncated::Snaplen);

    // The inner packet claims 100 bytes; UDP has room for 40, then for 100.
    let claim = (INNER_LENGTH, 100);
    let room = (UDP_LENGTH, 127);
    check(&[claim], Ok(tcp(100, Some(sensor))));
    check(&[claim, MORE_FRAGMENTS], Ok(tcp(100, Some(sensor))));
    check(&[claim, room, MORE_FRAGMENTS], Ok(tcp(100, Some(fragment))));
    check(&[claim, room], Ok(tcp(100, Some(snaplen))));
    check(&[(INNER_LENGTH, 39)], Ok(tcp(39, None)));
}

#[test]
fn an_inner_total_length_of_0_takes_what_udp_leaves() {
    const INNER_LENGTH: usize = INNER_IP + 3;
    const UDP_LENGTH: usize = UDP + 5;
    check(&[(INNER_LENGTH, 0)], Ok(tcp(40, None)));
    check(
        &[(INNER_LENGTH, 0), (UDP_LENGTH, 167)],
        Ok(tcp(140, Some(Truncated::Snaplen))),
    );
    // 22 bytes are left for a header of 24.
    check(
        &[(INNER_LENGTH, 0), (UDP_LENGTH, 49), (INNER_IP, 0x46)],
        Err(Skipped::InnerMalformed),
    );
}

#[test]
fn a_datagram_from_a_socket_is_decoded_alike() {
    let datagram = Datagram {
        source: [192, 168, 88, 1].into(),
        destination_port: 37008,
        payload: Captured::whole(&FRAME[TZSP..]),
        first_fragment: false,
    };
    assert_eq!(
        decode_datagram_full(&datagram, &IPV4_ALONE),
        Ok(tcp(40, None))
    );
    let cut = Datagram {
        payload: Captured::whole(&FRAME[TZSP..90]),
        ..datagram
    };
    assert_eq!(
        decode_datagram_full(&cut, &IPV4_ALONE),
        Ok(tcp(40, Some(Truncated::Sensor)))
    );
}

#[test]
fn only_some_protocols_and_only_first_fragments_have_ports() {
    const PROTOCOL: usize = INNER_IP + 9;
    let of = |protocol, ports| {
        Ok(Observation {
            protocol: IpNumber(protocol),
            ports,
            ..tcp(40, None)
        })
    };
    for protocol in [6, 17, 33, 132, 136] {
        check(&[(PROTOCOL, protocol)], of(protocol, Some((54321, 443))));
    }
    for protocol in [1, 47, 50, 51, 58] {
        check(&[(PROTOCOL, protocol)], of(protocol, None));
    }
    // More fragments follow; then a fragment in the middle.
    check(&[(INNER_IP + 6, 0x20)], of(6, Some((54321, 443))));
    check(&[(INNER_IP + 7, 1)], of(6, None));
    // The packet ends with its header: what follows is padding.
    let bytes_of_20 = Observation {
        ports: None,
        ..tcp(20, None)
    };
    check(&[(INNER_IP + 3, 20)], Ok(bytes_of_20));
}

#[test]
fn dscp_is_six_bits_of_the_second_byte() {
    let expedited = Observation {
        dscp: 46,
        ..tcp(40, None)
    };
    check(&[(INNER_IP + 1, 0xb8)], Ok(expedited));
    check(&[(INNER_IP + 1, 0xbb)], Ok(expedited));
}

#[test]
fn the_outermost_tag_inside_names_the_vlan() {
    let tagged = |tags: &[u8]| {
        let payload = [&FRAME[TZSP..INNER + 12], tags, &FRAME[INNER + 12..]].concat();
        let datagram = Datagram {
            source: [192, 168, 88, 1].into(),
            destination_port: 37008,
            payload: Captured::whole(&payload),
            first_fragment: false,
        };
        decode_datagram_full(&datagram, &IPV4_ALONE).map(|observation| observation.vlan)
    };
    assert_eq!(tagged(&[]), Ok(None));
    assert_eq!(tagged(&[0x81, 0, 0, 0]), Ok(Some(0)));
    // Priority 7 does not belong to the identifier.
    assert_eq!(tagged(&[0x81, 0, 0xef, 0xff]), Ok(Some(4095)));
    let two = [0x88, 0xa8, 0, 100, 0x81, 0, 0, 10];
    assert_eq!(tagged(&two), Ok(Some(100)));
}

/// Decodes an inner IPv6 packet with this next header, payload length and payload.
fn ipv6(next: u8, length: u16, payload: &[u8]) -> Result<Observation, Skipped> {
    #[rustfmt::skip]
    let header = [
        // TZSP, then Ethernet
        1, 0, 0, 1, 1,
        0x02, 0, 0, 0, 0, 0x04,  0x02, 0, 0, 0, 0, 0x03,  0x86, 0xdd,
        // Traffic class 0xb8, flow label 0x12345
        0x6b, 0x81, 0x23, 0x45,
    ];
    let addresses = [
        [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        [0x26; 16],
    ]
    .concat();
    let length = length.to_be_bytes();
    let bytes = [&header[..], &length, &[next, 64], &addresses, payload].concat();
    let datagram = Datagram {
        source: [192, 168, 88, 1].into(),
        destination_port: 37008,
        payload: Captured::whole(&bytes),
        first_fragment: false,
    };
    let options = DecodeOptions {
        ipv6: true,
        ..IPV4_ALONE
    };
    assert_eq!(
        decode_datagram_full(&datagram, &IPV4_ALONE),
        Err(Skipped::InnerIpv6)
    );
    decode_datagram_full(&datagram, &options)
}

#[track_caller]
fn check_ipv6(next: u8, payload: &[u8], protocol: u8, ports: Option<(u16, u16)>) {
    let length = u16::try_from(payload.len()).expect("a short payload");
    let expected = Observation {
        source: "fd00::1".parse::<Ipv6Addr>().expect("an address").into(),
        destination: Ipv6Addr::from([0x26; 16]).into(),
        protocol: IpNumber(protocol),
        ports,
        dscp: 46,
        ..tcp(u64::from(length) + 40, None)
    };
    assert_eq!(ipv6(next, length, payload), Ok(expected));
}

#[test]
fn inner_ipv6_leads_through_extension_headers_to_the_protocol() {
    const TCP: [u8; 4] = [0xd4, 0x31, 0x01, 0xbb];
    let behind = |header: &[u8]| [header, &TCP].concat();
    let ports = Some((54321, 443));

    check_ipv6(6, &TCP, 6, ports);
    check_ipv6(59, &[], 59, None);
    check_ipv6(0, &behind(&[6, 0, 1, 4, 0, 0, 0, 0]), 6, ports);
    check_ipv6(43, &behind(&[6, 0, 1, 4, 0, 0, 0, 0]), 6, ports);
    check_ipv6(60, &behind(&[6, 0, 1, 4, 0, 0, 0, 0]), 6, ports);
    // An authentication header of 12 bytes, without a check value.
    check_ipv6(51, &behind(&[6, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]), 6, ports);
    // The first fragment, then a later one.
    check_ipv6(44, &behind(&[6, 0, 0, 1, 0, 0, 0, 7]), 6, ports);
    check_ipv6(44, &behind(&[6, 0, 0, 8, 0, 0, 0, 7]), 6, None);
    check_ipv6(50, &behind(&[0; 8]), 50, None);
}

#[test]
fn inner_ipv6_with_a_chain_cut_short_counts_for_the_last_number_known() {
    check_ipv6(0, &[], 0, None);
    check_ipv6(0, &[43], 43, None);
    check_ipv6(0, &[6, 1, 1, 4, 0, 0, 0, 0], 6, None);
    check_ipv6(44, &[17, 0], 17, None);
    check_ipv6(51, &[6], 6, None);
    check_ipv6(60, &[60, 0, 1, 4, 0, 0, 0, 0], 60, None);
}

#[test]
fn inner_ipv6_needs_its_40_bytes_and_takes_lengths_like_ipv4() {
    assert_eq!(ipv6(6, 1460, &[0; 20]).map(|seen| seen.bytes), Ok(1500));
    assert_eq!(
        ipv6(6, 1460, &[0; 20]).map(|seen| seen.truncated),
        Ok(Some(Truncated::Sensor))
    );
    // What the datagram leaves.
    assert_eq!(ipv6(6, 0, &[0; 20]).map(|seen| seen.bytes), Ok(60));
    assert_eq!(ipv6(6, 0, &[0; 20]).map(|seen| seen.truncated), Ok(None));
}

#[test]
fn labels_are_distinct() {
    let mut labels = Skipped::ALL.map(Skipped::label).to_vec();
    labels.extend(Truncated::ALL.map(Truncated::label));
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), 22);
}
