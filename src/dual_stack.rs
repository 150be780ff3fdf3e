//! Sockets on all addresses of this host, IPv4 and IPv6.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Binds a socket to `port` on all addresses. `prepare` sets its options before it has the port.
///
/// One socket serves both families where there is IPv6, and IPv4 alone where there is not.
///
/// # Errors
/// The port is taken, or may not be used.
pub(crate) fn bind(
    port: u16,
    kind: Type,
    protocol: Protocol,
    prepare: impl Fn(&Socket) -> io::Result<()>,
) -> io::Result<Socket> {
    match bind_to(
        (Ipv6Addr::UNSPECIFIED, port).into(),
        kind,
        protocol,
        &prepare,
    ) {
        Err(error) if may_lack_ipv6(&error) => bind_to(
            (Ipv4Addr::UNSPECIFIED, port).into(),
            kind,
            protocol,
            prepare,
        ),
        result => result,
    }
}

/// Binds a socket to one address. The unspecified one of IPv6 stands for both families.
///
/// # Errors
/// The port is taken, or may not be used; or the address is none of this host's.
pub(crate) fn bind_to(
    address: SocketAddr,
    kind: Type,
    protocol: Protocol,
    prepare: impl Fn(&Socket) -> io::Result<()>,
) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, kind, Some(protocol))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(false)?;
    }
    prepare(&socket)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

/// Systems without IPv6 fail in several ways. These two would fail for IPv4 alike.
fn may_lack_ipv6(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
    )
}
