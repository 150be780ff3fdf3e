//! UDP sockets that receive TZSP without any capture.

#[cfg(target_os = "linux")]
mod batch;
#[cfg(not(target_os = "linux"))]
#[path = "single.rs"]
mod batch;
mod discard;
#[cfg(target_os = "linux")]
mod drops;
#[cfg(not(target_os = "linux"))]
#[path = "unknown_drops.rs"]
mod drops;

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use socket2::{Protocol, SockRef, Socket, Type};

use super::{Pause, ReceiveBuffer, gather, raise_receive_buffer};
use crate::dual_stack;
use batch::Batch;
pub use discard::DiscardSocket;
pub use drops::Drops;

/// How long a read waits for the first datagram, so that its caller can regularly check whether to
/// stop.
const READ_TIMEOUT: Duration = Duration::from_millis(200);

/// The largest UDP payload over IPv4 is 65,507 bytes; over IPv6 it is 20 more.
const LARGEST_DATAGRAM: usize = 65_527;

/// A socket on one listen port, on all addresses, for IPv4 and IPv6.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    port: u16,
}

/// Reads the datagrams of a listener in batches, on one thread.
#[derive(Debug)]
pub struct Receiver {
    socket: UdpSocket,
    batch: Batch,
    pause: Pause,
}

impl Listener {
    /// Binds a socket to `port` on all addresses; 0 lets the system choose one.
    ///
    /// # Errors
    /// The port is in use, or this process may not bind it.
    pub fn bind(port: u16) -> io::Result<Self> {
        let socket = bind(port, |_| Ok(()))?;
        socket.set_read_timeout(Some(READ_TIMEOUT))?;
        let address = socket.local_addr()?.as_socket();
        Ok(Self {
            socket,
            port: address.map_or(port, |address| address.port()),
        })
    }

    /// Returns the bound port: the system's choice if it was 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Asks for a receive buffer of this many bytes and returns how many the kernel grants.
    ///
    /// # Errors
    /// The system refuses to change the socket.
    pub fn raise_buffer(&self, bytes: usize) -> io::Result<usize> {
        raise_receive_buffer(&self.socket, bytes)
    }

    /// Returns a counter of the datagrams that the kernel dropped because the buffer was full;
    /// `None` if this system does not tell.
    #[must_use]
    pub fn drops(&self) -> Option<Drops> {
        Drops::of(&self.socket)
    }
}

impl Receiver {
    #[must_use]
    pub fn new(listener: Listener) -> Self {
        let buffer = ReceiveBuffer::of(&listener.socket);
        Self {
            socket: listener.socket.into(),
            batch: Batch::new(),
            pause: Pause::new(buffer.map_or(0, |buffer| buffer.limit)),
        }
    }

    /// Waits up to 200 ms for datagrams and reads those that are queued. Returns whether there were
    /// any.
    ///
    /// # Errors
    /// The socket cannot be read any more.
    pub fn fill(&mut self) -> io::Result<bool> {
        has_read(self.batch.receive(&self.socket))
    }

    /// Reads the datagrams that are queued, without waiting. Returns whether there were any.
    ///
    /// # Errors
    /// The socket cannot be read any more.
    pub fn fill_at_once(&mut self) -> io::Result<bool> {
        has_read(self.batch.receive_at_once(&self.socket))
    }

    /// Returns the datagrams of the last batch: each with its sender's address and its payload.
    pub fn datagrams(&self) -> impl Iterator<Item = (IpAddr, &[u8])> {
        self.batch.datagrams()
    }

    /// Sleeps some milliseconds if the last read emptied the socket, so that the next one finds
    /// more than one datagram. See [`Pause`].
    pub fn pause(&mut self) {
        let socket = SockRef::from(&self.socket);
        gather(&mut self.pause, self.batch.is_full(), &socket);
    }
}

fn has_read(outcome: io::Result<()>) -> io::Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {
                Ok(false)
            }
            // Windows reports ICMP errors, which anybody may send, at the next read
            // (WSAECONNRESET). The socket can still be read.
            io::ErrorKind::ConnectionReset => Ok(false),
            _ => Err(error),
        },
    }
}

/// Binds a UDP socket to `port` on all addresses. `prepare` sets its options before that.
fn bind(port: u16, prepare: impl Fn(&Socket) -> io::Result<()>) -> io::Result<Socket> {
    dual_stack::bind(port, Type::DGRAM, Protocol::UDP, prepare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_pass_do_not_end_a_listener() {
        let check = |kind: io::ErrorKind, expected: Option<bool>| {
            assert_eq!(has_read(Err(kind.into())).ok(), expected, "{kind}");
        };
        check(io::ErrorKind::WouldBlock, Some(false));
        check(io::ErrorKind::TimedOut, Some(false));
        check(io::ErrorKind::Interrupted, Some(false));
        check(io::ErrorKind::ConnectionReset, Some(false));
        check(io::ErrorKind::NotConnected, None);
    }
}
