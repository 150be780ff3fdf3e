//! A buffered reader of compressed bytes that can peek at the next ones.

use std::io::{self, Read};

/// The size of the buffer, and so the largest piece given to a decoder at a time. A decoder that
/// finds damage discards what it decoded from the current piece, so the pieces are small.
const BUFFER: usize = 8 * 1024;

/// A buffered stream. Bytes that were read but not yet consumed are `buffer[start..end]`.
pub(super) struct Input {
    stream: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Number of bytes consumed so far.
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

    /// An empty placeholder, used while the real input is lent out. It allocates nothing.
    pub(super) fn nothing() -> Self {
        Self {
            stream: Box::new(io::empty()),
            buffer: Vec::new(),
            start: 0,
            end: 0,
            taken: 0,
        }
    }

    /// Returns the next bytes without consuming them: at least `size` of them, or fewer at the end
    /// of the stream.
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

    /// Consumes `size` bytes that [`peek`](Self::peek) returned.
    pub(super) fn take_peeked(&mut self, size: usize) {
        self.start = (self.start + size).min(self.end);
        self.taken += size as u64;
    }

    /// Returns the number of bytes consumed so far.
    pub(super) fn position(&self) -> u64 {
        self.taken
    }

    /// Consumes `size` bytes. Fails with `UnexpectedEof` if the stream ends earlier.
    pub(super) fn skip(&mut self, size: u32) -> io::Result<()> {
        let size = u64::from(size);
        let skipped = io::copy(&mut self.by_ref().take(size), &mut io::sink())?;
        if skipped < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Consumes the zeros that come next. Returns `true` if the stream ends after them.
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
    /// A large read bypasses the buffer if the buffer is empty, which saves a copy.
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
