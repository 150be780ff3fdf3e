//! SIGINT and SIGTERM while captures are read: what was counted until then is printed.

#[cfg(not(unix))]
pub use elsewhere::Stop;
#[cfg(unix)]
pub use on_unix::Stop;

#[cfg(unix)]
mod on_unix {
    use std::io;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::{flag, low_level::pipe};

    /// Whether the reading is to end.
    #[derive(Debug, Clone)]
    pub struct Stop {
        asked: Arc<AtomicBool>,
        /// Readable from the first signal on: for readers that wait.
        wake: Arc<UnixStream>,
    }

    impl Stop {
        /// From now on the first signal no longer ends the process by itself. The second does.
        ///
        /// # Errors
        /// The system has no room for it.
        pub fn on_signals() -> io::Result<Self> {
            let asked = Arc::new(AtomicBool::new(false));
            let (wake, waker) = UnixStream::pair()?;
            for signal in [SIGINT, SIGTERM] {
                flag::register_conditional_default(signal, Arc::clone(&asked))?;
                flag::register(signal, Arc::clone(&asked))?;
                pipe::register(signal, waker.try_clone()?)?;
            }
            Ok(Self {
                asked,
                wake: Arc::new(wake),
            })
        }

        #[must_use]
        pub fn is_asked_for(&self) -> bool {
            self.asked.load(Ordering::Relaxed)
        }

        /// Waits until there is something to read, or a signal came.
        pub(crate) fn or_readable(&self, stream: impl AsFd) -> io::Result<()> {
            let mut sources = [
                PollFd::new(stream.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.wake.as_fd(), PollFlags::POLLIN),
            ];
            // A signal may interrupt this. Then it is asked for, or reading waits once more.
            match poll(&mut sources, PollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use std::io;

    /// Nothing ends the reading: a signal ends the process.
    #[derive(Debug, Clone)]
    pub struct Stop;

    impl Stop {
        /// # Errors
        /// None.
        pub fn on_signals() -> io::Result<Self> {
            Ok(Self)
        }

        #[must_use]
        pub fn is_asked_for(&self) -> bool {
            false
        }

        pub(crate) fn or_readable<T>(&self, _stream: T) -> io::Result<()> {
            Ok(())
        }
    }
}
