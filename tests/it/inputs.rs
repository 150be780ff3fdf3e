//! Compressed captures from files and from pipes. Truncated and damaged ones are in `input_errors`.

use std::fs;
use std::io::{Cursor, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use predicates::str::is_empty;
use tempfile::TempDir;
use tzsp_packetstream_exporter::capture::{CaptureReader, unpack};

use crate::scrape::Scrape;
use crate::support::{OneByteReader, PipedRun, program, testdata};

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A frame with all the checksums and sizes that the format allows.
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

pub(crate) type Compress = fn(&[u8]) -> Vec<u8>;

pub(crate) const FORMATS: [(&str, Compress); 3] = [("gzip", gzip), ("zstd", zstd), ("lz4", lz4)];

/// A capture of two packets with 136 bytes in total.
pub(crate) fn capture() -> Vec<u8> {
    fs::read(testdata().join("pcapng_little_endian.pcapng")).unwrap()
}

pub(crate) fn analyze(input: impl Into<Vec<u8>>) -> assert_cmd::assert::Assert {
    let mut command = program();
    command.args(["analyze", "-"]).write_stdin(input).assert()
}

pub(crate) fn scrape(run: &assert_cmd::assert::Assert) -> Scrape {
    Scrape::parse(std::str::from_utf8(&run.get_output().stdout).unwrap())
}

pub(crate) fn stderr(run: &assert_cmd::assert::Assert) -> &str {
    std::str::from_utf8(&run.get_output().stderr).unwrap()
}

/// A skippable frame of 5 bytes, which zstd and lz4 ignore.
pub(crate) fn skippable() -> Vec<u8> {
    b"\x5a\x2a\x4d\x18\x05\0\0\0index".to_vec()
}

#[test]
fn compression_is_recognised_by_content_in_files_and_in_pipes() {
    let directory = TempDir::new().unwrap();
    for (name, compress) in FORMATS {
        let packed = compress(&capture());
        let run = analyze(packed.clone()).success().stderr(is_empty());
        assert_eq!(scrape(&run).sum("tzsp_observed_bytes_total"), 136.0);

        // The file name has no extension.
        let file = directory.path().join(name);
        fs::write(&file, packed).unwrap();
        let run = program().arg("analyze").arg(file).assert().success();
        assert_eq!(scrape(&run).sum("tzsp_observed_bytes_total"), 136.0);
    }
}

#[test]
fn concatenated_members_and_frames_are_one_stream() {
    let capture = capture();
    let (begin, rest) = capture.split_at(70);
    for (_, compress) in FORMATS {
        let packed = [compress(begin), compress(&[]), compress(rest)].concat();
        let run = analyze(packed).success().stderr(is_empty());
        assert_eq!(scrape(&run).sum("tzsp_observed_packets_total"), 2.0);
    }
}

#[test]
fn skippable_frames_are_skipped_at_any_position() {
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
        let trickle = OneByteReader(Box::leak(packed.into_boxed_slice()));
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

/// Ten thousand copies of a capture's first record, which has 163 bytes with its header: enough
/// that truncation or damage in the middle leaves some of them.
pub(crate) fn long_capture() -> Vec<u8> {
    let capture = fs::read(testdata().join("pcap_little_endian_microseconds.pcap")).unwrap();
    let (header, records) = capture.split_at(24);
    let captured = u32::from_le_bytes(records[8..12].try_into().unwrap());
    let mut record = records[..16 + captured as usize].to_vec();
    let mut long = header.to_vec();
    for number in 0..10_000_u16 {
        // Vary the identification of the outer packet, so that the capture does not compress to
        // almost nothing.
        let identification = number.wrapping_mul(40_503).to_be_bytes();
        record[16 + 14 + 4..][..2].copy_from_slice(&identification);
        long.extend(&record);
    }
    long
}

/// Frames, followed by a few KiB that decompress to 80 MiB of zeros.
#[test]
fn a_decompression_bomb_needs_bounded_memory() {
    let capture = long_capture();
    for (name, compress) in FORMATS {
        let begin = compress(&capture);
        let zeros = compress(&vec![0; 16 << 20]);
        let mut fed = PipedRun::start(&["analyze", "-"]).feed(&begin);
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

/// The largest window that is accepted, with enough data to fill it.
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
    // A skippable frame that fills the pipe. Once it is written, the program has read all the rest,
    // and its memory is at its peak.
    let padding = skippable_of(200_000);
    let output = PipedRun::start(&["analyze", "-"])
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

/// Tapes and block devices pad files with zeros.
#[test]
fn trailing_zeros_are_accepted_as_gzip_does() {
    let packed = gzip(&capture());
    for zeros in [1, 3, 4, 512, 100_000] {
        for members in [vec![packed.clone()], vec![packed.clone(), gzip(&[])]] {
            let padded = [members.concat(), vec![0; zeros]].concat();
            assert_eq!(decompress_with("gzip", &padded).0, 0);
            let run = analyze(padded).success().stderr(is_empty());
            assert_eq!(scrape(&run).sum("tzsp_observed_packets_total"), 2.0);
        }
    }
}

/// `zstd -dc` reads a concatenation of all three formats.
#[test]
fn different_compressed_formats_may_be_concatenated() {
    let capture = capture();
    let (begin, rest) = capture.split_at(70);
    let (middle, end) = rest.split_at(70);
    for rotation in 0..3 {
        let mut formats = FORMATS;
        formats.rotate_left(rotation);
        let [first, second, third] = formats.map(|(_, compress)| compress);
        let packed = [first(begin), second(middle), third(end)].concat();
        assert_eq!(decompress_with("zstd", &packed), (0, capture.clone()));
        let run = analyze(packed).success().stderr(is_empty());
        assert_eq!(scrape(&run).sum("tzsp_observed_packets_total"), 2.0);
    }
}

/// Frames of each block size, with linked and with independent blocks, and with empty blocks.
#[test]
fn lz4_frames_of_all_block_sizes_may_be_concatenated() {
    let capture = long_capture();
    let sizes = [
        BlockSize::Max4MB,
        BlockSize::Max64KB,
        BlockSize::Max1MB,
        BlockSize::Max256KB,
    ];
    let mut packed = Vec::new();
    let mut parts = capture.chunks(capture.len() / 7);
    for mode in [BlockMode::Linked, BlockMode::Independent] {
        for size in sizes {
            let info = FrameInfo::new().block_mode(mode).block_size(size);
            let mut encoder = FrameEncoder::with_frame_info(info, packed);
            encoder.write_all(parts.next().unwrap_or(&[])).unwrap();
            packed = encoder.finish().unwrap();
        }
    }
    // A frame with two empty blocks, the first uncompressed and the second compressed.
    packed.extend(b"\x04\x22\x4d\x18\x60\x40\x82\0\0\0\x80\x01\0\0\0\0\0\0\0\0");
    packed.extend(lz4(&capture[24..]));
    let (status, unpacked) = decompress_with("lz4", &packed);
    assert_eq!(status, 0);
    assert!(unpacked == [&capture[..], &capture[24..]].concat());
    let run = analyze(packed).success().stderr(is_empty());
    assert_eq!(scrape(&run).sum("tzsp_observed_packets_total"), 20_000.0);
}

/// A million empty members or frames around a capture. The small stack overflows if reading them
/// recurses, and the test takes hours if the time grows quadratically.
#[test]
fn a_million_empty_members_or_frames_need_little_stack_and_time() {
    let empty_zstd = b"\x28\xb5\x2f\xfd\x20\0\x01\0\0".to_vec();
    // With a block size of 4 MiB.
    let empty_lz4 = b"\x04\x22\x4d\x18\x60\x70\x73\0\0\0\0".to_vec();
    let skippable = b"\x50\x2a\x4d\x18\0\0\0\0".to_vec();
    for (empty, compress) in [
        (gzip(&[]), gzip as Compress),
        (empty_zstd, zstd),
        (empty_lz4, lz4),
        (skippable.clone(), zstd),
        (skippable, lz4),
    ] {
        let empty = empty.repeat(1_000_000);
        let packed = [&empty[..], &compress(&capture()), &empty].concat();
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("packed");
        fs::write(&file, packed).unwrap();
        let run = program()
            .env("RUST_MIN_STACK", (128 << 10).to_string())
            .arg("analyze")
            .arg(file)
            .assert()
            .success()
            .stderr(is_empty());
        assert_eq!(scrape(&run).sum("tzsp_observed_packets_total"), 2.0);
    }
}

/// Runs `name -dc` with this input, and returns its status and output.
pub(crate) fn decompress_with(name: &str, input: &[u8]) -> (i32, Vec<u8>) {
    let mut command = assert_cmd::Command::new(name);
    let output = command.arg("-dc").write_stdin(input).output().unwrap();
    (output.status.code().unwrap(), output.stdout)
}

#[test]
fn uncompressed_data_passes_unchanged() {
    for length in 0..6 {
        let mut out = Vec::new();
        let bytes = &b"\x1f\x8b\x00abc"[..length];
        let mut stream = unpack(Cursor::new(bytes.to_vec())).unwrap();
        stream.read_to_end(&mut out).unwrap();
        assert_eq!(out, bytes);
    }
}
