//! `--ipv6`: mirrored IPv6 packets, compared with numbers worked out by hand and with tshark.

use std::fs::File;
use std::process::Command;

use tzsp_packetstream_exporter::capture::CaptureReader;
use tzsp_packetstream_exporter::wire::{self, DecodeOptions, ListenPorts, Observation, Skipped};

use crate::scrape::Scrape;
use crate::support::{program, testdata, tool};

/// Checks the samples of a capture with `--ipv6`. All others of their families must be 0.
#[track_caller]
fn check(capture: &str, bytes: &[(&str, f64)], others: &[(&str, f64)]) {
    let output = program()
        .current_dir(testdata())
        .args(["analyze", "--ipv6", "--labels", "protocol", capture])
        .output()
        .unwrap();
    let scrape = Scrape::parse(&String::from_utf8(output.stdout).unwrap());
    scrape.assert_every_frame_is_accounted_for();
    let family = "tzsp_observed_bytes_total";
    for (protocol, bytes) in bytes {
        let sample = format!("{family}{{protocol=\"{protocol}\"}}");
        assert_eq!(scrape.value(&sample), *bytes, "{sample}");
    }
    assert_eq!(
        scrape.family(family).count(),
        bytes.len(),
        "{}",
        scrape.text
    );
    for (sample, value) in others {
        assert_eq!(scrape.value(sample), *value, "{sample}");
    }
    assert_eq!(
        scrape.value("tzsp_frames_skipped_total{reason=\"inner_ipv6\"}"),
        0.0
    );
}

const SENSOR: &str = "tzsp_frames_truncated_total{cause=\"sensor\"}";
const MALFORMED: &str = "tzsp_frames_skipped_total{reason=\"inner_malformed\"}";

#[test]
fn bytes_are_payload_length_plus_40() {
    let protocols = [
        ("tcp", 72.0),
        ("udp", 140.0),
        ("sctp", 100.0),
        ("esp", 136.0),
        ("ipv6-icmp", 48.0),
        ("ipv6-nonxt", 40.0),
    ];
    check("ipv6_protocols_inside.pcap", &protocols, &[(SENSOR, 0.0)]);
}

#[test]
fn extension_headers_lead_to_the_protocol() {
    let protocols = [
        // Hop-by-hop, routing, destination, fragment, AH, and a header cut after the protocol
        // number.
        ("tcp", 80.0 + 96.0 + 80.0 + 80.0 + 80.0 + 96.0 + 80.0),
        ("udp", 88.0),
        ("hopopt", 80.0),
    ];
    check(
        "ipv6_extension_headers_inside.pcap",
        &protocols,
        &[(SENSOR, 2.0)],
    );
}

#[test]
fn a_payload_length_of_0_means_the_rest_of_the_datagram() {
    let protocols = [("ipv6-icmp", 48.0), ("tcp", 1500.0 + 72.0 + 65_575.0)];
    check("ipv6_lengths_inside.pcap", &protocols, &[(SENSOR, 2.0)]);
}

#[test]
fn a_payload_length_of_0_without_a_next_header_is_40_bytes_despite_padding() {
    check(
        "ipv6_no_next_header_inside.pcap",
        &[("ipv6-nonxt", 80.0)],
        &[(SENSOR, 0.0)],
    );
}

#[test]
fn ipv6_counts_behind_every_encapsulation() {
    let tcp = [("tcp", 72.0 + 5.0 * 52.0)];
    check("mpls_inside.pcap", &tcp, &[]);
    let tcp = [("tcp", 72.0 + 104.0)];
    check(
        "pppoe_protocol_of_one_byte_inside.pcap",
        &tcp,
        &[(MALFORMED, 1.0)],
    );
    check("ieee_802_3_inside.pcap", &[("tcp", 72.0 + 344.0)], &[]);
}

#[test]
fn an_ipv6_header_needs_40_bytes_and_version_6() {
    check("ipv6_malformed_inside.pcap", &[], &[(MALFORMED, 3.0)]);
    check(
        "ipv6_inside.pcap",
        &[("ipv6-icmp", 96.0)],
        &[(MALFORMED, 1.0)],
    );
    check("snap_length_64.pcap", &[], &[(MALFORMED, 3.0)]);
}

