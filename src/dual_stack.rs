//! Sockets on all addresses of this host, IPv4 and IPv6.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Binds a socket to `port` on all addresses. `prepare` sets its options before the port
/// is bound.
///
/// The socket is for both families, or for IPv4 alone if the host has no IPv6.
///
/// # Errors
/// The port is in use, or this process may not bind it.
pub fn bind(
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

/// Binds a socket to one address. The unspecified IPv6 address (`::`) means both families.
///
/// # Errors
/// The port is in use, this process may not bind it, or the host does not have the address.
pub fn bind_to(
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

/// Whether the host may have no IPv6. Such hosts fail with various errors, so only the two that
/// IPv4 would run into as well are excluded.
fn may_lack_ipv6(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
    )
}
