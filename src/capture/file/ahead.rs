//! Reads ahead on a thread of its own, for streams that take as long to read as what becomes of
//! them.

use std::io::{self, Read};
use std::sync::mpsc::{self, Receiver, Sender};
use std::{mem, thread};

/// Large enough that waking each other is rare.
const BLOCK: usize = 128 * 1024;
/// One that is filled, one that is read, and two for the times when one thread is faster.
const BLOCKS: usize = 4;

/// What a thread reads out of a stream.
pub(super) struct Ahead {
    filled: Receiver<io::Result<Vec<u8>>>,
    emptied: Sender<Vec<u8>>,
    block: Vec<u8>,
    /// How much of the block was taken.
    taken: usize,
}

impl Ahead {
    /// # Errors
    /// The system has no room for another thread.
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

/// Ends where the stream ends, or when nobody takes blocks any more.
fn read_ahead(
    mut stream: impl Read,
    empty: Receiver<Vec<u8>>,
    filled: &Sender<io::Result<Vec<u8>>>,
) {
    for mut block in empty {
        block.resize(BLOCK, 0);
        let (size, ending) = fill(&mut stream, &mut block);
        block.truncate(size);
        // An empty one would be taken for the end.
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

/// Reads until the block is full or the stream ends. Returns how much it read, and how it ended.
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

    /// Gives out bytes a few at a time, then an error.
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
    fn all_comes_out_in_order() {
        let numbers: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut ahead = Ahead::of(io::Cursor::new(numbers.clone())).expect("a thread");
        let mut read = Vec::new();
        ahead.read_to_end(&mut read).expect("nothing breaks");
        assert!(read == numbers);
        assert_eq!(ahead.read(&mut [0]).expect("it has ended"), 0);
    }

    #[test]
    fn an_error_comes_behind_what_was_read_before_it() {
        let mut ahead = Ahead::of(Breaks(300_000)).expect("a thread");
        let mut read = Vec::new();
        let error = ahead.read_to_end(&mut read).expect_err("it breaks");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(read == vec![7; 300_000]);
    }
}