#[test]
fn ppp_carries_ipv6_too() {
    let not_ip = "tzsp_frames_skipped_total{reason=\"inner_not_ip\"}";
    check(
        "pppoe_without_ipv4_inside.pcap",
        &[("ipv6-icmp", 48.0)],
        &[(not_ip, 2.0)],
    );
}

#[test]
fn tshark_decodes_ipv6_alike() {
    let mut compared = 0;
    for capture in [
        "ipv6_protocols_inside.pcap",
        "ipv6_extension_headers_inside.pcap",
        "ipv6_lengths_inside.pcap",
        "ipv6_no_next_header_inside.pcap",
        "ipv6_inside.pcap",
        "pppoe_without_ipv4_inside.pcap",
    ] {
        let ours = observations(capture);
        let theirs = headers(capture);
        assert_eq!(ours.len(), theirs.len(), "{capture}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let Ok(ours) = ours else {
                assert_eq!(*theirs, None, "{capture}: {ours:?}");
                continue;
            };
            let theirs = theirs.as_ref().unwrap();
            compared += 1;
            assert_eq!(theirs.source, ours.source.to_string());
            assert_eq!(theirs.destination, ours.destination.to_string());
            // tshark prints a payload length of 0 unchanged.
            if theirs.payload_length != 0 {
                assert_eq!(theirs.payload_length + 40, ours.bytes);
            }
            let numbers = &theirs.next_headers;
            let is_extension = |number: &&u8| [0, 43, 44, 51, 60].contains(*number);
            match numbers.iter().find(|number| !is_extension(number)) {
                Some(protocol) => assert_eq!(*protocol, ours.protocol.0, "{capture}"),
                // tshark shows no truncated extension header. We need only its first byte.
                None => assert!(ours.truncated.is_some(), "{capture}: {theirs:?}"),
            }
        }
    }
    assert_eq!(compared, 6 + 9 + 4 + 2 + 2 + 1);
}

#[derive(Debug, PartialEq)]
struct Header {
    source: String,
    destination: String,
    payload_length: u64,
    /// The next-header values of the fixed header and of all extension headers.
    next_headers: Vec<u8>,
}

/// The inner IPv6 header of each frame as tshark decodes it. All outer headers are IPv4.
fn headers(capture: &str) -> Vec<Option<Header>> {
    let mut command = Command::new("tshark");
    command.current_dir(testdata()).args(["-r", capture]);
    command.args(["-d", "udp.port==37008,tzsp", "-o", "ipv6.defragment:FALSE"]);
    command.args([
        "-T",
        "fields",
        "-e",
        "ipv6.src",
        "-e",
        "ipv6.dst",
        "-e",
        "ipv6.plen",
    ]);
    for field in [
        "ipv6.nxt",
        "ipv6.hopopts.nxt",
        "ipv6.routing.nxt",
        "ipv6.dstopts.nxt",
        "ipv6.fraghdr.nxt",
        "ah.next_header",
    ] {
        command.args(["-e", field]);
    }
    tool(&mut command).lines().map(header).collect()
}

fn header(line: &str) -> Option<Header> {
    let [source, destination, length, numbers @ ..] = &line.split('\t').collect::<Vec<_>>()[..]
    else {
        panic!("not the fields that were asked for: {line}");
    };
    let numbers = numbers.iter().flat_map(|field| field.split(','));
    let numbers = numbers.filter(|number| !number.is_empty());
    (!source.is_empty()).then(|| Header {
        source: (*source).to_owned(),
        destination: (*destination).to_owned(),
        payload_length: length.parse().unwrap(),
        next_headers: numbers.map(|number| number.parse().unwrap()).collect(),
    })
}

fn observations(capture: &str) -> Vec<Result<Observation, Skipped>> {
    let options = DecodeOptions {
        listen_ports: ListenPorts::Any,
        ipv6: true,
    };
    let mut reader = CaptureReader::new(File::open(testdata().join(capture)).unwrap());
    let mut observations = Vec::new();
    while reader.fill().unwrap() {
        while let Some(frame) = reader.next_frame().unwrap() {
            observations.push(wire::decode_full(frame.link, frame.captured(), &options));
        }
    }
    observations
}
