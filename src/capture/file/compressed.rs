//! Captures that were compressed: gzip, zstd and lz4 frames, recognised by how they start.
//!
//! What is unpacked is never larger in memory than a window and a block, however much comes out.

use std::io::{self, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder;

use super::ahead::Ahead;

/// The largest zstd window, as a power of two: 32 MiB. It is what `zstd -20` needs; `--long` and
/// `--ultra -22` may ask for more, up to 2 GiB.
const MAX_WINDOW_LOG: u32 = 25;

/// How much compressed data is unpacked at a time. What a decoder made of it is lost if it then
/// finds damage, so it is little.
const INPUT_BUFFER: usize = 8 * 1024;

/// Hands through what `stream` holds, unpacked on another thread if it is compressed. Several
/// gzip members, zstd frames or lz4 frames follow each other without a seam, and skippable frames are
/// skipped.
///
/// A compressed stream that is cut short ends with [`io::ErrorKind::UnexpectedEof`], a damaged one
/// with [`io::ErrorKind::InvalidData`].
///
/// # Errors
/// The stream cannot be read, or the system has no room for another thread.
pub fn unpack(stream: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut stream: Box<dyn Read + Send> = Box::new(stream);
    loop {
        let mut magic = Vec::with_capacity(4);
        stream.by_ref().take(4).read_to_end(&mut magic)?;
        let format = Format::of(&magic);
        stream = Box::new(Cursor::new(magic).chain(stream));
        let input = match format {
            None => return Ok(stream),
            Some(Format::Skippable) => {
                skip_frame(&mut stream)?;
                continue;
            }
            Some(format) => Decoder::new(format, BufReader::with_capacity(INPUT_BUFFER, stream))?,
        };
        return Ok(Box::new(Ahead::of(input)?));
    }
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Gzip,
    Zstd,
    Lz4,
    /// What zstd and lz4 pass over, and some writers start with.
    Skippable,
}

impl Format {
    /// RFC 1952, section 2.3.1; RFC 8878, section 3.1; the LZ4 frame format.
    fn of(magic: &[u8]) -> Option<Self> {
        match magic {
            [0x1f, 0x8b, 8, _] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd] => Some(Self::Zstd),
            [0x04, 0x22, 0x4d, 0x18] => Some(Self::Lz4),
            [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Some(Self::Skippable),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd | Self::Skippable => "zstd",
            Self::Lz4 => "lz4",
        }
    }
}

fn skip_frame(stream: &mut impl Read) -> io::Result<()> {
    let mut header = [0; 8];
    stream.read_exact(&mut header)?;
    let [_, _, _, _, size @ ..] = header;
    skip(stream, u32::from_le_bytes(size))
}

fn skip(stream: &mut impl Read, size: u32) -> io::Result<()> {
    io::copy(&mut stream.take(u64::from(size)), &mut io::sink())?;
    Ok(())
}

/// A decoder whose errors say what was being decoded.
struct Decoder {
    format: Format,
    output: Box<dyn Read + Send>,
}

impl Decoder {
    fn new(format: Format, input: BufReader<Box<dyn Read + Send>>) -> io::Result<Self> {
        let output: Box<dyn Read + Send> = match format {
            Format::Gzip => Box::new(MultiGzDecoder::new(input)),
            Format::Zstd | Format::Skippable => {
                let mut decoder = zstd::Decoder::with_buffer(input)?;
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                Box::new(decoder)
            }
            Format::Lz4 => Box::new(Lz4Frames(FrameDecoder::new(Metered::new(input)))),
        };
        Ok(Self { format, output })
    }

    fn explain(&self, error: io::Error) -> io::Error {
        let is_ours = error.raw_os_error().is_none()
            && !matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::Interrupted
            );
        if !is_ours {
            return error;
        }
        let name = self.format.name();
        let words = if error.to_string().contains("requires too much memory") {
            format!(
                "its {name} window is larger than {} MiB; unpack it with: {name} -dc --long=31",
                (1 << MAX_WINDOW_LOG) >> 20
            )
        } else {
            format!("its {name} data is damaged: {error}")
        };
        io::Error::new(io::ErrorKind::InvalidData, words)
    }
}

impl Read for Decoder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.output
            .read(buffer)
            .map_err(|error| self.explain(error))
    }
}

/// lz4_flex stops at the end of each frame, and takes an end between two blocks for that too.
struct Lz4Frames(FrameDecoder<Metered<BufReader<Box<dyn Read + Send>>>>);

impl Read for Lz4Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Ok(0) if !buffer.is_empty() => {
                    let input = self.0.get_mut();
                    match (input.has_ended, input.bytes) {
                        (true, 0) => return Ok(0),
                        (true, _) => return Err(io::ErrorKind::UnexpectedEof.into()),
                        (false, _) => input.bytes = 0,
                    }
                }
                Err(error) => {
                    let size = skippable(&error).ok_or(error)?;
                    let input = self.0.get_mut();
                    skip(input, size)?;
                    input.bytes = 0;
                }
                outcome => return outcome,
            }
        }
    }
}

fn skippable(error: &io::Error) -> Option<u32> {
    match error.get_ref()?.downcast_ref()? {
        lz4_flex::frame::Error::SkippableFrame(size) => Some(*size),
        _ => None,
    }
}

/// Knows how much was read since the frame began.
struct Metered<R> {
    stream: R,
    bytes: u64,
    has_ended: bool,
}

impl<R> Metered<R> {
    fn new(stream: R) -> Self {
        Self {
            stream,
            bytes: 0,
            has_ended: false,
        }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.stream.read(buffer)?;
        self.bytes += size as u64;
        self.has_ended = size == 0 && !buffer.is_empty();
        Ok(size)
    }
}
