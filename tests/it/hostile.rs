//! Damaged captures cause no panic and no endless loop, and every frame is accounted for.

use std::io::Read;
use std::time::Duration;

use tzsp_packetstream_exporter::aggregator::Aggregator;
use tzsp_packetstream_exporter::capture::{Block, CaptureError, CaptureReader, Frame};
use tzsp_packetstream_exporter::wire::{self, DecodeOptions, LinkType, ListenPorts, Skipped};

use crate::chain::walk::{Ending, walk};
use crate::read_sizes::Outcome;
use crate::support::{aggregator, captures, file_name, testdata};

#[test]
fn complete_frames_count_in_captures_cut_at_every_byte() {
    for capture in captures() {
        let bytes = std::fs::read(&capture).unwrap();
        let mut received = 0;
        for length in 0..=bytes.len() {
            let (core, result) = read(&mut CaptureReader::new(&bytes[..length]));
            let now = core.frames().received;
            assert!(now >= received, "{} at {length}", capture.display());
            received = now;
            match result {
                Ok(()) | Err(CaptureError::CutShort { .. }) => {}
                Err(CaptureError::Empty) => assert_eq!(length, 0),
                Err(CaptureError::NotACapture) => assert!(length < 24, "{length}"),
                Err(error) => panic!("{} at {length}: {error}", capture.display()),
            }
        }
    }
}

#[test]
fn every_frame_is_accounted_for_when_any_byte_is_changed() {
    for capture in captures() {
        let mut bytes = std::fs::read(&capture).unwrap();
        for index in 0..bytes.len() {
            for mask in [0xff, 0x01, 0x80] {
                bytes[index] ^= mask;
                let _ = read(&mut CaptureReader::new(&bytes[..]));
                bytes[index] ^= mask;
            }
        }
    }
}

#[test]
fn a_cut_capture_is_not_reported_as_damaged() {
    for capture in captures() {
        let bytes = std::fs::read(&capture).unwrap();
        for length in 0..=bytes.len() {
            let mut reader = CaptureReader::recovering(&bytes[..length]);
            let (recovered, result) = read(&mut reader);
            let (core, strict_result) = read(&mut CaptureReader::new(&bytes[..length]));
            let place = format!("{} at {length}", capture.display());
            assert_eq!(reader.damage(), None, "{place}");
            assert_eq!(text(result), text(strict_result), "{place}");
            assert_eq!(
                recovered.frames().received,
                core.frames().received,
                "{place}"
            );
        }
    }
}

fn text(result: Result<(), CaptureError>) -> String {
    result.map_or_else(|error| error.to_string(), |()| String::new())
}

/// Captures in which a broken chain of lengths loses more than the damaged record, and why.
const CANNOT_RESUME: &[(&str, &str)] = &[
    (
        "pcap_original_lengths_below_captured.pcap",
        "two records with contradictory lengths are too few to show that this is normal here",
    ),
    (
        "pcap_record_header_of_zeros.pcap",
        "after damage, an empty record of zeros cannot be distinguished from other zeros",
    ),
];

#[test]
fn changing_any_byte_of_a_record_loses_no_other_record() {
    for capture in captures() {
        let mut bytes = std::fs::read(&capture).unwrap();
        let (core, _) = read(&mut CaptureReader::recovering(&bytes[..]));
        let frames = core.frames().received;
        let (records, ending) = walk(&bytes);
        assert_eq!(records.len() as u64, frames, "{}", capture.display());
        assert_eq!(ending, Ending::Whole, "{}", capture.display());
        if CANNOT_RESUME
            .iter()
            .any(|(name, _)| *name == file_name(&capture))
        {
            continue;
        }
        for index in 0..bytes.len() {
            if !records.iter().any(|record| record.contains(&index)) {
                continue;
            }
            for mask in [0xff, 0x01, 0x80] {
                bytes[index] ^= mask;
                let (core, _) = read(&mut CaptureReader::recovering(&bytes[..]));
                let at_least = at_least(&bytes, records.len() - 1);
                bytes[index] ^= mask;
                let received = core.frames().received;
                assert!(
                    received >= at_least as u64,
                    "{} at {index}: {received} of {frames}",
                    capture.display()
                );
            }
        }
    }
}

