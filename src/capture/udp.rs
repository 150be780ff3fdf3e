//! UDP sockets that receive TZSP without any capture program.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// How long a receiver waits before it looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(200);

/// The largest UDP payload over IPv4; over IPv6 it is 20 bytes more.
const LARGEST_DATAGRAM: usize = 65_527;

/// A socket on one listen port, all addresses, IPv4 and IPv6.
#[derive(Debug)]
pub struct Receiver {
    socket: UdpSocket,
    port: u16,
    buffer: Vec<u8>,
}

impl Receiver {
    /// # Errors
    /// The port is taken, or may not be used.
    pub fn bind(port: u16) -> io::Result<Self> {
        let socket = match Self::socket(Domain::IPV6, (Ipv6Addr::UNSPECIFIED, port).into()) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                // No IPv6 on this host.
                Self::socket(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, port).into())?
            }
            result => result?,
        };
        socket.set_read_timeout(Some(PATIENCE))?;
        let port = socket.local_addr()?.port();
        Ok(Self {
            socket,
            port,
            buffer: vec![0; LARGEST_DATAGRAM],
        })
    }

    /// The port it is bound to: the system's choice if 0 was asked for.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits a moment for a datagram; `None` if none came. Also tells who sent it.
    ///
    /// # Errors
    /// The socket cannot be read any more.
    pub fn receive(&mut self) -> io::Result<Option<(IpAddr, &[u8])>> {
        match self.socket.recv_from(&mut self.buffer) {
            // A socket for both versions shows IPv4 addresses as mapped ones.
            Ok((size, sender)) => Ok(Some((sender.ip().to_canonical(), &self.buffer[..size]))),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            },
        }
    }

    fn socket(domain: Domain, address: SocketAddr) -> io::Result<UdpSocket> {
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if domain == Domain::IPV6 {
            socket.set_only_v6(false)?;
        }
        socket.bind(&SockAddr::from(address))?;
        Ok(socket.into())
    }
}
