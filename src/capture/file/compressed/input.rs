//! Compressed bytes, with a look at what comes next.

use std::io::{self, Read};

/// How much compressed data is unpacked at a time. What a decoder made of it is lost if it then
/// finds damage, so it is little.
const BUFFER: usize = 8 * 1024;

/// A buffered stream. What is read and not yet taken is `buffer[start..end]`.
pub(super) struct Input {
    stream: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    taken: u64,
}

impl Input {
    pub(super) fn new(stream: Box<dyn Read + Send>) -> Self {
        Self {
            stream,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            taken: 0,
        }
    }

    /// Stands in for an input that is elsewhere. It allocates nothing.
    pub(super) fn nothing() -> Self {
        Self {
            stream: Box::new(io::empty()),
            buffer: Vec::new(),
            start: 0,
            end: 0,
            taken: 0,
        }
    }

    /// What comes next: at least `size` bytes, unless the stream ends before.
    pub(super) fn peek(&mut self, size: usize) -> io::Result<&[u8]> {
        while self.end - self.start < size {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(more) => self.end += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// Takes so many of the bytes that come next and are there.
    pub(super) fn take_peeked(&mut self, size: usize) {
        self.start = (self.start + size).min(self.end);
        self.taken += size as u64;
    }

    /// How many bytes were taken.
    pub(super) fn position(&self) -> u64 {
        self.taken
    }

    /// Takes so many bytes.
    pub(super) fn skip(&mut self, size: u32) -> io::Result<()> {
        let size = u64::from(size);
        let skipped = io::copy(&mut self.by_ref().take(size), &mut io::sink())?;
        if skipped < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Takes all zeros that come next; `true` if the stream ends behind them.
    pub(super) fn skip_zeros(&mut self) -> io::Result<bool> {
        loop {
            let next = self.peek(1)?;
            let zeros = next.iter().take_while(|&&byte| byte == 0).count();
            let is_end = next.is_empty();
            let is_over = zeros < next.len();
            self.take_peeked(zeros);
            if is_end || is_over {
                return Ok(is_end);
            }
        }
    }
}

impl Read for Input {
    /// Large reads that find nothing buffered go to the stream itself.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = if self.start == self.end && buffer.len() >= BUFFER {
            self.stream.read(buffer)?
        } else {
            let size = self.peek(1)?.read(buffer)?;
            self.start += size;
            size
        };
        self.taken += size as u64;
        Ok(size)
    }
}
