use std::io::{self, Read};

use thiserror::Error;

use super::content::Content;
use super::damage::Damage;
use super::format::{Begin, CaptureFormat};
use super::record::{LOOKAHEAD, MAX_RECORD, Mode, Window};
use super::walk::{Step, Walk};
use crate::capture::Frame;

/// The buffer starts at this size: about what a pipe and a disk deliver at best.
const INITIAL_BUFFER: usize = 256 * 1024;

/// Room for a record of the largest size, and for what is looked at behind it.
const MAX_BUFFER: usize = MAX_RECORD + 2 * LOOKAHEAD;

/// Reads frames from any byte stream that holds pcap or pcapng captures.
///
/// A capture is what its chain of lengths says: the length of each record or block tells where the
/// next one begins. A capture of either format may follow another.
///
/// Reading has two steps, so that a caller can hold a lock for the second one alone:
/// [`fill`](Self::fill) waits for bytes, and [`next_frame`](Self::next_frame) takes out the
/// frames that are complete. A frame comes out as soon as its last byte is there; with
/// [`recovering`](Self::recovering), as soon as the chain holds behind it, which takes a mebibyte
/// at most. A header of zeros alone waits in either case, because many zeros are damage.
///
/// What comes out is the same however the stream is cut into reads.
#[derive(Debug)]
pub struct CaptureReader<R> {
    stream: R,
    buffer: Vec<u8>,
    /// What is read and not yet taken out is `buffer[start..end]`.
    start: usize,
    end: usize,
    /// Position in the stream of `buffer[start]`.
    offset: u64,
    format: Option<CaptureFormat>,
    walk: Walk,
    /// Nothing follows what is in the buffer.
    ended: bool,
    /// How the stream ended, until that was told.
    ending: Option<io::Result<()>>,
}

/// What ended the reading of a capture. All frames before it were handed out.
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
    /// A reader that ends where the capture is damaged.
    #[must_use]
    pub fn new(stream: R) -> Self {
        Self::with_mode(stream, Mode::Strict)
    }

    /// A reader that passes over what is damaged; [`damage`](Self::damage) tells of it.
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

    /// Waits until the stream delivers bytes and takes in what is there; `false` at its end.
    ///
    /// To be called when [`next_frame`](Self::next_frame) has nothing more to give.
    ///
    /// # Errors
    /// The stream cannot be read, or it ended where a capture must not end.
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
        // There may be frames that waited for what follows.
        self.ended = true;
        self.ending = Some(ending);
        Ok(true)
    }

    /// Hands over all frames that are there whole.
    ///
    /// # Errors
    /// The stream is no capture, or it is damaged; then every further call says so again.
    #[inline]
    pub fn each_frame(&mut self, mut take: impl FnMut(&Frame<'_>)) -> Result<(), CaptureError> {
        loop {
            if let (Some(format), Some(mode)) = (&mut self.format, self.walk.at_record()) {
                let bytes = &self.buffer[self.start..self.end];
                let size = format.each_plain(bytes, mode, &mut take);
                self.start += size;
                self.offset += size as u64;
            }
            match self.next_frame()? {
                Some(frame) => take(&frame),
                None => return Ok(()),
            }
        }
    }

    /// The next frame that is there whole, or `None` if more bytes are needed for it.
    ///
    /// # Errors
    /// Those of [`each_frame`](Self::each_frame).
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

    /// Whether a capture's header was read: from then on it is known to be a capture.
    #[must_use]
    pub fn has_header(&self) -> bool {
        self.walk.has_header() || self.format.as_ref().is_some_and(CaptureFormat::has_header)
    }

    /// What the stream holds if it is not a capture. Reads on as far as it takes to tell.
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

    /// Frames that the capture itself says were dropped before they reached it.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let here = self.format.as_ref().map_or(0, CaptureFormat::dropped);
        self.walk.dropped_before().saturating_add(here)
    }

    /// What was passed over so far.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        self.walk.damage()
    }

    /// Finds out the format; `false` if more bytes are needed for that.
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

    /// Moves what is left to the front if that costs no more than what was taken out, so that
    /// all the moving costs no more than all the reading.
    fn make_room(&mut self) {
        let left = self.end - self.start;
        if self.start >= left || self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.start = 0;
            self.end = left;
        }
        if self.end == self.buffer.len() {
            // Only as far as bytes really arrive: a declared length alone reserves nothing.
            self.buffer.resize((self.end * 2).min(MAX_BUFFER), 0);
        }
    }

    fn end(&self, ending: io::Result<()>) -> Result<bool, CaptureError> {
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
