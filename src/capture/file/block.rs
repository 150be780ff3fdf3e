//! Reads a capture in blocks, for several threads.
//!
//! 1. [`Block::load`] gets the next bytes of a stream. Where the stream is a file, threads can do so
//!    at the same time, each at another position.
//! 2. [`BlockReader::walk`] finds the frames of a block. The blocks must come in the order of the
//!    stream, because each record determines where the next one begins.
//! 3. [`Block::frames`] returns them, in any thread.

use std::io;
use std::mem;
use std::ops::Range;
use std::time::Duration;

use super::reader::{CaptureError, CaptureReader};
use crate::capture::Frame;
use crate::frame::LinkType;

/// Room before the bytes of a block, for the beginning of a record whose end is in the block.
const HEADROOM: usize = 64 * 1024;

/// Bytes of a stream, and the frames in them.
///
/// The buffer is moved between block and reader, so frames are not copied.
#[derive(Debug)]
pub struct Block {
    /// Number of bytes to load.
    size: usize,
    buffer: Vec<u8>,
    /// The loaded bytes are `buffer[HEADROOM..end]`.
    end: usize,
    /// How the stream ended, if it ended with these bytes.
    ending: Option<io::Result<()>>,
    frames: Vec<Entry>,
}

/// A frame whose bytes are in the buffer of its block.
#[derive(Debug)]
struct Entry {
    at: Duration,
    link: LinkType,
    bytes: Range<usize>,
    length: usize,
}

/// A [recovering](CaptureReader::recovering) reader that gets its stream in blocks.
#[derive(Debug)]
pub struct BlockReader(CaptureReader<io::Empty>);

impl Default for Block {
    fn default() -> Self {
        Self::of_size(Self::SIZE)
    }
}

impl Block {
    /// The default number of bytes that a block loads: so few that they stay in the cache of the
    /// processor, and so many that threads seldom have to wait for each other.
    pub const SIZE: usize = 512 * 1024;

    /// Creates a block that loads this number of bytes, or fewer at the end of the stream.
    #[must_use]
    pub fn of_size(size: usize) -> Self {
        Self {
            size,
            buffer: Vec::new(),
            end: HEADROOM,
            ending: None,
            frames: Vec::new(),
        }
    }

    /// Loads the next bytes. Calls `read` until the block is full or the stream ends.
    pub fn load(&mut self, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) {
        // A large record has made the buffer large.
        self.buffer.truncate(HEADROOM + self.size);
        self.buffer.shrink_to_fit();
        self.buffer.resize(HEADROOM + self.size, 0);
        self.end = HEADROOM;
        self.ending = None;
        while self.end < self.buffer.len() {
            match read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ending = Some(Ok(())),
                Ok(size) => {
                    self.end += size;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => self.ending = Some(Err(error)),
            }
            break;
        }
    }

    /// Returns the frames in the order of the capture.
    #[must_use]
    pub fn frames(&self) -> impl DoubleEndedIterator<Item = Frame<'_>> {
        self.frames.iter().map(|entry| Frame {
            at: entry.at,
            link: entry.link,
            bytes: &self.buffer[entry.bytes.clone()],
            length: entry.length,
        })
    }

    /// Whether no frame ends in this block.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Adds frames of a buffer that begins at the address `buffer`, and that will be moved here.
    #[inline]
    fn append(&mut self, buffer: usize, frames: &[Frame<'_>]) {
        self.frames.extend(frames.iter().map(|frame| {
            let start = frame.bytes.as_ptr().addr() - buffer;
            Entry {
                at: frame.at,
                link: frame.link,
                bytes: start..start + frame.bytes.len(),
                length: frame.length,
            }
        }));
    }
}

impl Default for BlockReader {
    fn default() -> Self {
        Self(CaptureReader::recovering(io::empty()))
    }
}

impl BlockReader {
    /// Finds the frames in the next block of the stream. Returns `false` if the stream ends with it.
    ///
    /// # Errors
    /// Those of [`CaptureReader`]. They end the stream, but the block may have frames all the same.
    pub fn walk(&mut self, block: &mut Block) -> Result<bool, CaptureError> {
        let Self(reader) = self;
        block.frames.clear();
        let ending = block.ending.take();
        reader.append(block);
        reader.ended = ending.is_some();
        let buffer = reader.buffer.as_ptr().addr();
        let walked = reader.each_group(|frames| block.append(buffer, frames));
        if !block.is_empty() {
            reader.hand_over_buffer(block);
        }
        walked?;
        ending.map_or(Ok(true), |ending| reader.end(ending))
    }

    /// Returns the reader, which tells what it has found so far.
    pub fn reader(&mut self) -> &mut CaptureReader<impl io::Read> {
        &mut self.0
    }
}

impl CaptureReader<io::Empty> {
    /// Takes the loaded bytes of a block.
    fn append(&mut self, block: &mut Block) {
        let left = &self.buffer[self.start..self.end];
        if let Some(start) = HEADROOM.checked_sub(left.len()) {
            block.buffer[start..HEADROOM].copy_from_slice(left);
            mem::swap(&mut self.buffer, &mut block.buffer);
            (self.start, self.end) = (start, block.end);
        } else {
            // The beginning of a large record, or what follows a record that is to be validated.
            self.buffer.truncate(self.end);
            self.buffer.drain(..self.start);
            self.buffer.extend(&block.buffer[HEADROOM..block.end]);
            (self.start, self.end) = (0, self.buffer.len());
        }
    }

    /// Moves the buffer into a block, and keeps only the bytes that were not consumed.
    fn hand_over_buffer(&mut self, block: &mut Block) {
        let mut left = mem::take(&mut block.buffer);
        left.clear();
        left.extend(&self.buffer[self.start..self.end]);
        (self.start, self.end) = (0, left.len());
        block.buffer = mem::replace(&mut self.buffer, left);
    }
}
