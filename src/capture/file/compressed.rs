//! Captures that were compressed: gzip members, zstd frames and lz4 frames, recognised by how they
//! start.
//!
//! A stream may hold any number of them, one after the other, and also skippable frames. Each is
//! unpacked by its own format, so a stream is whole if one of the tools `gzip -dc`, `zstd -dc` and
//! `lz4 -dc` takes it for whole. They are read in a loop, never nested: a million empty ones cost
//! time in proportion to their size, and no stack.
//!
//! What is unpacked is never larger in memory than a window and a block, however much comes out.

mod gzip;
mod input;
mod lz4;
mod zstd;

use std::io::{self, Read};

use super::ahead::Ahead;
use gzip::Gzip;
use input::Input;
use lz4::Lz4;
use zstd::Zstd;

/// Returns the content of `stream`, unpacked on another thread if it is compressed.
///
/// A compressed stream that is cut short ends with [`io::ErrorKind::UnexpectedEof`]. One that is
/// damaged, or has something else behind the compressed data, ends with
/// [`io::ErrorKind::InvalidData`]. All that was unpacked before comes out first.
///
/// # Errors
/// The stream cannot be read, or the system has no room for another thread.
pub fn unpack(stream: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut input = Input::new(Box::new(stream));
    match Compression::of(input.peek(Compression::MAGIC)?) {
        None => Ok(Box::new(input)),
        Some(format) => Ok(Box::new(Ahead::of(Unpacked::new(input, format))?)),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    Gzip,
    Zstd,
    Lz4,
    /// What zstd and lz4 pass over: a size of four bytes, and so many bytes.
    Skippable,
}

impl Compression {
    /// How many bytes tell a format.
    const MAGIC: usize = 4;
    const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
    const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    const LZ4: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

    /// RFC 1952, section 2.3.1; RFC 8878, section 3.1; the LZ4 frame format.
    fn of(magic: &[u8]) -> Option<Self> {
        match *magic.first_chunk()? {
            [a, b, c, _] if [a, b, c] == Self::GZIP => Some(Self::Gzip),
            Self::ZSTD => Some(Self::Zstd),
            Self::LZ4 => Some(Self::Lz4),
            [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Some(Self::Skippable),
            _ => None,
        }
    }

    /// Whether these bytes, which are fewer than a magic number has, are the start of one.
    fn is_cut_magic(bytes: &[u8]) -> bool {
        let is_start = |magic: &[u8]| magic.starts_with(bytes);
        bytes.len() < Self::MAGIC
            && (is_start(&Self::GZIP)
                || is_start(&Self::ZSTD)
                || is_start(&Self::LZ4)
                || matches!(
                    bytes,
                    [0x50..=0x5f] | [0x50..=0x5f, 0x2a] | [0x50..=0x5f, 0x2a, 0x4d]
                ))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Skippable => "zstd or lz4",
        }
    }
}

/// What a decoder wrote. With the last of it, the member or frame has ended.
struct Step {
    size: usize,
    is_last: bool,
}

enum Decoder {
    Gzip(Gzip),
    Zstd(Zstd),
    Lz4(Lz4),
}

impl Decoder {
    fn read(&mut self, input: &mut Input, output: &mut [u8]) -> io::Result<Step> {
        match self {
            Self::Gzip(gzip) => gzip.read(input, output),
            Self::Zstd(zstd) => zstd.read(input, output),
            Self::Lz4(lz4) => lz4.read(input, output),
        }
    }
}

/// The content of members and frames, without a seam between them.
struct Unpacked {
    input: Input,
    /// Of the member or frame at hand, or of the last one.
    format: Compression,
    /// That of the last member or frame, which the next one uses again if it can.
    decoder: Option<Decoder>,
    is_inside: bool,
    /// How much came out so far.
    written: u64,
}

impl Unpacked {
    fn new(input: Input, format: Compression) -> Self {
        Self {
            input,
            format,
            decoder: None,
            is_inside: false,
            written: 0,
        }
    }

    /// Goes on to the next member or frame that may hold something; `false` at the end of the
    /// stream.
    fn begin_next(&mut self) -> io::Result<bool> {
        loop {
            let next = self.input.peek(Compression::MAGIC)?;
            match Compression::of(next) {
                Some(Compression::Skippable) => {
                    self.format = Compression::Skippable;
                    self.skip_frame()?;
                }
                Some(format) => {
                    self.format = format;
                    self.begin(format)?;
                    return Ok(true);
                }
                None if next.is_empty() => return Ok(false),
                None if Compression::is_cut_magic(next) => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                None => return self.end_in_zeros().map(|()| false),
            }
        }
    }

    fn skip_frame(&mut self) -> io::Result<()> {
        let mut header = [0; 8];
        self.input.read_exact(&mut header)?;
        let [_, _, _, _, size @ ..] = header;
        self.input.skip(u32::from_le_bytes(size))
    }

    fn begin(&mut self, format: Compression) -> io::Result<()> {
        let decoder = match (format, self.decoder.take()) {
            (Compression::Zstd, Some(decoder @ Decoder::Zstd(_))) => decoder,
            (Compression::Zstd | Compression::Skippable, _) => Decoder::Zstd(Zstd::new()?),
            (Compression::Gzip, _) => Decoder::Gzip(Gzip::new()),
            (Compression::Lz4, Some(Decoder::Lz4(before))) => {
                Decoder::Lz4(before.for_next(&mut self.input)?)
            }
            (Compression::Lz4, _) => Decoder::Lz4(Lz4::for_frame(&mut self.input)?),
        };
        self.decoder = Some(decoder);
        Ok(())
    }

    /// Tapes and block devices fill up the last block with zeros, and `gzip -d` passes over them.
    /// `zstd -d` and `lz4 -d` do not.
    fn end_in_zeros(&mut self) -> io::Result<()> {
        let end = self.input.position();
        if self.format == Compression::Gzip && self.input.skip_zeros()? {
            return Ok(());
        }
        let (name, written) = (self.format.name(), self.written);
        let words = format!(
            "its {name} data ends at byte {end}, and something else follows; the {written} bytes \
             of capture before it were read"
        );
        Err(io::Error::new(io::ErrorKind::InvalidData, words))
    }

    /// Makes errors say what was being unpacked.
    fn explain(&self, error: io::Error) -> io::Error {
        let is_ours = error.raw_os_error().is_none()
            && !matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::Interrupted
            );
        if !is_ours {
            return error;
        }
        let (name, written) = (self.format.name(), self.written);
        let words = if zstd::is_window_too_large(&error) {
            format!(
                "its {name} window is larger than {} MiB; unpack it with: {name} -dc --long=31",
                (1 << zstd::MAX_WINDOW_LOG) >> 20
            )
        } else {
            format!(
                "its {name} data is damaged: {error}; the {written} bytes of capture before it \
                 were read"
            )
        };
        io::Error::new(io::ErrorKind::InvalidData, words)
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.is_inside && !self.begin_next()? {
                return Ok(0);
            }
            let Some(decoder) = &mut self.decoder else {
                return Ok(0);
            };
            let step = decoder.read(&mut self.input, buffer);
            let Step { size, is_last } = step.map_err(|error| self.explain(error))?;
            self.is_inside = !is_last;
            self.written += size as u64;
            if size > 0 {
                return Ok(size);
            }
        }
    }
}
