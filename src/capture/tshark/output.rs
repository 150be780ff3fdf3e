//! The pipe from tshark.

use std::fs::File;
use std::io::{self, Read};
use std::thread;
use std::time::Duration;

/// The capacity of the pipe in bytes: the most that Linux grants without a privilege, pipe(7).
#[cfg(target_os = "linux")]
const PIPE_SIZE: i32 = 1024 * 1024;

/// How long packets may gather in the pipe. More than 300,000 packets/s of 300 bytes would fill it
/// in this time. dumpcap then blocks for the rest of the pause, which is harmless because the
/// kernel's capture buffer holds many times as much. [`DELAY`](super::DELAY) includes this pause.
const PAUSE: Duration = Duration::from_millis(10);

/// The pcapng stream of a tshark.
///
/// dumpcap writes a few dozen packets at a time, and a wake-up for each write would cost more than
/// decoding and counting its packets. So a read that follows one that emptied the pipe first waits
/// for the pause. A read that finds the pipe empty then still returns as soon as data arrives.
#[derive(Debug)]
pub struct Output {
    pipe: File,
    /// Whether the pipe has [`PIPE_SIZE`]. One of the usual size would fill up during the pause.
    is_wide: bool,
    is_emptied: bool,
}

impl Output {
    pub(super) fn new(pipe: File) -> Self {
        Self {
            is_wide: widen(&pipe),
            pipe,
            is_emptied: false,
        }
    }
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_wide && self.is_emptied {
            thread::sleep(PAUSE);
        }
        let size = self.pipe.read(buffer)?;
        self.is_emptied = size < buffer.len();
        Ok(size)
    }
}

#[cfg(target_os = "linux")]
fn widen(pipe: &File) -> bool {
    use nix::fcntl::{FcntlArg, fcntl};

    // The administrator may have set a lower limit. Then there is no pause.
    fcntl(pipe, FcntlArg::F_SETPIPE_SZ(PIPE_SIZE)).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn widen(_pipe: &File) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;

    use super::*;

    #[track_caller]
    fn check(is_wide: bool, room: usize) {
        let written: Vec<_> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let mut output = Output {
            is_wide,
            ..Output::new(OwnedFd::from(reader).into())
        };
        let mut read = Vec::new();
        thread::scope(|scope| {
            let written = &written;
            scope.spawn(move || writer.write_all(written).expect("it is read"));
            let mut buffer = vec![0; room];
            while let size @ 1.. = output.read(&mut buffer).expect("a pipe does not break") {
                read.extend_from_slice(&buffer[..size]);
            }
        });
        assert!(read == written, "wide: {is_wide}, room: {room}");
    }

    #[test]
    fn everything_written_is_read() {
        check(false, 300_000);
        check(true, 300_000);
        check(true, 1_000);
    }
}