/// Returns the number of frames that must be read from a damaged capture: all frames of the chain
/// of lengths if it is intact up to the end or up to a record that reaches past it, and `if_broken`
/// if it breaks. In pcapng, one less, because the damaged block may no longer be a packet block.
fn at_least(capture: &[u8], if_broken: usize) -> usize {
    let holds_pcapng = capture
        .windows(4)
        .any(|word| word == [0x0a, 0x0d, 0x0d, 0x0a]);
    match walk(capture) {
        (_, Ending::Broken) => if_broken,
        (records, Ending::Whole | Ending::Cut) => {
            records.len().saturating_sub(usize::from(holds_pcapng))
        }
    }
}

#[test]
fn changing_any_byte_of_a_record_header_loses_at_most_two_frames_of_a_large_capture() {
    let office = std::fs::read(testdata().join("five_minutes_of_an_office.pcap")).unwrap();
    let (header, frames) = office.split_at(24);
    // Repeats the frames, each time 400 seconds later.
    let later = |time: u32| {
        let mut frames = frames.to_vec();
        for record in walk(&office).0 {
            let seconds = &mut frames[record.start - 24..][..4];
            let moved = u32::from_le_bytes(seconds.try_into().unwrap()) + 400 * time;
            seconds.copy_from_slice(&moved.to_le_bytes());
        }
        frames
    };
    let mut bytes = [header.to_vec(), (0..6).flat_map(later).collect()].concat();
    let (records, _) = walk(&bytes);
    let frames = records.len();
    assert_eq!(frames, 900);
    for record in records.iter().step_by(7) {
        for index in record.clone().take(16) {
            for mask in [0xff, 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80] {
                bytes[index] ^= mask;
                let read = frames_in(&bytes);
                let at_least = at_least(&bytes, frames - 2);
                bytes[index] ^= mask;
                assert!(
                    read >= at_least,
                    "{read} frames with {mask:#04x} at {index}"
                );
            }
        }
    }
}

/// `each_frame` uses the fast path, also on blocks; `next_frame` does not. All must return the same
/// frames.
#[test]
fn the_fast_path_agrees_with_the_full_path() {
    for capture in captures() {
        let mut bytes = std::fs::read(&capture).unwrap();
        for index in 0..bytes.len() {
            bytes[index] ^= 0xff;
            for reader in [CaptureReader::new, CaptureReader::recovering] {
                let [fast, full] =
                    [false, true].map(|one_by_one| Outcome::of(reader(&bytes[..]), one_by_one));
                assert_eq!(fast, full, "{} at {index}", capture.display());
            }
            let recovered = Outcome::of(CaptureReader::recovering(&bytes[..]), false);
            let blocks = Outcome::in_blocks(&bytes[..], 1 + index % 200);
            assert_eq!(blocks, recovered, "{} at {index}", capture.display());
            bytes[index] ^= 0xff;
        }
    }
}

