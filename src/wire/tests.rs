use super::*;

/// A whole mirrored TCP packet as RouterOS sends it, spelt out.
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

fn decode(frame: &[u8]) -> Result<Observation, Skipped> {
    decode_frame(LinkType::ETHERNET, frame, &ListenPorts::Any)
}

fn tcp(bytes: u64, truncated: Option<Truncated>) -> Observation {
    Observation {
        source: Ipv4Addr::new(10, 1, 2, 3),
        destination: Ipv4Addr::new(142, 250, 74, 110),
        protocol: IpNumber::TCP,
        listen_port: 37008,
        bytes,
        truncated,
    }
}

/// Changes bytes of [`FRAME`] and checks what comes out.
#[track_caller]
fn check(changes: &[(usize, u8)], expected: Result<Observation, Skipped>) {
    let mut frame = FRAME;
    for &(index, byte) in changes {
        frame[index] = byte;
    }
    assert_eq!(decode(&frame), expected);
}

#[test]
fn a_whole_frame_is_read() {
    check(&[], Ok(tcp(40, None)));
}

#[test]
fn other_ports_are_skipped_when_ports_are_named() {
    let only = |port| {
        decode_frame(
            LinkType::ETHERNET,
            &FRAME,
            &ListenPorts::Only(vec![1, port]),
        )
    };
    assert_eq!(only(37008), Ok(tcp(40, None)));
    assert_eq!(only(37009), Err(Skipped::OtherPort));
}

#[test]
fn a_frame_cut_anywhere_says_where() {
    for length in 0..FRAME.len() {
        let expected = match length {
            0..TZSP => Err(Skipped::OuterMalformed),
            TZSP => Err(Skipped::NotTzsp),
            43..INNER => Err(Skipped::TzspMalformed),
            INNER..81 => Err(Skipped::InnerMalformed),
            _ => Ok(tcp(40, Some(Truncated::Snaplen))),
        };
        assert_eq!(decode(&FRAME[..length]), expected, "cut at {length}");
    }
}

#[test]
fn the_protocol_is_judged_before_the_fragment_offset() {
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
fn a_datagram_from_a_socket_is_read_alike() {
    let datagram = Datagram {
        destination_port: 37008,
        payload: Part::whole(&FRAME[TZSP..]),
        first_fragment: false,
    };
    assert_eq!(decode_datagram(&datagram), Ok(tcp(40, None)));
    let cut = Datagram {
        payload: Part::whole(&FRAME[TZSP..90]),
        ..datagram
    };
    assert_eq!(decode_datagram(&cut), Ok(tcp(40, Some(Truncated::Sensor))));
}

#[test]
fn labels_are_distinct() {
    let mut labels = Skipped::ALL.map(Skipped::label).to_vec();
    labels.extend(Truncated::ALL.map(Truncated::label));
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), 17);
}
