//! Reads that end early on request, on systems that cannot wait for input and a request at once.

use std::io::{self, Cursor, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// How many bytes to read at once.
const BLOCK: usize = 256 * 1024;
/// How often to check for the request.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// An input that is read in a thread of its own, so that its user need not wait for a read to end.
pub(super) struct Stoppable {
    blocks: Receiver<io::Result<Vec<u8>>>,
    /// The last block.
    block: Cursor<Vec<u8>>,
    is_stopped: Box<dyn Fn() -> bool + Send>,
}

impl Stoppable {
    /// Starts to read the input.
    ///
    /// # Errors
    /// The system cannot start another thread.
    pub(super) fn new(
        input: impl Read + Send + 'static,
        is_stopped: impl Fn() -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, blocks) = sync_channel(1);
        thread::Builder::new().spawn(move || send_blocks(input, &sender))?;
        Ok(Self {
            blocks,
            block: Cursor::default(),
            is_stopped: Box::new(is_stopped),
        })
    }
}

/// Sends all that is read, until the input ends or fails, or the receiver is gone.
fn send_blocks(mut input: impl Read, blocks: &SyncSender<io::Result<Vec<u8>>>) {
    let mut buffer = vec![0; BLOCK];
    loop {
        let block = match input.read(&mut buffer) {
            Ok(0) => return,
            Ok(size) => Ok(buffer[..size].to_vec()),
            Err(error) => Err(error),
        };
        let is_last = block.is_err();
        if blocks.send(block).is_err() || is_last {
            return;
        }
    }
}

impl Read for Stoppable {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if (self.is_stopped)() {
                return Ok(0);
            }
            let size = self.block.read(buffer)?;
            if size > 0 || buffer.is_empty() {
                return Ok(size);
            }
            match self.blocks.recv_timeout(CHECK_INTERVAL) {
                Ok(block) => self.block = Cursor::new(block?),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn everything_is_read() {
        let written: Vec<_> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let mut input = Stoppable::new(reader, || false).expect("a thread");
        let mut read = Vec::new();
        thread::scope(|scope| {
            let written = &written;
            scope.spawn(move || writer.write_all(written).expect("it is read"));
            input.read_to_end(&mut read).expect("a pipe does not fail");
        });
        assert!(read == written);
        assert_eq!(input.read(&mut [0]).expect("the pipe has ended"), 0);
    }

    #[test]
    fn a_request_ends_a_read_that_waits() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let is_stopped = Arc::new(AtomicBool::new(false));
        let check = Arc::clone(&is_stopped);
        let mut input =
            Stoppable::new(reader, move || check.load(Ordering::Relaxed)).expect("a thread");
        let read = thread::spawn(move || input.read(&mut [0]));
        is_stopped.store(true, Ordering::Relaxed);
        assert_eq!(read.join().expect("no panic").expect("no error"), 0);
        drop(writer);
    }

    #[test]
    fn an_error_is_passed_on() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let mut input = Stoppable::new(b"ab".chain(Broken), || false).expect("a thread");
        let mut bytes = [0; 2];
        input.read_exact(&mut bytes).expect("two bytes");
        let error = input.read(&mut bytes).expect_err("it is broken");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
