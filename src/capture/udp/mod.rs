//! UDP sockets that receive TZSP without any capture program.

#[cfg(target_os = "linux")]
mod batch;
#[cfg(not(target_os = "linux"))]
#[path = "single.rs"]
mod batch;
mod discard;
mod kernel;

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use socket2::{Protocol, Socket, Type};

use super::{Pause, ReceiveBuffer, gather, raise_receive_buffer};
use crate::dual_stack;
use batch::Batch;
pub use discard::DiscardSocket;
pub use kernel::Drops;

/// How long a read waits for the first datagram: the caller then sees whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(200);

/// The largest UDP payload over IPv4 is 65,507 bytes; over IPv6 it is 20 more.
const LARGEST_DATAGRAM: usize = 65_527;

/// A socket on one listen port, all addresses, IPv4 and IPv6.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    port: u16,
}

/// Reads what a listener gets, in batches. It stays on the thread that made it.
#[derive(Debug)]
pub struct Receiver {
    socket: Socket,
    batch: Batch,
    pause: Pause,
}

impl Listener {
    /// # Errors
    /// The port is taken, or may not be used.
    pub fn bind(port: u16) -> io::Result<Self> {
        let socket = bind(port, |_| Ok(()))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let address = socket.local_addr()?.as_socket();
        Ok(Self {
            socket,
            port: address.map_or(port, |address| address.port()),
        })
    }

    /// The port it is bound to: the system's choice if 0 was asked for.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Asks for a receive buffer of this many bytes and returns how many the kernel grants.
    ///
    /// # Errors
    /// The socket is broken.
    pub fn raise_buffer(&self, bytes: usize) -> io::Result<usize> {
        raise_receive_buffer(&self.socket, bytes)
    }

    /// What the kernel tells of the datagrams that it dropped for want of room.
    #[must_use]
    pub fn drops(&self) -> Drops {
        Drops::of(&self.socket)
    }
}

impl Receiver {
    #[must_use]
    pub fn new(listener: Listener) -> Self {
        let buffer = ReceiveBuffer::of(&listener.socket);
        Self {
            socket: listener.socket,
            batch: Batch::new(),
            pause: Pause::new(buffer.map_or(0, |buffer| buffer.limit)),
        }
    }

    /// Waits up to 200 ms for datagrams and reads those that are there; `false` if none came.
    ///
    /// # Errors
    /// The socket cannot be read any more.
    pub fn fill(&mut self) -> io::Result<bool> {
        has_read(self.batch.receive(&self.socket))
    }

    /// Reads the datagrams that are there, without a wait; `false` if there are none.
    ///
    /// # Errors
    /// The socket cannot be read any more.
    pub fn fill_at_once(&mut self) -> io::Result<bool> {
        has_read(self.batch.receive_at_once(&self.socket))
    }

    /// The batch that was read last: who sent each datagram, and the payload.
    pub fn datagrams(&self) -> impl Iterator<Item = (IpAddr, &[u8])> {
        self.batch.datagrams()
    }

    /// Waits some milliseconds if the last read emptied the socket, so that the next one finds more
    /// than one datagram. See [`Pause`].
    pub fn pause(&mut self) {
        gather(&mut self.pause, self.batch.is_full(), &self.socket);
    }
}

fn has_read(outcome: io::Result<()>) -> io::Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {
                Ok(false)
            }
            _ => Err(error),
        },
    }
}

/// A socket on this port, all addresses, prepared before it has the port.
fn bind(port: u16, prepare: impl Fn(&Socket) -> io::Result<()>) -> io::Result<Socket> {
    dual_stack::bind(port, Type::DGRAM, Protocol::UDP, prepare)
}
