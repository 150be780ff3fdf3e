//! Captures in which nothing counts: a warning describes what the frames are.

use std::fs::{self};

use insta::assert_snapshot;
use tempfile::TempDir;

use crate::jobs::{analyze, stderr};
use crate::support::testdata;

#[test]
fn when_nothing_counts_a_warning_describes_the_frames() {
    let run = |arguments: &[&str]| {
        let run = analyze(&testdata(), arguments).success();
        stderr(&run).to_owned()
    };
    assert_snapshot!(run(&["--listen-port", "9", "listen_ports_keep_flows_apart.pcap"]), @r"
    warning: nothing was counted; the frames are: 3 other_port
      other_port: UDP to a port that is not listened to; with `--listen-port`, also TZSP without UDP
      UDP port 1234: 1 datagram, 1 like TZSP; to count them: --listen-port 1234
      UDP port 37008: 1 datagram, 1 like TZSP; to count them: --listen-port 37008
      UDP port 65535: 1 datagram, 1 like TZSP; to count them: --listen-port 65535
    ");
    assert_snapshot!(run(&["not_udp.pcap", "not_tzsp.pcap"]), @r"
    warning: nothing was counted; the frames are: 3 not_udp, 4 not_tzsp
      not_udp: IP without UDP
      not_tzsp: an empty datagram, or one that is not TZSP version 1. Remedy: find out who sends it, and let only the routers send to this port
      UDP port 37008: 4 datagrams, 0 like TZSP
      no TZSP; to count the frames' own packets: --plain
    ");
    assert_snapshot!(run(&["routeros_wireless_sniffer.pcap"]), @r"
    warning: nothing was counted; the frames are: 2 inner_wlan_no_data
      inner_wlan_no_data: 802.11 management and control, and data frames without data (null function)
      UDP port 37008: 2 datagrams, 2 like TZSP; what they carry counts in no flow
    ");
    assert_snapshot!(run(&["pcap_without_frames.pcap"]), @"warning: nothing was counted: there are no frames");
}

/// A pcap capture of this link type with these frames.
fn pcap(link: u8, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut capture = b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\x04\0".to_vec();
    capture.extend([link, 0, 0, 0]);
    for frame in frames {
        let length = u32::try_from(frame.len()).unwrap().to_le_bytes();
        capture.extend([&[1, 0, 0, 0, 0, 0, 0, 0][..], &length, &length, frame].concat());
    }
    capture
}

/// An Ethernet frame with this EtherType and an empty payload.
fn frame_of(ether_type: u16) -> Vec<u8> {
    [&[0xff; 12][..], &ether_type.to_be_bytes(), &[0; 4]].concat()
}

#[test]
fn uncounted_link_types_and_ether_types_are_named() {
    let run = |options: &[&str], captures: &[Vec<u8>]| {
        let directory = TempDir::new().unwrap();
        let names: Vec<_> = (0..captures.len())
            .map(|number| number.to_string())
            .collect();
        for (name, capture) in names.iter().zip(captures) {
            fs::write(directory.path().join(name), capture).unwrap();
        }
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let run = analyze(directory.path(), &[options, &names].concat()).success();
        stderr(&run).to_owned()
    };
    // USB, a link type without a name, and Ethernet frames without a mirrored packet.
    let captures = [
        pcap(220, &[vec![0], vec![0]]),
        pcap(99, &[vec![0]]),
        pcap(1, &[0x0806, 0x88cc, 0x0806, 0x0026, 0x0107].map(frame_of)),
    ];
    assert_snapshot!(run(&[], &captures), @r"
    warning: nothing was counted; the frames are: 3 unsupported_link, 5 not_ip
      unsupported_link: a link type that cannot carry the stream, or is not decoded. Remedy: capture on an Ethernet interface, or on `any`
      not_ip: neither IPv4 nor IPv6
      link type 220 (USB_LINUX_MMAPPED): 2 frames
      link type 99: 1 frame
      no EtherType (LLC): 2 frames
      EtherType 0x0806 (ARP): 2 frames
      EtherType 0x88cc (LLDP): 1 frame
    ");
    // More EtherTypes than the warning lists, inside TZSP without a datagram.
    let types = [
        (0x8809, 7),
        (0x0806, 6),
        (0x888e, 5),
        (0x9999, 4),
        (0x88cc, 3),
        (0x8863, 2),
        (0x9000, 1),
    ];
    let mirrored = types.map(|(ether_type, frames)| {
        vec![[&[1, 0, 0, 1, 1][..], &frame_of(ether_type)].concat(); frames]
    });
    assert_snapshot!(run(&[], &[pcap(128, &mirrored.concat())]), @r"
    warning: nothing was counted; the frames are: 28 inner_not_ip
      inner_not_ip: a mirrored frame without IP, such as ARP or LLC without SNAP
      mirrored EtherType 0x8809 (slow protocols, such as LACP): 7 frames
      mirrored EtherType 0x0806 (ARP): 6 frames
      mirrored EtherType 0x888e (802.1X): 5 frames
      mirrored EtherType 0x9999: 4 frames
      mirrored EtherType 0x88cc (LLDP): 3 frames
      2 other mirrored EtherTypes: 3 frames
    ");
    let own = [pcap(1, &[0x88cc, 0x88cc, 0x0806].map(frame_of))];
    assert_snapshot!(run(&["--plain"], &own), @r"
    warning: nothing was counted; the frames are: 3 inner_not_ip
      inner_not_ip: a mirrored frame without IP, such as ARP or LLC without SNAP
      EtherType 0x88cc (LLDP): 2 frames
      EtherType 0x0806 (ARP): 1 frame
    ");
}
