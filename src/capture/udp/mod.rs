//! UDP sockets that receive TZSP without any capture program.

#[cfg(target_os = "linux")]
mod batch;
#[cfg(not(target_os = "linux"))]
#[path = "single.rs"]
mod batch;
mod kernel;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::raise_receive_buffer;
use batch::Batch;
pub use kernel::{Drops, holder};

/// How long a receiver waits before it looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(200);

/// The largest UDP payload over IPv4 is 65,507 bytes; over IPv6 it is 20 more.
const LARGEST_DATAGRAM: usize = 65_527;

/// A socket on one listen port, all addresses, IPv4 and IPv6.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    port: u16,
}

/// Takes in what a listener gets. It stays on the thread that made it.
#[derive(Debug)]
pub struct Receiver {
    socket: Socket,
    batch: Batch,
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
        Self {
            socket: listener.socket,
            batch: Batch::new(),
        }
    }

    /// Waits a moment for datagrams and takes in those that are there; `false` if none came.
    ///
    /// # Errors
    /// The socket cannot be read any more.
    pub fn fill(&mut self) -> io::Result<bool> {
        match self.batch.receive(&self.socket) {
            Ok(()) => Ok(true),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// What [`fill`](Self::fill) took in: who sent it, and the payload.
    pub fn datagrams(&self) -> impl Iterator<Item = (IpAddr, &[u8])> {
        self.batch.datagrams()
    }
}

/// A socket on this port, all addresses, prepared before it has the port.
pub(super) fn bind(port: u16, prepare: impl Fn(&Socket) -> io::Result<()>) -> io::Result<Socket> {
    let bind = |domain, address: SocketAddr| {
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if domain == Domain::IPV6 {
            socket.set_only_v6(false)?;
        }
        prepare(&socket)?;
        socket.bind(&SockAddr::from(address))?;
        Ok(socket)
    };
    match bind(Domain::IPV6, (Ipv6Addr::UNSPECIFIED, port).into()) {
        // No IPv6 on this host.
        Err(error) if is_no_ipv6(&error) => {
            bind(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, port).into())
        }
        result => result,
    }
}

fn is_no_ipv6(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
    )
}
