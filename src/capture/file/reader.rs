use std::io::{self, Read};

use thiserror::Error;

use super::content::Content;
use super::damage::Damage;
use super::format::{Begin, CaptureFormat};
use super::group::FrameGroup;
use super::record::{LOOKAHEAD, MAX_RECORD, Mode, Window};
use super::walk::{Step, Walk};
use crate::capture::Frame;

/// The initial buffer size: about the most that one read from a pipe or a disk delivers.
const INITIAL_BUFFER: usize = 256 * 1024;

/// The largest buffer size: room for the largest record and for the lookahead after it.
const MAX_BUFFER: usize = MAX_RECORD + 2 * LOOKAHEAD;

/// Reads frames from any byte stream that holds pcap or pcapng captures.
///
/// A capture is a chain of lengths: the length of each record or block determines where the next
/// one begins. Captures may be appended to each other, in any mix of the two formats.
///
/// Reading has two steps, so that a caller can hold a lock during the second one only:
/// [`fill`](Self::fill) waits for bytes, and [`next_frame`](Self::next_frame) returns the frames
/// that are complete in the buffer.
///
/// A strict reader returns a frame as soon as its last byte has arrived. A
/// [`recovering`](Self::recovering) reader also needs the bytes after it, at most one mebibyte, to
/// check that the chain of lengths continues. In both modes, a record header of zeros waits for
/// more bytes: a few zeros are an empty record, but a long run of zeros is damage.
///
/// The result does not depend on how many bytes each read delivers.
#[derive(Debug)]
pub struct CaptureReader<R> {
    stream: R,
    pub(super) buffer: Vec<u8>,
    /// Bytes that were read but not yet consumed are `buffer[start..end]`.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Position in the stream of `buffer[start]`.
    offset: u64,
    format: Option<CaptureFormat>,
    walk: Walk,
    /// Whether the stream has ended: no bytes follow those in the buffer.
    pub(super) ended: bool,
    /// How the stream ended, until `fill` has reported it.
    ending: Option<io::Result<()>>,
}

/// Why a reader stopped. All frames before that point were returned.
#[derive(Debug, Error)]
pub enum CaptureError {
    #[error("{0}")]
    Read(#[source] io::Error),
    #[error("it is empty, where a pcap or pcapng capture was expected")]
    Empty,
    #[error("this is neither a pcap nor a pcapng capture")]
    NotACapture,
    #[error("the capture is cut short: its last record, at byte {offset}, is incomplete")]
    CutShort { offset: u64 },
    #[error("the capture is cut short: from byte {offset} on there are only zeros")]
    ZerosAtEnd { offset: u64 },
    #[error(
        "the compressed capture is cut short: after {offset} bytes of capture, the rest is missing"
    )]
    CompressedCutShort { offset: u64 },
    #[error("the capture is damaged at byte {offset}: {what}")]
    Damaged { offset: u64, what: String },
}

impl<R: Read> CaptureReader<R> {
    /// Creates a strict reader, which stops at the first damage.
    #[must_use]
    pub fn new(stream: R) -> Self {
        Self::with_mode(stream, Mode::Strict)
    }

    /// Creates a reader that skips damage and continues; see [`damage`](Self::damage).
    #[must_use]
    pub fn recovering(stream: R) -> Self {
        Self::with_mode(stream, Mode::Recovering)
    }

    fn with_mode(stream: R, mode: Mode) -> Self {
        Self {
            stream,
            buffer: vec![0; INITIAL_BUFFER],
            start: 0,
            end: 0,
            offset: 0,
            format: None,
            walk: Walk::new(mode),
            ended: false,
            ending: None,
        }
    }

