//! Reads a packet socket, and notices when its interface is gone.

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

/// How long a read waits for the first packet: the caller then sees whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(200);

/// How often is looked whether the interface is still there. The kernel tells when an interface
/// that is up goes, but not when it was down or the filter chooses it.
const LOOK: Duration = Duration::from_secs(1);

/// Reads what a socket gets, in batches. It stays on the thread that made it.
#[derive(Debug)]
pub struct Receiver {
    socket: Arc<Socket>,
    interface: Option<Interface>,
    batch: Batch,
    pause: Pause,
    /// When the interface was last there.
    seen: Instant,
    /// The kernel said that the interface is down, and nothing came since. One that is being deleted
    /// is down first, and a moment later gone.
    is_down: bool,
}

impl Receiver {
    /// # Errors
    /// The socket is broken.
    pub fn new(socket: PacketSocket) -> io::Result<Self> {
        socket.socket.set_read_timeout(Some(PATIENCE))?;
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

    /// Waits up to 200 ms for packets and reads those that are there; `false` if none came.
    ///
    /// # Errors
    /// The interface is gone, or the socket cannot be read any more.
    pub fn fill(&mut self) -> Result<bool, ReceiveError> {
        if self.is_down || self.seen.elapsed() >= LOOK {
            self.look_for_interface()?;
        }
        let outcome = self.batch.receive(&self.socket);
        self.has_read(outcome)
    }

    /// Reads the packets that are there, without a wait; `false` if there are none.
    ///
    /// # Errors
    /// The socket cannot be read any more.
    pub fn fill_at_once(&mut self) -> Result<bool, ReceiveError> {
        let mut outcome = self.batch.receive_at_once(&self.socket);
        if outcome.as_ref().is_err_and(is_network_down) {
            // Told before what is in the socket.
            outcome = self.batch.receive_at_once(&self.socket);
        }
        self.has_read(outcome)
    }

    /// Waits some milliseconds if the last read emptied the socket, so that the next one finds more
    /// than one packet. See [`Pause`].
    pub fn pause(&mut self) {
        gather(&mut self.pause, self.batch.is_full(), &self.socket);
    }

    /// Lets no more packets in, so that reading comes to an end.
    ///
    /// # Errors
    /// The socket is broken.
    pub fn close(&self) -> io::Result<()> {
        socket::attach(&self.socket, &filter::nothing())
    }

    /// The batch that was read last, as frames that arrived at this time, since the Unix epoch.
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
            // Told once. An interface that is merely down goes on by itself when it is up.
            _ if is_network_down(&error) => {
                self.is_down = true;
                // Until now, packets came in.
                self.seen = Instant::now();
                self.look_for_interface()?;
                Ok(false)
            }
            _ => Err(error.into()),
        }
    }

    fn look_for_interface(&mut self) -> Result<(), ReceiveError> {
        match &self.interface {
            Some(interface) if !interface.is_there() => Err(ReceiveError::Gone {
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
