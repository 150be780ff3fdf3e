//! Damage in the middle of captures: what is skipped, which message is printed, and how much time
//! and memory it takes.

use std::fs;

use insta::assert_snapshot;

use crate::scrape::Scrape;
use crate::support::{PipedRun, program, testdata};

/// The start of a capture (section header and interface), and two packet blocks, whose packets have
/// 136 bytes in total.
pub(crate) fn blocks() -> [Vec<u8>; 3] {
    let capture = fs::read(testdata().join("pcapng_little_endian.pcapng")).unwrap();
    let mut blocks = Vec::new();
    let mut rest = &capture[..];
    while let Some(length) = rest.get(4..8) {
        let length = u32::from_le_bytes(length.try_into().unwrap());
        let (block, tail) = rest.split_at(length as usize);
        blocks.push(block.to_vec());
        rest = tail;
    }
    let [section, interface, first, second] = blocks.try_into().unwrap();
    [[section, interface].concat(), first, second]
}

/// The first eight bytes of a block: its type and length.
pub(crate) fn block_start(block_type: u32, length: u32) -> Vec<u8> {
    [block_type.to_le_bytes(), length.to_le_bytes()].concat()
}

/// Analyzes the parts, checks the exit status and the number of frames, and returns standard error.
#[track_caller]
fn check(parts: &[&[u8]], status: i32, frames: f64) -> String {
    let run = program()
        .args(["analyze", "-"])
        .write_stdin(parts.concat())
        .assert()
        .code(status);
    let output = run.get_output();
    let scrape = Scrape::parse(std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!(scrape.value("tzsp_frames_received_total"), frames);
    scrape.assert_every_frame_is_accounted_for();
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn garbage_between_blocks_is_skipped_and_reported_once() {
    let [start, first, second] = blocks();
    // The section header has 28 bytes, the interface 20.
    let garbage = b"\x06\0\0\0\x07\0\0\0garbage";
    let said = check(&[&start, garbage, &first, garbage, &second], 1, 2.0);
    assert_snapshot!(said, @"error: standard input: the capture is damaged at byte 48: Block length is not a multiple of 4: 7B; 30 bytes were passed over, in 2 places");
}

#[test]
fn a_block_over_the_limit_is_skipped_and_later_blocks_count() {
    let [start, first, second] = blocks();
    let length = 20 * 1024 * 1024_u32;
    let body = vec![0x55; length as usize - 12];
    let trailer = length.to_le_bytes();
    let large = [block_start(0xbad, length), body, trailer.to_vec()].concat();
    let said = check(&[&start, &first, &large, &second], 1, 2.0);
    assert!(
        said.contains("a block of 20971520 bytes; 20971520 bytes were passed over\n"),
        "{said}"
    );
}

#[test]
fn blocks_after_a_length_of_2_gib_are_read() {
    let [start, first, second] = blocks();
    let broken = block_start(6, 0x8000_0000);
    let said = check(&[&start, &broken, &first, &second], 1, 2.0);
    assert!(
        said.contains("a block of 2147483648 bytes; 8 bytes were passed over\n"),
        "{said}"
    );
}

#[test]
fn a_long_run_of_zeros_in_a_pcap_is_not_read_as_frames() {
    let capture = fs::read(testdata().join("pcap_little_endian_microseconds.pcap")).unwrap();
    let (header, records) = capture.split_at(24);
    let zeros = [0; 4096];
    let said = check(&[header, records, &zeros, records], 1, 4.0);
    assert!(said.contains("; 4096 bytes were passed over\n"), "{said}");
}

/// The chain of lengths is intact up to the last record, so the capture counts as cut short. That
/// holds although the last record has an implausible time and contains two valid records.
#[test]
fn records_inside_a_record_that_reaches_past_the_end_are_not_read() {
    let capture = fs::read(testdata().join("pcap_little_endian_microseconds.pcap")).unwrap();
    let (header, records) = capture.split_at(24);
    let mut last = records.to_vec();
    last[..4].fill(0xff);
    last[8..12].copy_from_slice(&200_000_u32.to_le_bytes());
    let said = check(&[header, records, &last, records], 0, 2.0);
    let at = header.len() + records.len();
    let expected = format!("its last record, at byte {at}, is incomplete\n");
    assert!(said.ends_with(&expected), "{said}");
    let [start, first, second] = blocks();
    let broken = block_start(6, 100_000);
    let said = check(&[&start, &first, &broken, &first, &second], 0, 1.0);
    let at = start.len() + first.len();
    let expected = format!("its last record, at byte {at}, is incomplete\n");
    assert!(said.ends_with(&expected), "{said}");
}

#[test]
fn interfaces_over_the_limit_use_no_memory_and_packets_still_count() {
    let [start, first, second] = blocks();
    let interface = start[28..].to_vec();
    let input = [start, interface.repeat(1_000_000), first, second].concat();
    let output = PipedRun::start(&["analyze", "-"]).feed(&input).end();
    assert_eq!(output.scrape().value("tzsp_frames_received_total"), 2.0);
    // One interface is already there, so 65,535 more fit.
    let said = "more than 65536 interfaces; 18689300 bytes were passed over, in 934465 places";
    assert!(output.stderr.contains(said), "{}", output.stderr);
    assert!(output.peak < 64 << 20, "{} bytes", output.peak);
}

/// Each of these looks like the start of a block of nearly a mebibyte, so the reader must wait for
/// its end before it can skip it.
#[test]
fn endless_false_block_starts_take_linear_time_and_little_memory() {
    let [start, first, second] = blocks();
    let bait = block_start(6, (1 << 20) - 4).repeat(512 * 1024);
    let input = [&start[..], &first, &bait, &second].concat();
    let output = PipedRun::start(&["analyze", "-"]).feed(&input).end();
    assert_eq!(output.scrape().value("tzsp_frames_received_total"), 2.0);
    assert!(output.peak < 64 << 20, "{} bytes", output.peak);
}

#[test]
fn an_endless_block_uses_little_memory() {
    let [start, first, second] = blocks();
    let mut fed = PipedRun::start(&["analyze", "-"]);
    fed = fed.feed(&[start, first, block_start(6, 0xffff_fff0)].concat());
    for _ in 0..80 {
        fed = fed.feed(&vec![0; 1 << 20]);
    }
    let output = fed.feed(&second).end();
    assert_eq!(output.scrape().value("tzsp_frames_received_total"), 2.0);
    assert!(output.peak < 64 << 20, "{} bytes", output.peak);
}

#[test]
fn the_largest_accepted_block_uses_limited_memory() {
    let [start, first, second] = blocks();
    let length = 16 * 1024 * 1024_u32;
    let body = vec![0x55; length as usize - 12];
    let trailer = length.to_le_bytes();
    let large = [block_start(0xbad, length), body, trailer.to_vec()].concat();
    let input = [start, first, large, second].concat();
    let output = PipedRun::start(&["analyze", "-"]).feed(&input).end();
    assert_eq!(output.stderr, "");
    assert_eq!(output.scrape().value("tzsp_frames_received_total"), 2.0);
    assert!(output.peak < 64 << 20, "{} bytes", output.peak);
}
