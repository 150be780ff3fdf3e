//! Reads a stream ahead on a separate thread. This helps where reading, such as decompression,
//! takes as long as processing the result.

use std::io::{self, Read};
use std::sync::mpsc::{self, Receiver, Sender};
use std::{mem, thread};

/// The size of a block in bytes, large enough that the two threads rarely wake each other.
const BLOCK: usize = 128 * 1024;
/// Number of blocks: one being filled, one being read, and two spare ones for when the threads run
/// at different speeds.
const BLOCKS: usize = 4;

/// A stream that another thread reads ahead.
pub(super) struct Ahead {
    filled: Receiver<io::Result<Vec<u8>>>,
    emptied: Sender<Vec<u8>>,
    block: Vec<u8>,
    /// Number of bytes of the block that were consumed.
    taken: usize,
}

impl Ahead {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system cannot start another thread.
    pub(super) fn of(stream: impl Read + Send + 'static) -> io::Result<Self> {
        let (filled_by_thread, filled) = mpsc::channel();
        let (emptied, empty) = mpsc::channel();
        for _ in 0..BLOCKS {
            let _ = emptied.send(Vec::new());
        }
        thread::Builder::new()
            .name("unpack".to_owned())
            .spawn(move || read_ahead(stream, empty, &filled_by_thread))?;
        Ok(Self {
            filled,
            emptied,
            block: Vec::new(),
            taken: 0,
        })
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.block.len() {
            self.taken = 0;
            let block = mem::take(&mut self.block);
            if block.capacity() > 0 {
                let _ = self.emptied.send(block);
            }
            match self.filled.recv() {
                Ok(block) => self.block = block?,
                Err(_) => return Ok(0),
            }
        }
        let size = (&self.block[self.taken..]).read(buffer)?;
        self.taken += size;
        Ok(size)
    }
}

/// The thread's function. Returns at the end of the stream, or when the `Ahead` was dropped.
fn read_ahead(
    mut stream: impl Read,
    empty: Receiver<Vec<u8>>,
    filled: &Sender<io::Result<Vec<u8>>>,
) {
    for mut block in empty {
        block.resize(BLOCK, 0);
        let (size, ending) = fill(&mut stream, &mut block);
        block.truncate(size);
        // The reader would take an empty block for the end of the stream.
        if size > 0 && filled.send(Ok(block)).is_err() {
            return;
        }
        match ending {
            None => {}
            Some(Ok(())) => return,
            Some(Err(error)) => {
                let _ = filled.send(Err(error));
                return;
            }
        }
    }
}

/// Reads until the block is full or the stream ends. Returns the number of bytes read and, if the
/// stream ended, its result.
fn fill(stream: &mut impl Read, block: &mut [u8]) -> (usize, Option<io::Result<()>>) {
    let mut size = 0;
    while size < block.len() {
        match stream.read(&mut block[size..]) {
            Ok(0) => return (size, Some(Ok(()))),
            Ok(more) => size += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (size, Some(Err(error))),
        }
    }
    (size, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns this number of bytes, a few at a time, then an error.
    struct Breaks(u64);

    impl Read for Breaks {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let room = buffer.len().min(13);
            let size = io::repeat(7).take(self.0).read(&mut buffer[..room])?;
            self.0 -= size as u64;
            Ok(size)
        }
    }

    #[test]
    fn all_bytes_are_returned_in_order() {
        let numbers: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut ahead = Ahead::of(io::Cursor::new(numbers.clone())).expect("a thread");
        let mut read = Vec::new();
        ahead.read_to_end(&mut read).expect("nothing breaks");
        assert!(read == numbers);
        assert_eq!(ahead.read(&mut [0]).expect("it has ended"), 0);
    }

    #[test]
    fn bytes_read_before_an_error_are_returned_first() {
        let mut ahead = Ahead::of(Breaks(300_000)).expect("a thread");
        let mut read = Vec::new();
        let error = ahead.read_to_end(&mut read).expect_err("it breaks");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(read == vec![7; 300_000]);
    }
}
