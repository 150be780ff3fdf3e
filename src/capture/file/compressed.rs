//! Decompression of captures: gzip members, zstd frames and lz4 frames, recognised by their magic
//! numbers.
//!
//! A stream may hold any number of members and frames in sequence, and also skippable frames. Their
//! formats may differ. A stream that `gzip -dc`, `zstd -dc` or `lz4 -dc` accepts as complete is
//! complete here too. They are read in a loop, not by recursion: a million empty ones take time in
//! proportion to their size, and do not overflow the stack.
//!
//! Memory is limited to one window and one block, however large the decompressed content is.

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

/// Returns the content of `stream`. If it is compressed, it is decompressed on another thread.
///
/// A compressed stream that is cut short ends with [`io::ErrorKind::UnexpectedEof`]. One that is
/// damaged, or has other data after the compressed data, ends with [`io::ErrorKind::InvalidData`].
/// Everything decompressed before the error is returned first.
///
/// # Errors
/// The stream cannot be read, or the system cannot start another thread.
pub fn unpack(stream: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut input = Input::new(Box::new(stream));
    match Compression::of(input.peek(Compression::MAGIC)?) {
        None => Ok(Box::new(input)),
        Some(format) => Ok(Box::new(Ahead::of(Unpacked::new(input, format))?)),
    }
}

/// Whether a stream that begins with these bytes is compressed. Four bytes are enough.
#[must_use]
pub fn is_compressed(beginning: &[u8]) -> bool {
    Compression::of(beginning).is_some()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    Gzip,
    Zstd,
    Lz4,
    /// A frame that zstd and lz4 skip: after the magic number, a size of four bytes and that many
    /// bytes of content.
    Skippable,
}

impl Compression {
    /// Number of bytes that identify a format.
    const MAGIC: usize = 4;
    const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
    const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    const LZ4: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

    /// Identifies a format by its magic number: RFC 1952, section 2.3.1; RFC 8878, section 3.1; the
    /// LZ4 frame format.
    fn of(magic: &[u8]) -> Option<Self> {
        match *magic.first_chunk()? {
            [a, b, c, _] if [a, b, c] == Self::GZIP => Some(Self::Gzip),
            Self::ZSTD => Some(Self::Zstd),
            Self::LZ4 => Some(Self::Lz4),
            [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Some(Self::Skippable),
            _ => None,
        }
    }

    /// Whether these bytes are the beginning of a magic number that is cut short.
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

/// The result of one decoder call.
struct Step {
    /// Number of bytes written to the output.
    size: usize,
    /// Whether the member or frame ended with these bytes.
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

/// The content of all members and frames, as one stream.
struct Unpacked {
    input: Input,
    /// The format of the current member or frame, or of the last one if none is open.
    format: Compression,
    /// The decoder of the current or last member or frame. The next one reuses it if it can.
    decoder: Option<Decoder>,
    /// Whether a member or frame is open.
    is_inside: bool,
    /// Number of decompressed bytes returned so far.
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

    /// Starts the next member or frame that is not skippable. Returns `false` at the end of the
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

    /// Accepts zeros after gzip data, and fails on all other trailing data. Tapes and block devices
    /// pad the last block with zeros; `gzip -d` ignores them, `zstd -d` and `lz4 -d` do not.
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

    /// Adds the compression format and the position to an error of a decoder. Errors of the
    /// underlying stream and cut streams are returned unchanged.
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
