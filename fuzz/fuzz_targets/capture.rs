//! A capture stream through `capture`: strict and recovering, in pieces of odd sizes, and with a
//! closer look at each frame than most get.
//!
//! The first byte says how large the pieces are.

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
    for closely in [false, true] {
        let in_pieces = read(CaptureReader::new(pieces()), size, closely);
        assert_eq!(strict, in_pieces);
        let in_pieces = read(CaptureReader::recovering(pieces()), size, closely);
        assert_eq!(recovered, in_pieces);
    }
    if recovered.damage.is_none() {
        assert_eq!(strict, recovered);
    }
});

/// All that a reader says.
#[derive(Debug, PartialEq)]
struct Said {
    frames: Vec<String>,
    dropped: u64,
    damage: Option<String>,
    error: Option<String>,
}

fn read<R: Read>(mut reader: CaptureReader<R>, size: usize, closely: bool) -> Said {
    let mut frames = Vec::new();
    let mut fills = 0;
    let error = loop {
        match reader.fill() {
            Ok(true) => fills += 1,
            Ok(false) => break None,
            Err(error) => break Some(error.to_string()),
        }
        // One at the end tells of the end.
        assert!(fills <= size + 2, "it ends");
        let mut take = |frame: &Frame<'_>| {
            assert!(frame.length >= frame.bytes.len());
            frames.push(format!("{frame:?}"));
        };
        let result = if closely {
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
    Said {
        frames,
        dropped: reader.dropped(),
        damage: damage.map(ToString::to_string),
        error,
    }
}

/// A stream that delivers so many bytes at a time.
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
