//! Compressed captures, from files and from pipes.

use std::fs;
use std::io::{Cursor, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use insta::assert_snapshot;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use predicates::str::is_empty;
use tempfile::TempDir;
use tzsp_packetstream_exporter::capture::{CaptureReader, unpack};

use crate::scrape::Scrape;
use crate::support::{Fed, Trickle, program, testdata};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// With everything that the format checks.
fn lz4(bytes: &[u8]) -> Vec<u8> {
    let info = FrameInfo::new()
        .block_mode(BlockMode::Linked)
        .block_size(BlockSize::Max64KB)
        .block_checksums(true)
        .content_checksum(true)
        .content_size(Some(bytes.len() as u64));
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

type Compress = fn(&[u8]) -> Vec<u8>;

const FORMATS: [(&str, Compress); 3] = [("gzip", gzip), ("zstd", zstd), ("lz4", lz4)];

/// Two packets of 136 bytes together.
fn capture() -> Vec<u8> {
    fs::read(testdata().join("pcapng_little_endian.pcapng")).unwrap()
}

fn analyze(input: impl Into<Vec<u8>>) -> assert_cmd::assert::Assert {
    let mut command = program();
    command.args(["analyze", "-"]).write_stdin(input).assert()
}

fn scrape(run: &assert_cmd::assert::Assert) -> Scrape {
    Scrape::parse(std::str::from_utf8(&run.get_output().stdout).unwrap())
}

fn stderr(run: &assert_cmd::assert::Assert) -> &str {
    std::str::from_utf8(&run.get_output().stderr).unwrap()
}

/// A frame of 5 bytes that zstd and lz4 pass over.
fn skippable() -> Vec<u8> {
    b"\x5a\x2a\x4d\x18\x05\0\0\0index".to_vec()
}

#[test]
fn compression_is_recognised_by_content_in_files_and_in_pipes() {
    let directory = TempDir::new().unwrap();
    for (name, compress) in FORMATS {
        let packed = compress(&capture());
        let run = analyze(packed.clone()).success().stderr(is_empty());
        assert_eq!(scrape(&run).sum("tzsp_observed_bytes_total"), 136.0);

        // The name tells nothing.
        let file = directory.path().join(name);
        fs::write(&file, packed).unwrap();
        let run = program().arg("analyze").arg(file).assert().success();
        assert_eq!(scrape(&run).sum("tzsp_observed_bytes_total"), 136.0);
    }
}

#[test]
fn members_and_frames_follow_each_other_without_a_seam() {
    let capture = capture();
    let (begin, rest) = capture.split_at(70);
    for (_, compress) in FORMATS {
        let packed = [compress(begin), compress(&[]), compress(rest)].concat();
        let run = analyze(packed).success().stderr(is_empty());
        assert_eq!(scrape(&run).sum("tzsp_observed_packets_total"), 2.0);
    }
}

#[test]
fn skippable_frames_are_skipped_wherever_they_stand() {
    let capture = capture();
    let (begin, rest) = capture.split_at(70);
    for (_, compress) in &FORMATS[1..] {
        let parts = [
            skippable(),
            skippable(),
            compress(begin),
            skippable(),
            compress(rest),
            skippable(),
        ];
        let run = analyze(parts.concat()).success().stderr(is_empty());
        assert_eq!(scrape(&run).sum("tzsp_observed_packets_total"), 2.0);
    }
}

#[test]
fn a_compressed_stream_may_come_byte_by_byte() {
    for (_, compress) in FORMATS {
        let packed = compress(&capture());
        let trickle = Trickle(Box::leak(packed.into_boxed_slice()));
        let mut reader = CaptureReader::recovering(unpack(trickle).unwrap());
        let mut frames = 0;
        while reader.fill().unwrap() {
            while reader.next_frame().unwrap().is_some() {
                frames += 1;
            }
        }
        assert_eq!(frames, 2);
    }
}

/// Enough records that a cut or damage in the middle leaves some of them: ten thousand of the
/// capture's first, which is 163 bytes with its header.
fn long_capture() -> Vec<u8> {
    let capture = fs::read(testdata().join("pcap_little_endian_microseconds.pcap")).unwrap();
    let (header, records) = capture.split_at(24);
    let captured = u32::from_le_bytes(records[8..12].try_into().unwrap());
    let mut record = records[..16 + captured as usize].to_vec();
    let mut long = header.to_vec();
    for number in 0..10_000_u16 {
        // So that it does not shrink to nothing: the identification of the outer packet.
        let identification = number.wrapping_mul(40_503).to_be_bytes();
        record[16 + 14 + 4..][..2].copy_from_slice(&identification);
        long.extend(&record);
    }
    long
}

#[test]
fn a_compressed_capture_cut_anywhere_is_a_warning_and_what_is_there_counts() {
    let capture = long_capture();
    for (name, compress) in FORMATS {
        let packed = compress(&capture);
        for keep in [packed.len() - 1, packed.len() * 9 / 10, packed.len() / 2] {
            let run = analyze(&packed[..keep]).success();
            let warning = "warning: standard input: the compressed capture is cut short: after ";
            assert!(
                stderr(&run).starts_with(warning),
                "{name}: {}",
                stderr(&run)
            );
            let frames = scrape(&run).value("tzsp_frames_received_total");
            assert!(
                frames > 0.0,
                "{name} at {keep} of {}: {frames}",
                packed.len()
            );
            scrape(&run).assert_every_frame_is_accounted_for();
        }
    }
}

#[test]
fn a_compressed_capture_cut_before_it_begins_is_an_error() {
    for (_, compress) in FORMATS {
        let run = analyze(&compress(&capture())[..10]).code(1);
        let run = run.stdout(is_empty());
        let error = "error: standard input: the compressed capture is cut short: after 0 bytes";
        assert!(stderr(&run).starts_with(error), "{}", stderr(&run));
    }
}

#[test]
fn every_cut_of_a_small_compressed_capture_is_told() {
    for (name, compress) in FORMATS {
        let packed = compress(&capture());
        for keep in 5..packed.len() {
            let mut reader =
                CaptureReader::recovering(unpack(Cursor::new(packed[..keep].to_vec())).unwrap());
            let result = (|| {
                while reader.fill()? {
                    while reader.next_frame()?.is_some() {}
                }
                Ok::<_, tzsp_packetstream_exporter::capture::CaptureError>(())
            })();
            assert!(result.is_err(), "{name} at {keep}");
        }
    }
}

#[test]
fn damaged_compressed_data_is_an_error_and_what_was_before_it_counts() {
    let capture = long_capture();
    for (name, compress) in FORMATS {
        let mut packed = compress(&capture);
        let middle = packed.len() * 3 / 4;
        for byte in &mut packed[middle..middle + 64] {
            *byte ^= 0x55;
        }
        let run = analyze(packed).code(1);
        let error = format!("error: standard input: its {name} data is damaged: ");
        assert!(stderr(&run).contains(&error), "{}", stderr(&run));
        let frames = scrape(&run).value("tzsp_frames_received_total");
        assert!((1.0..=10_000.0).contains(&frames), "{name}: {frames}");
    }
}

#[test]
fn a_zstd_window_of_2_gib_is_refused() {
    // A frame header with neither size nor checksum, and a window of 2^31 bytes: RFC 8878,
    // section 3.1.1.1.2; then a block.
    let frame = b"\x28\xb5\x2f\xfd\x00\xa8\x01\0\0".to_vec();
    let run = analyze(frame).code(1);
    assert_snapshot!(stderr(&run), @"error: standard input: its zstd window is larger than 32 MiB; unpack it with: zstd -dc --long=31");
}

/// Frames, and 80 MiB of zeros from a few KiB.
#[test]
fn a_bomb_costs_time_and_no_memory() {
    let capture = long_capture();
    for (name, compress) in FORMATS {
        let begin = compress(&capture);
        let zeros = compress(&vec![0; 16 << 20]);
        let mut fed = Fed::start(&["analyze", "-"]).feed(&begin);
        for _ in 0..5 {
            fed = fed.feed(&zeros);
        }
        let output = fed.end();
        // The zeros are a cut tail.
        assert_eq!(output.status.code(), Some(0), "{name}");
        let said = format!("from byte {} on there are only zeros", capture.len());
        assert!(output.stderr.contains(&said), "{name}: {}", output.stderr);
        let frames = output.scrape().value("tzsp_frames_received_total");
        assert_eq!(frames, 10_000.0, "{name}");
        assert!(output.peak < 64 << 20, "{name}: {} bytes", output.peak);
    }
}

/// The largest window that is read, filled.
#[test]
fn a_zstd_window_of_32_mib_is_read_in_bounded_memory() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(25).unwrap();
    let capture = long_capture();
    let (header, records) = capture.split_at(24);
    encoder.write_all(header).unwrap();
    for _ in 0..30 {
        encoder.write_all(records).unwrap();
    }
    let packed = encoder.finish().unwrap();
    // The first, again: a pipe's worth of what is passed over, so that all else was taken.
    let padding = skippable_of(200_000);
    let output = Fed::start(&["analyze", "-"])
        .feed(&packed)
        .feed(&padding)
        .end();
    assert_eq!(output.stderr, "");
    let frames = output.scrape().value("tzsp_frames_received_total");
    assert_eq!(frames, 300_000.0);
    assert!(output.peak > 32 << 20, "{} bytes", output.peak);
    assert!(output.peak < 64 << 20, "{} bytes", output.peak);
}

fn skippable_of(size: u32) -> Vec<u8> {
    let mut frame = b"\x5a\x2a\x4d\x18".to_vec();
    frame.extend(size.to_le_bytes());
    frame.extend(vec![0; size as usize]);
    frame
}

#[test]
fn what_is_compressed_twice_is_no_capture() {
    let run = analyze(gzip(&gzip(&capture()))).code(1);
    assert_snapshot!(stderr(&run), @"error: standard input: this is neither a pcap nor a pcapng capture");
}

#[test]
fn what_stands_behind_a_gzip_member_is_not_ignored() {
    let run = analyze([gzip(&capture()), b"something else".to_vec()].concat()).code(1);
    assert_snapshot!(stderr(&run), @"error: standard input: its gzip data is damaged: invalid gzip header");
    assert_eq!(scrape(&run).sum("tzsp_observed_packets_total"), 2.0);
}

#[test]
fn what_is_not_compressed_comes_through_as_it_is() {
    for length in 0..6 {
        let mut out = Vec::new();
        let bytes = &b"\x1f\x8b\x00abc"[..length];
        let mut stream = unpack(Cursor::new(bytes.to_vec())).unwrap();
        stream.read_to_end(&mut out).unwrap();
        assert_eq!(out, bytes);
    }
}
