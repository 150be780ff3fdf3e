//! `analyze` on captures that are valid but unusual. The expected numbers are calculated by hand:
//! each capture of testdata holds an acknowledgement of 52 bytes and a ping of 84 bytes.

use std::fs;

use crate::scrape::Scrape;
use crate::support::{program, testdata};

const ACK: f64 = 52.0;
const PING: f64 = 84.0;

fn capture(name: &str) -> Vec<u8> {
    fs::read(testdata().join(name)).unwrap()
}

/// The header and the two records of a little-endian capture.
fn parts() -> [Vec<u8>; 3] {
    let capture = capture("pcap_little_endian_microseconds.pcap");
    let (header, records) = capture.split_at(24);
    let captured = u32::from_le_bytes(records[8..12].try_into().unwrap());
    let (first, second) = records.split_at(16 + captured as usize);
    [header.to_vec(), first.to_vec(), second.to_vec()]
}

/// Returns the record with another time.
fn at(seconds: u32, record: &[u8]) -> Vec<u8> {
    [&seconds.to_le_bytes(), &record[4..]].concat()
}

/// Returns a record that holds `packet`, with the time of the record `like`.
fn record(like: &[u8], packet: &[u8]) -> Vec<u8> {
    let size = u32::try_from(packet.len()).unwrap().to_le_bytes();
    [&like[..8], &size, &size, packet].concat()
}

#[track_caller]
fn check(parts: &[&[u8]], frames: f64, bytes: f64, said: &str) {
    let run = program()
        .args(["analyze", "-"])
        .write_stdin(parts.concat())
        .assert()
        .success();
    let output = run.get_output();
    let scrape = Scrape::parse(std::str::from_utf8(&output.stdout).unwrap());
    scrape.assert_every_frame_is_accounted_for();
    assert_eq!(scrape.value("tzsp_frames_received_total"), frames);
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), bytes);
    assert_eq!(String::from_utf8_lossy(&output.stderr), said);
}

#[test]
fn records_with_any_time_count() {
    let [header, ack, ping] = parts();
    let odd = [
        at(1, &ack),
        at(0xf4f4_f4f4, &ping),
        at(0, &ack),
        at(0xa1b2_c3d4, &ack),
    ]
    .concat();
    let input: [&[u8]; 5] = [&header, &ping, &odd, &ping, &ack];
    check(&input, 7.0, 4.0 * ACK + 3.0 * PING, "");
}

#[test]
fn records_with_any_original_length_and_fraction_count() {
    let [header, ack, mut ping] = parts();
    ping[12..16].copy_from_slice(&[0; 4]);
    ping[4..8].copy_from_slice(&[0xff; 4]);
    // The snap length is below the length of every record.
    let header = [&header[..16], &[60, 0, 0, 0], &header[20..]].concat();
    check(&[&header, &ping, &ack, &ping], 3.0, ACK + 2.0 * PING, "");
}

/// The carrying packet is of a later day and longer than the snap length, so it looks implausible.
#[test]
fn a_capture_inside_a_packet_is_not_read() {
    let [header, ack, ping] = parts();
    let inner = [&header[..], &ack, &ping, &ack].concat();
    let carrier = at(1_700_500_000, &record(&ack, &inner));
    let header = [&header[..16], &[60, 0, 0, 0], &header[20..]].concat();
    check(&[&header, &ack, &carrier, &ping], 3.0, ACK + PING, "");
    // The stream is cut inside the carrying packet: only the last byte is missing.
    let cut = &carrier[..carrier.len() - 1];
    let at = header.len() + ack.len();
    let said = format!(
        "warning: standard input: the capture is cut short: its last record, at byte {at}, is \
         incomplete\n"
    );
    check(&[&header, &ack, cut], 1.0, ACK, &said);
}

#[test]
fn appended_captures_of_any_format_are_read() {
    let [header, ..] = parts();
    let names = [
        "pcap_little_endian_microseconds.pcap",
        "pcap_big_endian_nanoseconds.pcap",
        "pcapng_big_endian.pcapng",
        "pcap_modified_big_endian.pcap",
        "pcapng_little_endian.pcapng",
        "pcapng_without_frames.pcapng",
        "pcap_little_endian_nanoseconds.pcap",
    ];
    let captures = names.map(capture);
    let all: Vec<&[u8]> = captures.iter().map(Vec::as_slice).collect();
    check(&all, 12.0, 6.0 * (ACK + PING), "");
    let empty: [&[u8]; 4] = [&header, &header, all[0], &header];
    check(&empty, 2.0, ACK + PING, "");
}

#[test]
fn a_header_of_zeros_is_an_empty_record() {
    let [header, ack, ping] = parts();
    let said = "";
    let blank = [0; 16];
    let input: [&[u8]; 6] = [&header, &blank, &ack, &blank, &blank, &ping];
    check(&input, 5.0, ACK + PING, said);
    // 496 zeros are 31 empty records.
    check(&[&header, &ack, &[0; 496], &ping], 33.0, ACK + PING, said);
}

#[test]
fn zeros_at_the_end_are_a_cut_capture() {
    let [header, ack, ping] = parts();
    for zeros in [512, 513, 100_000] {
        let at = header.len() + ack.len() + ping.len();
        let said = format!(
            "warning: standard input: the capture is cut short: from byte {at} on there are only \
             zeros\n"
        );
        check(
            &[&header, &ack, &ping, &vec![0; zeros]],
            2.0,
            ACK + PING,
            &said,
        );
    }
}

/// In versions below 2.4, the original length comes first. libpcap reads it the same way.
#[test]
fn lengths_of_old_versions_are_read_in_reverse_order() {
    for minor in 0..4 {
        let [mut header, ack, mut ping] = parts();
        header[6] = minor;
        let captured: [u8; 4] = ping[8..12].try_into().unwrap();
        ping[12..16].copy_from_slice(&captured);
        ping[8..12].copy_from_slice(&2000_u32.to_le_bytes());
        check(&[&header, &ping, &ack, &ping], 3.0, ACK + 2.0 * PING, "");
    }
}
