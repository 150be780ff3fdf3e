//! The sockets on which the server accepts connections.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::task::{Context, Poll};

use socket2::{Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};

use crate::dual_stack;

/// A local address and TCP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress {
    /// `None` means all IPv4 and IPv6 addresses.
    pub address: Option<IpAddr>,
    pub port: u16,
}

/// Why a text is not a listen address.
#[derive(Debug, Error)]
#[error("write [ADDRESS]:PORT, such as :9184, 127.0.0.1:9184 or [::1]:9184")]
pub struct ListenAddressError;

/// The sockets of a server. At least one.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<TcpListener>,
    /// The socket to ask first. It is the one behind that of the last connection, so that many
    /// connections to one socket do not keep the others from being accepted.
    next: usize,
}

impl ListenAddress {
    /// Binds the port on this address.
    ///
    /// # Errors
    /// The port is in use or not permitted, or the address does not belong to this host.
    pub fn bind(self) -> io::Result<TcpListener> {
        // After a restart, the old connections may linger for a minute. On Windows this option
        // would let two programs share the port.
        let reuse = |socket: &Socket| socket.set_reuse_address(cfg!(unix));
        let (kind, protocol) = (Type::STREAM, Protocol::TCP);
        let socket = match self.address {
            Some(address) => {
                dual_stack::bind_to((address, self.port).into(), kind, protocol, reuse)?
            }
            None => dual_stack::bind(self.port, kind, protocol, reuse)?,
        };
        socket.listen(1024)?;
        socket.set_nonblocking(true)?;
        TcpListener::from_std(socket.into())
    }

    /// Whether both cannot be bound at the same time.
    #[must_use]
    pub fn conflicts_with(self, other: Self) -> bool {
        // For port 0, the system chooses different ones.
        let is_same_port = self.port == other.port && self.port != 0;
        is_same_port && (self.includes(other.address) || other.includes(self.address))
    }

    /// Whether a socket on this address also receives connections to the other one. `::` receives
    /// those to IPv4 addresses too.
    fn includes(self, other: Option<IpAddr>) -> bool {
        match self.address {
            None => true,
            Some(IpAddr::V6(address)) if address.is_unspecified() => true,
            Some(IpAddr::V4(address)) if address.is_unspecified() => {
                other.is_none_or(|other| other.is_ipv4())
            }
            Some(address) => Some(address) == other,
        }
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        let parsed = match text.strip_prefix(':') {
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().ok().map(|port| (None, port))
            }
            _ => {
                let address: Option<SocketAddr> = text.parse().ok();
                address.map(|address| (Some(address.ip()), address.port()))
            }
        };
        let (address, port) = parsed.ok_or(ListenAddressError)?;
        Ok(Self { address, port })
    }
}

impl Display for ListenAddress {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { address, port } = *self;
        match address {
            None => write!(f, ":{port}"),
            Some(address) => write!(f, "{}", SocketAddr::new(address, port)),
        }
    }
}

impl Listeners {
    #[must_use]
    pub fn new(sockets: Vec<TcpListener>) -> Self {
        Self { sockets, next: 0 }
    }

    /// Accepts a connection to any of the sockets.
    pub(super) fn poll_accept(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let count = self.sockets.len();
        for index in (self.next..count).chain(0..self.next) {
            if let Poll::Ready(accepted) = self.sockets[index].poll_accept(context) {
                self.next = (index + 1) % count;
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::Ipv4Addr;

    use super::*;

    fn parsed(text: &str) -> ListenAddress {
        text.parse().expect("a listen address")
    }

    #[test]
    fn an_address_is_optional_and_that_of_ipv6_is_in_brackets() {
        for text in [
            ":9184",
            "127.0.0.1:0",
            "[::1]:65535",
            "[::]:1",
            "0.0.0.0:80",
        ] {
            assert_eq!(parsed(text).to_string(), text);
        }
        assert_eq!(parsed(":9184").address, None);
        for wrong in [
            "",
            ":",
            "9184",
            "::1:9184",
            "[::1]",
            "127.0.0.1",
            ":65536",
            ":+1",
            "localhost:9184",
            "[::1]:",
            "127.0.0.1:9184 ",
        ] {
            wrong.parse::<ListenAddress>().expect_err(wrong);
        }
    }

    #[test]
    fn an_address_conflicts_with_itself_and_with_all_addresses() {
        let conflict = |left: &str, right: &str| parsed(left).conflicts_with(parsed(right));
        assert!(conflict(":1", ":1"));
        assert!(conflict("127.0.0.1:1", "127.0.0.1:1"));
        assert!(conflict("127.0.0.1:1", ":1"));
        assert!(conflict("[::]:1", "127.0.0.1:1"));
        assert!(!conflict(":1", ":2"));
        assert!(conflict("127.0.0.1:1", "0.0.0.0:1"));
        assert!(!conflict("127.0.0.1:1", "[::1]:1"));
        assert!(!conflict("[::1]:1", "0.0.0.0:1"));
        assert!(!conflict(":0", ":0"));
    }

    #[tokio::test]
    async fn clients_of_one_socket_do_not_delay_those_of_another() {
        let bind = || parsed("127.0.0.1:0").bind().expect("a free port");
        let mut listeners = Listeners::new(vec![bind(), bind()]);
        let ports = [0, 1].map(|index: usize| {
            let address = listeners.sockets[index].local_addr().expect("it is bound");
            address.port()
        });
        let mut clients = Vec::new();
        for port in [ports[0], ports[0], ports[1], ports[1]] {
            let address = (Ipv4Addr::LOCALHOST, port);
            clients.push(TcpStream::connect(address).await.expect("it listens"));
        }
        let mut accepted = Vec::new();
        for _ in &clients {
            let (stream, _) = poll_fn(|context| listeners.poll_accept(context))
                .await
                .expect("a client is waiting");
            accepted.push(stream.local_addr().expect("it is connected").port());
        }
        assert_eq!(accepted, [ports[0], ports[1], ports[0], ports[1]]);
    }
}