    /// Waits for bytes from the stream and buffers them. Returns `false` at the end of the stream.
    ///
    /// Call it when [`next_frame`](Self::next_frame) has returned `None`.
    ///
    /// # Errors
    /// The stream cannot be read, is empty or not a capture, or ended in the middle of a capture.
    pub fn fill(&mut self) -> Result<bool, CaptureError> {
        if let Some(ending) = self.ending.take() {
            return self.end(ending);
        }
        self.make_room();
        let ending = loop {
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => break Ok(()),
                Ok(size) => {
                    self.end += size;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        // The buffer may hold frames that waited for the bytes after them. Now it is known that no
        // bytes follow, so the caller reads those frames first. The next call reports the ending.
        self.ended = true;
        self.ending = Some(ending);
        Ok(true)
    }

    /// Passes every frame that is complete in the buffer to `take`.
    ///
    /// # Errors
    /// The same as [`each_group`](Self::each_group).
    #[inline]
    pub fn each_frame(&mut self, mut take: impl FnMut(&Frame<'_>)) -> Result<(), CaptureError> {
        self.each_group(|frames| frames.iter().for_each(&mut take))
    }

    /// Passes every frame that is complete in the buffer to `take`, a few at a time.
    ///
    /// Finding frames and decoding them in one loop would take longer: the processor does not have
    /// enough registers for both.
    ///
    /// # Errors
    /// The stream is not a capture, or a strict reader found damage. Further calls return the same
    /// error.
    #[inline]
    pub fn each_group(&mut self, mut take: impl FnMut(&[Frame<'_>])) -> Result<(), CaptureError> {
        loop {
            if let (Some(format), Some(mode)) = (&mut self.format, self.walk.at_record()) {
                let mut group = FrameGroup::default();
                loop {
                    let bytes = &self.buffer[self.start..self.end];
                    let size = format.plain_frames(bytes, mode, &mut group);
                    if size == 0 {
                        break;
                    }
                    take(group.frames());
                    group.clear();
                    self.start += size;
                    self.offset += size as u64;
                }
            }
            match self.next_frame()? {
                Some(frame) => take(&[frame]),
                None => return Ok(()),
            }
        }
    }

    /// Returns the next complete frame, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// The same as [`each_group`](Self::each_group).
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        if self.format.is_none() && !self.read_header()? {
            return Ok(None);
        }
        let Some(format) = &mut self.format else {
            return Ok(None);
        };
        loop {
            let window = Window {
                bytes: &self.buffer[self.start..self.end],
                ended: self.ended,
            };
            let (size, frame) = match self.walk.step(format, window, self.offset) {
                Step::Frame { size, frame } => (size, Some(frame)),
                Step::Pass(size) => (size, None),
                Step::Wait => return Ok(None),
                Step::Fail { offset, what } => return Err(CaptureError::Damaged { offset, what }),
            };
            self.start += size;
            self.offset += size as u64;
            if frame.is_some() {
                return Ok(frame);
            }
        }
    }

    /// Whether a capture header was read, so that the stream is known to be a capture.
    #[must_use]
    pub fn has_header(&self) -> bool {
        self.walk.has_header() || self.format.as_ref().is_some_and(CaptureFormat::has_header)
    }

    /// Identifies the content of a stream that is not a capture. Reads more of the stream if
    /// needed.
    pub fn content(&mut self) -> Content {
        while self.end - self.start < Content::ENOUGH {
            self.make_room();
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(size) if size > 0 => self.end += size,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => break,
            }
        }
        Content::of(&self.buffer[self.start..self.end])
    }

    /// Number of frames that the capturing program dropped, according to the capture.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let here = self.format.as_ref().map_or(0, CaptureFormat::dropped);
        self.walk.dropped_before().saturating_add(here)
    }

    /// The damage skipped so far, if any.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        self.walk.damage()
    }

    /// Determines the capture format. Returns `false` if more bytes are needed.
    fn read_header(&mut self) -> Result<bool, CaptureError> {
        match CaptureFormat::begin(&self.buffer[self.start..self.end]) {
            Begin::Capture { size, format } => {
                self.format = Some(format);
                self.start += size;
                self.offset += size as u64;
                Ok(true)
            }
            Begin::Incomplete => Ok(false),
            Begin::NotACapture => Err(CaptureError::NotACapture),
        }
    }

    /// Makes room at the end of the buffer.
    ///
    /// Moves the unread bytes to the front only if at least as many bytes were consumed before
    /// them, or if there is no room otherwise. So the total cost of moving stays proportional to
    /// the bytes read.
    fn make_room(&mut self) {
        let left = self.end - self.start;
        if self.start >= left || self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.start = 0;
            self.end = left;
        }
        if self.end == self.buffer.len() {
            // The buffer grows only as bytes arrive. A large length in a header must not be able to
            // allocate memory by itself.
            self.buffer.resize((self.end * 2).min(MAX_BUFFER), 0);
        }
    }

    /// Determines the result of the whole stream once it has ended.
    pub(super) fn end(&self, ending: io::Result<()>) -> Result<bool, CaptureError> {
        let offset = self.offset;
        let zeros = self.walk.in_zeros_since();
        let is_cut = match ending {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => true,
            Err(error) => return Err(CaptureError::Read(error)),
        };
        match (&self.format, self.start == self.end) {
            _ if is_cut => Err(CaptureError::CompressedCutShort { offset }),
            _ if let Some(offset) = zeros => Err(CaptureError::ZerosAtEnd { offset }),
            (Some(_), true) => Ok(false),
            (Some(_), false) => Err(CaptureError::CutShort { offset }),
            (None, true) => Err(CaptureError::Empty),
            (None, false) => Err(CaptureError::NotACapture),
        }
    }
}