/// Records of all sizes, up to the largest, many of which begin in one block and end in another.
#[test]
fn blocks_return_the_frames_of_long_captures() {
    let office = std::fs::read(testdata().join("five_minutes_of_an_office.pcap")).unwrap();
    let (header, frames) = office.split_at(24);
    let mut header = header.to_vec();
    // The snap length, which is also the limit of a record.
    header[16..20].copy_from_slice(&(16_u32 << 20).to_le_bytes());
    let record = |size: u32| {
        let mut record = frames[..8].to_vec();
        record.extend([size.to_le_bytes(), size.to_le_bytes()].concat());
        record.resize(16 + size as usize, 7);
        record
    };
    let sizes = [
        0, 1, 262_127, 262_128, 262_129, 300_000, 5, 900_000, 16_000_000, 9, 262_144,
    ];
    let mut capture = header;
    for size in sizes {
        capture.extend(record(size));
        capture.extend(frames.repeat(3));
    }
    let expected = sizes.len() * (1 + 3 * walk(&office).0.len());
    let one = Outcome::of(CaptureReader::recovering(&capture[..]), false);
    assert_eq!(one.frames.len(), expected);
    assert!(Outcome::in_blocks(&capture[..], Block::SIZE) == one);
    // A stream that returns less than was asked for.
    let pieces = capture.chunks(100_003).fold(
        Box::new(std::io::empty()) as Box<dyn Read>,
        |before, piece| Box::new(before.chain(piece)),
    );
    assert!(Outcome::in_blocks(pieces, Block::SIZE) == one);
    // Cut within the largest record, and before it.
    for length in [12_000_000, 400_000] {
        let cut = &capture[..length];
        let one = Outcome::of(CaptureReader::recovering(cut), false);
        assert!(one.error.is_some());
        assert!(Outcome::in_blocks(cut, Block::SIZE) == one);
    }
}

/// Counts the frames that a recovering reader returns.
fn frames_in(capture: &[u8]) -> usize {
    let mut reader = CaptureReader::recovering(capture);
    let mut frames = 0;
    while let Ok(true) = reader.fill() {
        let _ = reader.each_frame(|_| frames += 1);
    }
    frames
}

/// Runs the decoders that `analyze` does not use on a frame, and checks their results.
fn read_otherwise(frame: &Frame<'_>) {
    let mirrored = DecodeOptions {
        listen_ports: ListenPorts::Any,
        ipv6: true,
    };
    if let Some(seen) = wire::decode_fast(frame.link, frame.captured(), &mirrored) {
        let full = wire::decode_full(frame.link, frame.captured(), &mirrored);
        assert_eq!(full, Ok(seen));
    }
    let plain = DecodeOptions {
        listen_ports: ListenPorts::Plain,
        ipv6: true,
    };
    if let Err(reason) = wire::decode_full(frame.link, frame.captured(), &plain) {
        let label = reason.label();
        let is_tzsp = frame.link == LinkType::TZSP && label.contains("tzsp");
        assert!(is_tzsp || label.starts_with("inner") || label == "unsupported_link");
    }
    if let Some(Ok(inner)) = wire::decapsulate(frame.link, frame.captured(), &ListenPorts::Any) {
        let header = inner.header.map_or(0, |header| header.len());
        assert!(inner.length >= header + inner.rest.len());
        assert!(!inner.rest.is_empty() || header > 0);
    }
}

/// Reads to the end or to the first error, and checks that every frame is accounted for.
#[track_caller]
fn read(reader: &mut CaptureReader<&[u8]>) -> (Aggregator, Result<(), CaptureError>) {
    let mut core = aggregator();
    let mut batch = core.batch();
    let mut frames = 0;
    let result = (|| {
        while reader.fill()? {
            reader.each_frame(|frame| {
                batch.frame(frame.at, frame);
                read_otherwise(frame);
                frames += 1;
            })?;
        }
        Ok(())
    })();
    core.record_batch(&mut batch);
    let snapshot = core.scrape(Duration::ZERO);
    let traffic = snapshot.traffic.iter().map(|sum| sum.counters.packets);
    let narrow = snapshot.narrow.iter().map(|flow| flow.counters.packets);
    let wide = snapshot.wide.iter().map(|flow| flow.counters.packets);
    let counted: u64 = traffic.sum();
    assert_eq!(narrow.chain(wide).sum::<u64>(), counted);
    let skipped: u64 = Skipped::ALL
        .map(|reason| core.frames().skipped(reason))
        .iter()
        .sum();
    assert_eq!(core.frames().received, frames);
    assert_eq!(frames, counted + skipped);
    (core, result)
}
