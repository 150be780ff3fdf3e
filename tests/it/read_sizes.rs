//! How a stream is divided into reads changes neither the frames nor the report of damage.

use std::io::Read;

use tzsp_packetstream_exporter::capture::{
    Block, BlockReader, CaptureError, CaptureReader, Damage, Frame,
};

use crate::damage::{block_start, blocks};
use crate::support::{OneByteReader, captures, file_name};

/// Everything that a reader returns.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) frames: Vec<String>,
    pub(crate) error: Option<String>,
    damage: Option<Damage>,
}

impl Outcome {
    /// Reads to the end, one frame at a time or, on the fast path, all frames in the buffer.
    pub(crate) fn of<R: Read>(mut reader: CaptureReader<R>, one_by_one: bool) -> Self {
        let mut frames = Vec::new();
        let result = (|| {
            while reader.fill()? {
                if one_by_one {
                    while let Some(frame) = reader.next_frame()? {
                        frames.push(text_of(&frame));
                    }
                } else {
                    reader.each_frame(|frame| frames.push(text_of(frame)))?;
                }
            }
            Ok(())
        })();
        Self {
            frames,
            error: text_of_error(result),
            damage: reader.damage().cloned(),
        }
    }

    /// Reads to the end in blocks of this size, as several threads do.
    pub(crate) fn in_blocks(mut stream: impl Read, size: usize) -> Self {
        let mut frames = Vec::new();
        let mut reader = BlockReader::default();
        // As with two threads: each block has a buffer of its own.
        let mut blocks = [size; 2].map(Block::of_size);
        let result = loop {
            blocks.swap(0, 1);
            blocks[0].load(|buffer| stream.read(buffer));
            let walked = reader.walk(&mut blocks[0]);
            frames.extend(blocks[0].frames().map(|frame| text_of(&frame)));
            match walked {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        Self {
            frames,
            error: text_of_error(result),
            damage: reader.reader().damage().cloned(),
        }
    }

    fn strict(stream: impl Read) -> Self {
        Self::of(CaptureReader::new(stream), false)
    }

    fn recovering(stream: impl Read) -> Self {
        Self::of(CaptureReader::recovering(stream), false)
    }
}

/// Describes a frame. Only the first bytes are part of it: some tests have frames of 16 MiB.
fn text_of(frame: &Frame<'_>) -> String {
    let Frame {
        at,
        link,
        bytes,
        length,
    } = frame;
    let first = &bytes[..bytes.len().min(100)];
    format!("{at:?} {link:?} {first:?} of {} of {length}", bytes.len())
}

fn text_of_error(result: Result<(), CaptureError>) -> Option<String> {
    result.err().map(|error| error.to_string())
}

/// Checks that the outcome is the same if the stream arrives at once, in two parts that meet at any
/// byte, and one byte at a time. Returns the outcome of a recovering reader.
#[track_caller]
fn check(capture: &[u8]) -> Outcome {
    let strict = Outcome::strict(capture);
    let recovered = Outcome::recovering(capture);
    assert_eq!(Outcome::strict(OneByteReader(capture)), strict);
    assert_eq!(Outcome::recovering(OneByteReader(capture)), recovered);
    for size in 1..capture.len() {
        let (first, rest) = capture.split_at(size);
        assert_eq!(Outcome::strict(first.chain(rest)), strict, "{size}");
        assert_eq!(Outcome::recovering(first.chain(rest)), recovered, "{size}");
    }
    recovered
}

/// Found by fuzzing: after damage, a record whose original length is impossibly large.
#[test]
fn a_pcap_record_with_an_impossible_original_length_is_judged_alike() {
    #[rustfmt::skip]
    let capture: [u8; 61] = [
        0xa1, 0xb2, 0x3c, 0x4d, 0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 1, 0, 0, 0, 0, 0,
        0xff, 0xff, 0xff, 0xff, 0, 0x70, 1, 0,
        0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 4, 0, 0x14, 0,
        0, 0, 1, 0, 0x2c, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0,
        0x80, 0, 0x94, 0, 0,
    ];
    check(&capture);
}

/// Found by fuzzing: whether the intact length at the end of a block was found depended on how many
/// of its bytes had arrived. Without it, the reader searches for the next block of a known type, and
/// passes over others.
#[test]
fn a_packet_block_whose_first_length_is_damaged_ends_where_its_last_length_says() {
    let [start, damaged, intact] = blocks();
    let unknown = [block_start(0x7777, 12), vec![12, 0, 0, 0]].concat();
    for (length, what) in [
        (0_u32, "Block is too short: minimum 12B, actual 0B"),
        (7, "Block length is not a multiple of 4: 7B"),
        (0x8000_0000, "a block of 2147483648 bytes"),
    ] {
        let mut damaged = damaged.clone();
        damaged[4..8].copy_from_slice(&length.to_le_bytes());
        let outcome = check(&[&start[..], &damaged, &unknown, &intact].concat());
        assert_eq!(outcome.frames.len(), 1, "{what}");
        let expected = Damage {
            offset: start.len() as u64,
            what: what.to_owned(),
            places: 1,
            bytes: damaged.len() as u64,
        };
        assert_eq!(outcome.damage, Some(expected));
    }
}

#[test]
fn a_pcapng_capture_with_any_byte_changed_is_read_alike() {
    for capture in captures() {
        if !file_name(&capture).contains("pcapng") {
            continue;
        }
        let mut bytes = std::fs::read(&capture).unwrap();
        for index in 0..bytes.len() {
            for mask in [0xff, 0x01, 0x80] {
                bytes[index] ^= mask;
                let place = format!("{} at {index} with {mask:#04x}", capture.display());
                let strict = Outcome::strict(&bytes[..]);
                assert_eq!(Outcome::strict(OneByteReader(&bytes)), strict, "{place}");
                let recovered = Outcome::recovering(&bytes[..]);
                let in_bytes = Outcome::recovering(OneByteReader(&bytes));
                assert_eq!(in_bytes, recovered, "{place}");
                bytes[index] ^= mask;
            }
        }
    }
}

const MIB: u32 = 1024 * 1024;

/// A pcap capture of some large records, which make the reader's buffer grow to its full size.
fn large_records() -> Vec<u8> {
    let mut capture = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // The snap length, and the link type of raw IP.
    capture.extend((16 * MIB).to_le_bytes());
    capture.extend(101_u32.to_le_bytes());
    for length in [16 * MIB, 65_536, 65_536, 65_536] {
        let length_field = length.to_le_bytes();
        capture.extend([&[0; 8][..], &length_field, &length_field].concat());
        capture.resize(capture.len() + length as usize, 0x55);
    }
    capture
}

/// The buffer holds 18 MiB, so a block over the limit of 16 MiB may be complete in it.
#[test]
fn a_block_over_the_limit_is_refused_although_it_is_in_the_buffer() {
    /// A packet block, and a custom block.
    const TYPES: [u32; 2] = [6, 0xbad];

    let large_records = large_records();
    let [start, first, second] = blocks();
    for block_type in TYPES {
        let length = 17 * MIB;
        let mut body = vec![0x55; length as usize - 12];
        // The captured and the original length: only its size makes the packet block invalid.
        for field in [12..16, 16..20] {
            body[field].copy_from_slice(&(length - 32).to_le_bytes());
        }
        let trailer = length.to_le_bytes();
        let block = [block_start(block_type, length), body, trailer.to_vec()].concat();
        let pcapng = [&start[..], &first, &block, &second].concat();
        let at = (large_records.len() + start.len() + first.len()) as u64;
        let what = "a block of 17825792 bytes";

        // The first read of pcapng returns all of it.
        let at_once = || large_records.chain(&pcapng[..]);
        let in_pieces = || large_records.chain(Pieces(&pcapng));
        for one_by_one in [false, true] {
            for stream in [&mut at_once() as &mut dyn Read, &mut in_pieces()] {
                let outcome = Outcome::of(CaptureReader::new(stream), one_by_one);
                assert_eq!(outcome.frames.len(), 5);
                let error = format!("the capture is damaged at byte {at}: {what}");
                assert_eq!(outcome.error, Some(error));
            }
            for stream in [&mut at_once() as &mut dyn Read, &mut in_pieces()] {
                let outcome = Outcome::of(CaptureReader::recovering(stream), one_by_one);
                assert_eq!(outcome.frames.len(), 6);
                assert_eq!(outcome.error, None);
                let expected = Damage {
                    offset: at,
                    what: what.to_owned(),
                    places: 1,
                    bytes: length.into(),
                };
                assert_eq!(outcome.damage, Some(expected));
            }
        }
    }
}

/// A stream that returns at most 64 KiB at a time.
struct Pieces<'a>(&'a [u8]);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let size = buffer.len().min(65_536);
        self.0.read(&mut buffer[..size])
    }
}
