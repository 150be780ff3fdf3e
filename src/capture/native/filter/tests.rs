use std::fs::{File, read_dir};
use std::path::Path;

use proptest::prelude::*;

use super::interpreter::{Packet, passes};
use super::*;
use crate::capture::{CaptureReader, Frame};
use crate::wire::{self, LinkType, Skipped};

const PORT: u16 = 37008;

/// UDP to port 37008, without payload.
const DATAGRAM: [u8; 8] = [0xc0, 0x00, 0x90, 0x90, 0, 8, 0, 0];

/// Returns an IPv4 packet with a datagram, from 192.0.2.2 to 192.0.2.1.
fn ipv4(datagram: &[u8]) -> Vec<u8> {
    #[rustfmt::skip]
    let header = [
        0x45, 0, 0, 28,  0, 0, 0, 0,  64, 17, 0, 0,  192, 0, 2, 2,  192, 0, 2, 1,
    ];
    [&header[..], datagram].concat()
}

/// Returns an IPv6 packet with `rest` as its payload.
fn ipv6(next_header: u8, rest: &[u8]) -> Vec<u8> {
    let length = u8::try_from(rest.len()).expect("it is short");
    let mut packet = vec![0x60, 0, 0, 0, 0, length, next_header, 64];
    packet.resize(40, 0x20);
    packet.extend(rest);
    packet
}

/// Returns `packet` behind `tags` tags of this type, with its outermost EtherType.
fn tagged(tags: usize, tag_type: u16, ether_type: u16, packet: &[u8]) -> (u16, Vec<u8>) {
    let (mut outermost, mut bytes) = (ether_type, packet.to_vec());
    for _ in 0..tags {
        let [high, low] = outermost.to_be_bytes();
        bytes.splice(..0, [0x20, 5, high, low]);
        outermost = tag_type;
    }
    (outermost, bytes)
}

#[track_caller]
fn check(protocol: u16, bytes: &[u8], expected: bool) {
    let program = datagrams(&[1, PORT], None);
    assert_eq!(passes(&program, &Packet::new(protocol, bytes)), expected);
}

#[test]
fn datagrams_to_listen_ports_pass() {
    check(0x0800, &ipv4(&DATAGRAM), true);
    check(0x86dd, &ipv6(17, &DATAGRAM), true);
    let mut other_port = ipv4(&DATAGRAM);
    other_port[23] = 0x91;
    check(0x0800, &other_port, false);
    let mut from_the_port = ipv4(&DATAGRAM);
    from_the_port.splice(20..24, [0x90, 0x90, 0, 53]);
    check(0x0800, &from_the_port, false);
    let mut tcp = ipv4(&DATAGRAM);
    tcp[9] = 6;
    check(0x0800, &tcp, false);
    // ARP.
    check(0x0806, &ipv4(&DATAGRAM), false);
    check(0x0800, &ipv4(&DATAGRAM)[..23], false);
    check(0x0800, &[], false);
}

