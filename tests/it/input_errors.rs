//! Compressed captures that are truncated or damaged, and inputs that are not captures.

use std::io::Cursor;

use insta::assert_snapshot;
use predicates::str::is_empty;
use tzsp_packetstream_exporter::capture::{CaptureReader, unpack};

use crate::inputs::{
    FORMATS, analyze, capture, decompress_with, gzip, long_capture, scrape, skippable, stderr, zstd,
};
use crate::support::PipedRun;

#[test]
fn a_truncated_compressed_capture_is_a_warning_and_its_beginning_counts() {
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
fn a_compressed_capture_truncated_in_its_header_is_an_error() {
    for (_, compress) in FORMATS {
        let run = analyze(&compress(&capture())[..10]).code(1);
        let run = run.stdout(is_empty());
        let error = "error: standard input: the compressed capture is cut short: after 0 bytes";
        assert!(stderr(&run).starts_with(error), "{}", stderr(&run));
    }
}

#[test]
fn every_truncation_of_a_small_compressed_capture_is_reported() {
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
fn damaged_compressed_data_is_an_error_and_the_data_before_it_counts() {
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
    // A frame header without size and checksum, with a window of 2^31 bytes (RFC 8878, section
    // 3.1.1.1.2), and a block.
    let frame = b"\x28\xb5\x2f\xfd\x00\xa8\x01\0\0".to_vec();
    let run = analyze(frame).code(1);
    assert_snapshot!(stderr(&run), @"error: standard input: its zstd window is larger than 32 MiB; unpack it with: zstd -dc --long=31");
}

#[test]
fn doubly_compressed_data_is_not_a_capture() {
    let run = analyze(gzip(&gzip(&capture()))).code(1);
    assert_snapshot!(stderr(&run), @"error: standard input: this is gzip data, not a capture; unpack it: gzip -dc FILE | tzsp_packetstream_exporter analyze -");
}

#[test]
fn other_trailing_data_is_an_error_that_states_how_much_was_read() {
    let capture = capture();
    let zeros = vec![0; 512];
    for (name, compress) in FORMATS {
        let packed = compress(&capture);
        let end = packed.len();
        let read = capture.len();
        let mut others = vec![b"something else".to_vec(), b"!".to_vec()];
        if name == "gzip" {
            // Zeros end the stream, for gzip itself as well, so a member after them is trailing
            // data.
            others.push([zeros.clone(), packed.clone()].concat());
            others.push([zeros.clone(), b"!".to_vec()].concat());
        } else {
            others.push(zeros.clone());
        }
        for other in others {
            let bytes = [packed.clone(), other].concat();
            assert_ne!(decompress_with(name, &bytes).0, 0, "{name}");
            let run = analyze(bytes).code(1);
            let error = format!(
                "error: standard input: its {name} data ends at byte {end}, and something else \
                 follows; the {read} bytes of capture before it were read\n"
            );
            assert_eq!(stderr(&run), error);
            assert_eq!(scrape(&run).sum("tzsp_observed_packets_total"), 2.0);
        }
    }
}

/// The first bytes of another member or frame mean that the rest of the capture is missing.
#[test]
fn a_member_or_frame_truncated_at_its_start_is_a_warning() {
    for (name, compress) in FORMATS {
        let packed = compress(&capture());
        for cut in 1..12 {
            let run = analyze([&packed[..], &packed[..cut]].concat()).success();
            let warning = "warning: standard input: the compressed capture is cut short: after ";
            assert!(stderr(&run).starts_with(warning), "{name} at {cut}");
            assert_eq!(scrape(&run).sum("tzsp_observed_packets_total"), 2.0);
        }
    }
    let run = analyze([zstd(&capture()), skippable()[..10].to_vec()].concat()).success();
    assert!(stderr(&run).contains("is cut short"), "{}", stderr(&run));
}

#[test]
fn skippable_frames_alone_are_an_empty_capture() {
    let run = analyze(skippable().repeat(20_000)).code(1);
    assert_snapshot!(stderr(&run), @"error: standard input: it is empty, where a pcap or pcapng capture was expected");
}

#[test]
fn other_file_formats_are_named_also_inside_gzip() {
    let snoop = b"snoop\0\0\0\0\0\0\x02\0\0\0\x04";
    let mut tar = vec![0; 10_240];
    tar[257..262].copy_from_slice(b"ustar");
    let inputs = [&b"\xfd7zXZ\0\0\x04"[..], &snoop[..], &tar, b"<html></html>"];
    let words = inputs.map(|input| {
        let run = analyze(input).code(1).stdout(is_empty());
        let packed = analyze(gzip(input)).code(1).stdout(is_empty());
        assert_eq!(stderr(&packed), stderr(&run));
        let mut fed = PipedRun::start(&["analyze", "-"]);
        for byte in input.chunks(200) {
            fed = fed.feed(byte);
        }
        assert_eq!(fed.end().stderr, stderr(&run));
        stderr(&run).to_owned()
    });
    assert_snapshot!(words.concat(), @r"
    error: standard input: this is xz data, not a capture; unpack it: xz -dc FILE | tzsp_packetstream_exporter analyze -
    error: standard input: this is a snoop capture, where pcap or pcapng was expected; convert it: tshark -r FILE -w - | tzsp_packetstream_exporter analyze -
    error: standard input: this is a tar archive, not a capture; unpack it: tar -xOf FILE | tzsp_packetstream_exporter analyze -
    error: standard input: this is an HTML page, not a capture; it may say why there was no capture to download
    ");
}
