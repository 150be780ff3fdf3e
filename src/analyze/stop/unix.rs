//! Requests by SIGINT and SIGTERM.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};

/// A request to end the reading, made by a signal.
#[derive(Debug, Clone)]
pub struct Stop {
    requested: Arc<AtomicBool>,
    /// Readable from the first signal on, so that `poll` wakes a reader that waits for input.
    wake: Arc<UnixStream>,
}

impl Stop {
    /// Catches signals from now on. The first requests the stop, the second ends the process.
    ///
    /// # Errors
    /// The system refuses a socket pair or a signal handler.
    pub fn on_signals() -> io::Result<Self> {
        let requested = Arc::new(AtomicBool::new(false));
        let (wake, waker) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_default(signal, Arc::clone(&requested))?;
            flag::register(signal, Arc::clone(&requested))?;
            pipe::register(signal, waker.try_clone()?)?;
        }
        Ok(Self {
            requested,
            wake: Arc::new(wake),
        })
    }

    /// Returns whether a signal has arrived.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }

    /// Waits until the stream can be read, or a signal has arrived.
    pub(crate) fn wait_readable(&self, stream: impl AsFd) -> io::Result<()> {
        let mut sources = [
            PollFd::new(stream.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.wake.as_fd(), PollFlags::POLLIN),
        ];
        // A signal may interrupt this. Either it requested the stop, or the caller waits again.
        match poll(&mut sources, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
