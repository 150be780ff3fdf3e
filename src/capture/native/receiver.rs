//! Reads a packet socket, and detects that its interface was deleted.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::libc;
use socket2::Socket;

use super::batch::Batch;
use super::interface::Interface;
use super::{PacketSocket, ReceiveError, filter, socket};
use crate::capture::{Frame, Pause, ReceiveBuffer, gather};
use crate::frame::LinkType;

/// How long a read waits for the first packet, so that its caller can regularly check whether to
/// stop.
const READ_TIMEOUT: Duration = Duration::from_millis(200);

/// How often to check that the interface still exists. The kernel reports the deletion of an
/// interface that is up, but not of one that is down, nor if the filter selects the interface.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Reads the packets of a socket in batches, on one thread.
#[derive(Debug)]
pub struct Receiver {
    socket: Arc<Socket>,
    interface: Option<Interface>,
    batch: Batch,
    pause: Pause,
    /// When the interface was last known to exist.
    seen: Instant,
    /// Whether the kernel reported that the interface is down, and no packet arrived since. An
    /// interface that is being deleted goes down first and disappears a moment later.
    is_down: bool,
}

impl Receiver {
    /// Creates a receiver for an open socket.
    ///
    /// # Errors
    /// The system refuses to change the socket.
    pub fn new(socket: PacketSocket) -> io::Result<Self> {
        socket.socket.set_read_timeout(Some(READ_TIMEOUT))?;
        let buffer = ReceiveBuffer::of(&*socket.socket);
        Ok(Self {
            pause: Pause::new(buffer.map_or(0, |buffer| buffer.limit)),
            socket: socket.socket,
            interface: socket.interface,
            batch: Batch::new(socket.snaplen),
            seen: Instant::now(),
            is_down: false,
        })
    }

    /// Waits up to 200 ms for packets and reads those that are queued. Returns whether there were
    /// any.
    ///
    /// # Errors
    /// The interface is gone, or the socket cannot be read any more.
    pub fn fill(&mut self) -> Result<bool, ReceiveError> {
        if self.is_down || self.seen.elapsed() >= CHECK_INTERVAL {
            self.check_interface()?;
        }
        let outcome = self.batch.receive(&self.socket);
        self.has_read(outcome)
    }

    /// Reads the packets that are queued, without waiting. Returns whether there were any.
    ///
    /// # Errors
    /// The socket cannot be read any more.
    pub fn fill_at_once(&mut self) -> Result<bool, ReceiveError> {
        let mut outcome = self.batch.receive_at_once(&self.socket);
        if outcome.as_ref().is_err_and(is_network_down) {
            // The kernel reports this error once, before the packets that are queued.
            outcome = self.batch.receive_at_once(&self.socket);
        }
        self.has_read(outcome)
    }

    /// Sleeps some milliseconds if the last read emptied the socket, so that the next one finds
    /// more than one packet. See [`Pause`].
    pub fn pause(&mut self) {
        gather(&mut self.pause, self.batch.is_full(), &self.socket);
    }

    /// Stops accepting packets, so that the queue can be read to its end.
    ///
    /// # Errors
    /// The system refuses to change the socket.
    pub fn close(&self) -> io::Result<()> {
        socket::attach(&self.socket, &filter::nothing())
    }

    /// Returns the packets of the last batch as frames that were captured at `at`, since the Unix
    /// epoch.
    pub fn frames(&self, at: Duration) -> impl Iterator<Item = Frame<'_>> {
        self.batch.frames().map(move |(bytes, length)| Frame {
            at,
            link: LinkType::ETHERNET,
            bytes,
            length,
        })
    }

    fn has_read(&mut self, outcome: io::Result<()>) -> Result<bool, ReceiveError> {
        let Err(error) = outcome else {
            self.is_down = false;
            return Ok(true);
        };
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {
                Ok(false)
            }
            // Reported once. If the interface is merely down, packets arrive again once it is up.
            _ if is_network_down(&error) => {
                self.is_down = true;
                // Up to now, packets were received.
                self.seen = Instant::now();
                self.check_interface()?;
                Ok(false)
            }
            _ => Err(error.into()),
        }
    }

    fn check_interface(&mut self) -> Result<(), ReceiveError> {
        match &self.interface {
            Some(interface) if interface.is_gone() => Err(ReceiveError::Gone {
                interface: interface.name.clone(),
                seen: self.seen,
            }),
            _ => {
                self.seen = Instant::now();
                Ok(())
            }
        }
    }
}

fn is_network_down(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENETDOWN)
}