#[test]
fn headers_may_have_any_length() {
    let mut with_options = ipv4(&[0; 12]);
    with_options[0] = 0x48;
    with_options.extend(DATAGRAM);
    check(0x0800, &with_options, true);
    // Hop-by-hop options of 8 bytes, a routing header of 16, destination options of 8.
    let mut chain = vec![43, 0, 0, 0, 0, 0, 0, 0];
    chain.extend([60, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    chain.extend([17, 0, 0, 0, 0, 0, 0, 0]);
    chain.extend(DATAGRAM);
    check(0x86dd, &ipv6(0, &chain), true);
    chain[26] = 1;
    chain[25] = 1;
    check(0x86dd, &ipv6(0, &chain), false);
}

#[test]
fn first_fragments_pass_and_later_ones_do_not() {
    let mut fragment = ipv4(&DATAGRAM);
    fragment[6] = 0x20;
    check(0x0800, &fragment, true);
    fragment[7] = 1;
    check(0x0800, &fragment, false);
    let mut sixth = ipv6(44, &[&[17, 0, 0, 1, 0, 0, 0, 0], &DATAGRAM[..]].concat());
    check(0x86dd, &sixth, true);
    sixth[43] = 8;
    check(0x86dd, &sixth, false);
}

#[test]
fn streams_under_tags_and_pppoe_pass() {
    let session =
        |protocol: &[u8], packet: &[u8]| [&[0x11, 0, 0, 1, 0, 30], protocol, packet].concat();
    for tag_type in [0x8100, 0x88a8, 0x9100, 0x9200] {
        for tags in 0..=DEPTH {
            let stack = |ether_type, packet: &[u8]| tagged(tags, tag_type, ether_type, packet);
            let (protocol, packet) = stack(0x0800, &ipv4(&DATAGRAM));
            check(protocol, &packet, true);
            let (protocol, packet) = stack(0x86dd, &ipv6(17, &DATAGRAM));
            check(protocol, &packet, true);
            let pppoe = session(&[0, 0x21], &ipv4(&DATAGRAM));
            let (protocol, packet) = stack(0x8864, &pppoe);
            check(protocol, &packet, true);
            let (protocol, packet) = stack(0x0806, &ipv4(&DATAGRAM));
            check(protocol, &packet, false);
        }
    }
    check(0x8864, &session(&[0x21], &ipv4(&DATAGRAM)), true);
    check(0x8864, &session(&[0, 0x57], &ipv6(17, &DATAGRAM)), true);
    check(0x8864, &session(&[0x57], &ipv6(17, &DATAGRAM)), true);
    // IPX.
    check(0x8864, &session(&[0, 0x2b], &ipv4(&DATAGRAM)), false);
}

#[test]
fn packets_deeper_than_the_filter_follows_pass() {
    let (protocol, packet) = tagged(DEPTH + 1, 0x8100, 0x0806, &[]);
    check(protocol, &packet, true);
    let chain = [60, 0, 0, 0, 0, 0, 0, 0].repeat(DEPTH);
    check(0x86dd, &ipv6(60, &chain), true);
}

#[test]
fn packets_sent_by_this_host_or_from_other_interfaces_do_not_pass() {
    let program = datagrams(&[PORT], Some(7));
    let mut packet = Packet::new(0x0800, &ipv4(&DATAGRAM));
    packet.interface = 7;
    for kind in 0..=3 {
        // To this host, broadcast, multicast, to another host.
        packet.kind = kind;
        assert!(passes(&program, &packet));
    }
    packet.kind = OUTGOING;
    assert!(!passes(&program, &packet));
    packet.kind = 0;
    packet.interface = 8;
    assert!(!passes(&program, &packet));
    assert!(!passes(&nothing(), &Packet::new(0x0800, &ipv4(&DATAGRAM))));
}

#[test]
fn as_many_ports_as_are_allowed_fit_into_the_kernel() {
    let ports: Vec<_> = (1..=MOST_PORTS)
        .map(|port| u16::try_from(port).expect("ports are few"))
        .collect();
    let program = datagrams(&ports, Some(7));
    // BPF_MAXINSNS.
    assert!(program.len() <= 4096, "{}", program.len());
    let mut packet = Packet::new(0x0800, &ipv4(&DATAGRAM));
    packet.interface = 7;
    packet.bytes[22..24].copy_from_slice(&ports[MOST_PORTS - 1].to_be_bytes());
    assert!(passes(&program, &packet));
}

/// Returns a captured frame as a packet socket would receive it.
fn packet(frame: &Frame<'_>) -> Option<Packet> {
    let by_version = |bytes: &[u8]| {
        let protocol = match bytes.first()? >> 4 {
            4 => 0x0800,
            6 => 0x86dd,
            _ => return None,
        };
        Some(Packet::new(protocol, bytes))
    };
    let bytes = frame.bytes;
    // A cooked header is replaced by an Ethernet header.
    let cooked =
        |protocol: &[u8], rest: &[u8]| Packet::of_ethernet(&[&[0; 12], protocol, rest].concat());
    match frame.link {
        LinkType::ETHERNET => Packet::of_ethernet(bytes),
        LinkType::LINUX_SLL => cooked(bytes.get(14..16)?, &bytes[16..]),
        LinkType::LINUX_SLL2 => cooked(bytes.get(..2)?, bytes.get(20..)?),
        LinkType::NULL | LinkType::LOOP => by_version(bytes.get(4..)?),
        LinkType::RAW
        | LinkType::RAW_BSD
        | LinkType::RAW_OPENBSD
        | LinkType::IPV4
        | LinkType::IPV6 => by_version(bytes),
        _ => None,
    }
}

/// Checks that the filter passes a frame exactly if `wire` finds a datagram to a listen port in it.
/// It may also pass malformed datagrams.
#[track_caller]
fn check_frame(program: &[Instruction], ports: &[u16], frame: &Frame<'_>) -> bool {
    let Some(packet) = packet(frame) else {
        return false;
    };
    let passed = passes(program, &packet);
    match wire::datagram(frame.link, frame.captured()) {
        Ok(datagram) => {
            let is_wanted = ports.contains(&datagram.destination_port);
            assert_eq!(passed, is_wanted, "{datagram:?}");
        }
        Err(Skipped::OuterMalformed) => {}
        Err(reason) => assert!(!passed, "{reason:?}"),
    }
    passed
}

/// Captures of datagrams behind LLC, which `wire` decodes and the filter does not pass.
const WITH_LLC: [&str; 2] = ["ieee_802_3_outside.pcap", "linux_cooked_v1_llc.pcap"];

#[test]
fn datagrams_that_wire_would_count_pass_in_every_fixture() {
    let ports = [PORT, 1234];
    let program = datagrams(&ports, None);
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut passed = 0;
    for entry in read_dir(captures).expect("testdata is there") {
        let path = entry.expect("it is read").path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let is_capture = extension.is_some_and(|extension| extension.starts_with("pcap"));
        if !is_capture || WITH_LLC.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        let mut reader = CaptureReader::new(File::open(&path).expect("it opens"));
        while reader.fill().expect("it is a capture") {
            while let Some(frame) = reader.next_frame().expect("it is a capture") {
                passed += u64::from(check_frame(&program, &ports, &frame));
            }
        }
    }
    assert!(passed > 200, "{passed}");
}

proptest! {
    #[test]
    fn datagrams_that_wire_would_count_pass_in_generated_frames(
        tags in proptest::collection::vec(0_usize..4, 0..DEPTH),
        pppoe in any::<bool>(),
        version in prop_oneof![Just(4), Just(6)],
        extensions in proptest::collection::vec(0_usize..4, 0..DEPTH),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        length in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut packet = if version == 4 {
            ipv4(&DATAGRAM)
        } else {
            let (mut next, mut rest) = (17, DATAGRAM.to_vec());
            for extension in extensions {
                rest.splice(..0, [next, 0, 0, 0, 0, 0, 0, 0]);
                next = [0, 43, 44, 60][extension];
            }
            ipv6(next, &rest)
        };
        let mut ether_type = if version == 4 { 0x0800 } else { 0x86dd };
        if pppoe {
            let protocol = if version == 4 { 0x21 } else { 0x57 };
            packet.splice(..0, [0x11, 0, 0, 1, 0, 30, 0, protocol]);
            ether_type = 0x8864;
        }
        for tag in tags {
            let tag_type = [0x8100, 0x88a8, 0x9100, 0x9200][tag];
            (ether_type, packet) = tagged(1, tag_type, ether_type, &packet);
        }
        let [high, low] = u16::to_be_bytes(ether_type);
        packet.splice(..0, [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, high, low]);
        for (index, byte) in changes {
            let at = index.index(packet.len());
            packet[at] = byte;
        }
        if is_cut {
            packet.truncate(length.index(packet.len()));
        }
        let frame = Frame {
            at: std::time::Duration::ZERO,
            link: LinkType::ETHERNET,
            bytes: &packet,
            length: packet.len(),
        };
        check_frame(&datagrams(&[PORT], None), &[PORT], &frame);
    }
}
