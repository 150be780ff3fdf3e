//! Reads a capture with `capture`: with and without resynchronisation, in pieces of odd sizes, and
//! with all ways to read frames: `each_frame` (the fast path), `next_frame`, and blocks. Where the
//! stream is one valid pcap capture, its frames are those of a plain walk along the chain of lengths.
//!
//! The first byte is the size of the pieces, minus 1.

#![no_main]

use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;
use tzsp_packetstream_exporter::capture::{Block, BlockReader, CaptureReader, Frame};

fuzz_target!(|bytes: &[u8]| {
    let Some((piece, bytes)) = bytes.split_first() else {
        return;
    };
    let pieces = || Pieces {
        rest: bytes,
        size: usize::from(*piece) + 1,
    };
    let size = bytes.len();
    let strict = read(CaptureReader::new(bytes), size, false);
    let recovered = read(CaptureReader::recovering(bytes), size, false);
    for one_by_one in [false, true] {
        let in_pieces = read(CaptureReader::new(pieces()), size, one_by_one);
        assert_eq!(strict, in_pieces);
        let in_pieces = read(CaptureReader::recovering(pieces()), size, one_by_one);
        assert_eq!(recovered, in_pieces);
    }
    assert_eq!(recovered, read_blocks(bytes, usize::from(*piece) + 1));
    if recovered.damage.is_none() {
        assert_eq!(strict, recovered);
    }
    if let Some(records) = walk(bytes) {
        assert_eq!(recovered.damage, None);
        assert_eq!(recovered.error, None);
        assert_eq!(recovered.records, records);
    }
});

/// Returns the records of a valid capture: one pcap of version 2.4 whose times are none that a
/// header begins with, and which has no long runs of zeros at its records. `None` for all else.
fn walk(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (header, mut rest) = bytes.split_first_chunk::<24>()?;
    let is_big = match header[..4] {
        [0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d] => true,
        [0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1] => false,
        _ => return None,
    };
    let version = if is_big { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
    if header[4..8] != version {
        return None;
    }
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (header, behind) = rest.split_first_chunk::<16>()?;
        let is_magic = matches!(header[0], 0x0a | 0xa1 | 0xd4 | 0x4d | 0x34);
        let zeros = rest.iter().take_while(|&&byte| byte == 0).count();
        let captured = header[8..12].try_into().expect("4 bytes");
        let captured = match is_big {
            true => u32::from_be_bytes(captured),
            false => u32::from_le_bytes(captured),
        };
        if is_magic || zeros >= 512 || captured > 262_144 {
            return None;
        }
        let (record, tail) = behind.split_at_checked(captured as usize)?;
        records.push(record.to_vec());
        rest = tail;
    }
    Some(records)
}

/// Everything that a reader returns.
#[derive(Debug, PartialEq)]
struct Outcome {
    frames: Vec<String>,
    records: Vec<Vec<u8>>,
    dropped: u64,
    damage: Option<String>,
    error: Option<String>,
}

/// Reads to the end, with `next_frame` if `one_by_one`, otherwise with `each_frame`.
fn read<R: Read>(mut reader: CaptureReader<R>, size: usize, one_by_one: bool) -> Outcome {
    let mut frames = Vec::new();
    let mut records = Vec::new();
    let mut fills = 0;
    let error = loop {
        match reader.fill() {
            Ok(true) => fills += 1,
            Ok(false) => break None,
            Err(error) => break Some(error.to_string()),
        }
        // Each fill but the last reads at least one byte, so more would be an endless loop.
        assert!(fills <= size + 2, "the reader does not end");
        let mut take = |frame: &Frame<'_>| {
            assert!(frame.length >= frame.bytes.len());
            frames.push(format!("{frame:?}"));
            records.push(frame.bytes.to_vec());
        };
        let result = if one_by_one {
            loop {
                match reader.next_frame() {
                    Ok(Some(frame)) => take(&frame),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            }
        } else {
            reader.each_frame(take)
        };
        if let Err(error) = result {
            break Some(error.to_string());
        }
    };
    let damage = reader.damage();
    if let Some(damage) = damage {
        assert!(damage.places > 0 && damage.bytes <= size as u64);
    }
    Outcome {
        frames,
        records,
        dropped: reader.dropped(),
        damage: damage.map(ToString::to_string),
        error,
    }
}

/// Reads to the end in blocks of this size.
fn read_blocks(mut stream: &[u8], size: usize) -> Outcome {
    let mut frames = Vec::new();
    let mut records = Vec::new();
    let mut reader = BlockReader::default();
    // As with two threads, each block has a buffer of its own.
    let mut blocks = [size; 2].map(Block::of_size);
    let error = loop {
        blocks.swap(0, 1);
        let [block, _] = &mut blocks;
        block.load(|buffer| stream.read(buffer));
        let walked = reader.walk(block);
        for frame in block.frames() {
            frames.push(format!("{frame:?}"));
            records.push(frame.bytes.to_vec());
        }
        match walked {
            Ok(true) => {}
            Ok(false) => break None,
            Err(error) => break Some(error.to_string()),
        }
    };
    let reader = reader.reader();
    Outcome {
        frames,
        records,
        dropped: reader.dropped(),
        damage: reader.damage().map(ToString::to_string),
        error,
    }
}

/// A stream that returns at most `size` bytes at a time.
struct Pieces<'a> {
    rest: &'a [u8],
    size: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.size.min(buffer.len());
        self.rest.read(&mut buffer[..size])
    }
}
