//! Reads a capture with `capture`: with and without resynchronisation, in pieces of odd sizes, and
//! with both ways to read frames: `each_frame` (the fast path) and `next_frame`.
//!
//! The first byte is the size of the pieces, minus 1.

#![no_main]

use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;
use tzsp_packetstream_exporter::capture::{CaptureReader, Frame};

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
    if recovered.damage.is_none() {
        assert_eq!(strict, recovered);
    }
});

/// Everything that a reader returns.
#[derive(Debug, PartialEq)]
struct Outcome {
    frames: Vec<String>,
    dropped: u64,
    damage: Option<String>,
    error: Option<String>,
}

/// Reads to the end, with `next_frame` if `one_by_one`, otherwise with `each_frame`.
fn read<R: Read>(mut reader: CaptureReader<R>, size: usize, one_by_one: bool) -> Outcome {
    let mut frames = Vec::new();
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
        dropped: reader.dropped(),
        damage: damage.map(ToString::to_string),
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
