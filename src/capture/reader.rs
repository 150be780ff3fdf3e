use std::io::{self, Read};

use pcap_file::pcap::{PcapParseError, PcapParser};
use thiserror::Error;

use super::Frame;
use super::pcap::Pcap;
use super::pcapng::{self, Pcapng};

/// The buffer starts at this size: about what a pipe and a disk deliver at best.
const INITIAL_BUFFER: usize = 256 * 1024;

/// No block or record may be larger. It is far above what captures of the link types that are
/// read can hold (libpcap's largest snap length is 256 KiB), and low enough that a damaged
/// length costs little memory.
pub(super) const MAX_RECORD: usize = 16 * 1024 * 1024;

/// Reads frames from any byte stream that holds a pcap or pcapng capture.
///
/// Reading has two steps, so that a caller can hold a lock for the second one alone:
/// [`fill`](Self::fill) waits for bytes, and [`next_frame`](Self::next_frame) takes out the
/// frames that are complete. A frame comes out as soon as its last byte is there.
#[derive(Debug)]
pub struct CaptureReader<R> {
    stream: R,
    buffer: Vec<u8>,
    /// What is read and not yet taken out is `buffer[start..end]`.
    start: usize,
    end: usize,
    /// Position in the stream of `buffer[start]`.
    offset: u64,
    format: Option<Format>,
}

#[derive(Debug)]
enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
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
    #[error("the capture is damaged at byte {offset}: {what}")]
    Damaged { offset: u64, what: String },
}

/// What a format finds at the start of the bytes that are there.
pub(super) enum Item<'a> {
    Frame {
        size: usize,
        frame: Frame<'a>,
    },
    /// Something that is no frame.
    Other {
        size: usize,
    },
    Incomplete,
    Damaged {
        what: String,
    },
}

impl<R: Read> CaptureReader<R> {
    #[must_use]
    pub fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: vec![0; INITIAL_BUFFER],
            start: 0,
            end: 0,
            offset: 0,
            format: None,
        }
    }

    /// Waits until the stream delivers bytes and takes in what is there; `false` at its end.
    ///
    /// To be called when [`next_frame`](Self::next_frame) has nothing more to give.
    ///
    /// # Errors
    /// The stream cannot be read, or it ended where a capture must not end.
    pub fn fill(&mut self) -> Result<bool, CaptureError> {
        self.make_room();
        loop {
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => return self.ended(),
                Ok(size) => {
                    self.end += size;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CaptureError::Read(error)),
            }
        }
    }

    /// The next frame that is there whole, or `None` if more bytes are needed for it.
    ///
    /// # Errors
    /// The stream is no capture, or it is damaged; then every further call says so again.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        if self.format.is_none() && !self.read_header()? {
            return Ok(None);
        }
        loop {
            let bytes = &self.buffer[self.start..self.end];
            let item = match &mut self.format {
                Some(Format::Pcap(pcap)) => pcap.next(bytes),
                Some(Format::Pcapng(pcapng)) => pcapng.next(bytes),
                None => Item::Incomplete,
            };
            let (size, frame) = match item {
                Item::Frame { size, frame } => (size, Some(frame)),
                Item::Other { size } => (size, None),
                Item::Incomplete => return Ok(None),
                Item::Damaged { what } => {
                    let offset = self.offset;
                    return Err(CaptureError::Damaged { offset, what });
                }
            };
            self.start += size;
            self.offset += size as u64;
            if frame.is_some() {
                return Ok(frame);
            }
        }
    }

    /// Whether the capture's header was read: from then on it is known to be a capture.
    #[must_use]
    pub fn has_header(&self) -> bool {
        match &self.format {
            Some(Format::Pcap(_)) => true,
            Some(Format::Pcapng(pcapng)) => pcapng.has_section(),
            None => false,
        }
    }

    /// Frames that the capture itself says were dropped before they reached it.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        match &self.format {
            Some(Format::Pcapng(pcapng)) => pcapng.dropped(),
            Some(Format::Pcap(_)) | None => 0,
        }
    }

    /// Finds out the format; `false` if more bytes are needed for that.
    fn read_header(&mut self) -> Result<bool, CaptureError> {
        let bytes = &self.buffer[self.start..self.end];
        if bytes.starts_with(&pcapng::MAGIC) {
            self.format = Some(Format::Pcapng(Pcapng::default()));
            return Ok(true);
        }
        let (rest, parser) = match PcapParser::new(bytes) {
            Ok(parsed) => parsed,
            Err(PcapParseError::IncompleteBuffer(..)) => return Ok(false),
            Err(_) => return Err(CaptureError::NotACapture),
        };
        let size = bytes.len() - rest.len();
        self.format = Some(Format::Pcap(Pcap::new(parser)));
        self.take(size);
        Ok(true)
    }

    fn take(&mut self, size: usize) {
        self.start += size;
        self.offset += size as u64;
    }

    fn make_room(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            // Only as far as bytes really arrive: a declared length alone reserves nothing.
            self.buffer.resize(self.end * 2, 0);
        }
    }

    fn ended(&self) -> Result<bool, CaptureError> {
        let offset = self.offset;
        match (&self.format, self.start == self.end) {
            (Some(_), true) => Ok(false),
            (Some(_), false) => Err(CaptureError::CutShort { offset }),
            (None, true) => Err(CaptureError::Empty),
            (None, false) => Err(CaptureError::NotACapture),
        }
    }
}
