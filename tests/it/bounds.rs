//! Memory and time stay bounded for the longest valid inputs: sections, tag lists, flows. Damaged
//! inputs are tested in `damage`.

use std::fs;
use std::net::UdpSocket;

use crate::exhaustion::many_flows;
use crate::live::DATAGRAM;
use crate::support::{Exporter, PipedOutput, PipedRun, peak, testdata};

const MIB: u64 = 1 << 20;

#[track_caller]
fn assert_peak_below(limit: u64, output: &PipedOutput) {
    assert_eq!(output.stderr, "");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.peak < limit, "{} bytes", output.peak);
}

#[test]
fn endless_sections_need_bounded_memory() {
    let capture = fs::read(testdata().join("pcapng_little_endian.pcapng")).unwrap();
    // A section header of 28 bytes and an interface of 20, then two packets.
    let start = &capture[..48];
    let input = [start.repeat(1_000_000), capture.clone()].concat();
    let output = PipedRun::start(&["analyze", "-"]).feed(&input).end();
    let scrape = output.scrape();
    assert_eq!(scrape.value("tzsp_frames_received_total"), 2.0);
    assert_eq!(scrape.sum("tzsp_observed_packets_total"), 2.0);
    assert_peak_below(16 * MIB, &output);
}

/// The largest TZSP datagram that IPv4 allows, filled with copies of this tag.
fn datagram_of_tags(tag: &[u8]) -> Vec<u8> {
    const LARGEST: usize = 65_507;

    let [head @ .., end] = &DATAGRAM[..5] else {
        unreachable!("it has a tag that ends the list");
    };
    let inner = &DATAGRAM[5..];
    let room = LARGEST - head.len() - 1 - inner.len();
    let mut tags = tag.repeat(room / tag.len());
    tags.resize(room, 0);
    [head, &tags, &[*end], inner].concat()
}

/// Datagrams full of padding, of tags without content, and of tags of the greatest length.
fn datagrams_of_tags() -> [Vec<u8>; 3] {
    let longest = [&[41, 255][..], &[1; 255]].concat();
    [&[0][..], &[10, 0], &longest].map(datagram_of_tags)
}

#[test]
fn tag_lists_of_64_kib_are_read_to_their_end() {
    const EACH: usize = 300;

    // Little-endian, microseconds, version 2.4, link type 128: TZSP alone.
    let mut input = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    input.extend([0; 8]);
    input.extend([0, 0, 4, 0, 128, 0, 0, 0]);
    for datagram in datagrams_of_tags() {
        let length = u32::try_from(datagram.len()).unwrap().to_le_bytes();
        let record = [&[0; 8], &length[..], &length, &datagram].concat();
        input.extend(record.repeat(EACH));
        // A datagram whose tag list has no end tag.
        let endless = u32::try_from(datagram.len() - 55).unwrap().to_le_bytes();
        let datagram = &datagram[..datagram.len() - 55];
        input.extend([&[0; 8], &endless[..], &endless, datagram].concat());
    }
    let output = PipedRun::start(&["analyze", "-"]).feed(&input).end();
    let scrape = output.scrape();
    assert_eq!(scrape.sum("tzsp_observed_packets_total"), 900.0);
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 36_000.0);
    let malformed = "tzsp_frames_skipped_total{reason=\"tzsp_malformed\"}";
    assert_eq!(scrape.value(malformed), 3.0);
    assert_peak_below(16 * MIB, &output);
}

#[test]
fn tag_lists_of_64_kib_are_received_completely() {
    let mut exporter = Exporter::start(&["--listen-port", "0"]);
    let port = exporter.udp_port();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagrams = datagrams_of_tags();
    for round in 1..=10 {
        // No more than fits into the receive buffer.
        for datagram in datagrams.iter().cycle().take(90) {
            socket.send_to(datagram, ("127.0.0.1", port)).unwrap();
        }
        exporter.scrape_until("all packets", |scrape| {
            scrape.sum("tzsp_observed_packets_total") == f64::from(90 * round)
        });
    }
    let peak = peak(exporter.pid());
    assert!(peak < 32 * MIB, "{peak} bytes");
}

#[test]
fn flows_beyond_the_limit_need_no_more_memory() {
    let input = many_flows(400_000);
    let output = PipedRun::start(&["analyze", "--max-flows", "10000", "-"])
        .feed(&input)
        .end();
    let scrape = output.scrape();
    assert_eq!(scrape.value("tzsp_frames_received_total"), 400_000.0);
    assert_eq!(scrape.sum("tzsp_observed_packets_total"), 400_000.0);
    let samples = scrape.text.matches("\ntzsp_observed_packets_total{");
    // All other flows are counted together.
    assert_eq!(samples.count(), 10_001);
    // Each flow is from another host. Those beyond the default limit are counted together too.
    let hosts = scrape.text.matches("\ntzsp_host_packets_total{");
    assert_eq!(hosts.count(), 1001);
    let other = "tzsp_host_packets_total{host=\"other\",direction=\"sent\",peer_type=\"public\"}";
    assert_eq!(scrape.value(other), 399_000.0);
    assert!(
        output
            .stderr
            .contains("the limit of 1000 hosts was reached")
    );
    assert!(output.peak < 16 * MIB, "{} bytes", output.peak);

    // 128 bytes for each flow, and the program's own memory.
    let output = PipedRun::start(&["analyze", "--max-hosts", "0", "-"])
        .feed(&input)
        .end();
    let scrape = output.scrape();
    assert_eq!(scrape.sum("tzsp_observed_packets_total"), 400_000.0);
    assert_peak_below(16 * MIB + 400_000 * 128, &output);
}
