//! Finds the program that uses a port, for error messages.

use std::io;
use std::net::IpAddr;
#[cfg(any(target_os = "linux", test))]
use std::net::SocketAddr;

/// The transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

/// Returns the program that uses a port which could not be bound because of `error`, such as
/// `name (pid 123)`.
///
/// `None` if the port is not in use or the program cannot be found: only root sees the open files
/// of other users' processes. Without an `address`, the port was to be bound on all addresses.
pub(super) fn holder(
    error: &io::Error,
    transport: Transport,
    address: Option<IpAddr>,
    port: u16,
) -> Option<String> {
    if error.kind() != io::ErrorKind::AddrInUse {
        return None;
    }
    search(transport, address, port)
}

#[cfg(target_os = "linux")]
fn search(transport: Transport, address: Option<IpAddr>, port: u16) -> Option<String> {
    let sockets = sockets(transport).into_iter();
    let mut inodes = sockets.filter(|(local, _)| conflicts(*local, address, port));
    inodes.find_map(|(_, inode)| process_with_socket(inode))
}

#[cfg(not(target_os = "linux"))]
fn search(_transport: Transport, _address: Option<IpAddr>, _port: u16) -> Option<String> {
    None
}

/// Whether a socket with this local address prevents another from binding `address` and `port`.
#[cfg(any(target_os = "linux", test))]
fn conflicts(local: SocketAddr, address: Option<IpAddr>, port: u16) -> bool {
    let wanted = address.filter(|address| !address.is_unspecified());
    let is_same = wanted.is_none_or(|address| {
        local.ip().is_unspecified() || local.ip().to_canonical() == address.to_canonical()
    });
    local.port() == port && is_same
}

/// Returns the local addresses and inodes of all bound sockets in this network namespace.
#[cfg(target_os = "linux")]
fn sockets(transport: Transport) -> Vec<(SocketAddr, u64)> {
    use procfs::net::{TcpState, tcp, tcp6, udp, udp6};

    match transport {
        Transport::Tcp => {
            let tables = [tcp6(), tcp()].into_iter().flatten().flatten();
            tables
                .filter(|entry| entry.state == TcpState::Listen)
                .map(|entry| (entry.local_address, entry.inode))
                .collect()
        }
        Transport::Udp => {
            let tables = [udp6(), udp()].into_iter().flatten().flatten();
            tables
                .map(|entry| (entry.local_address, entry.inode))
                .collect()
        }
    }
}

#[cfg(target_os = "linux")]
fn process_with_socket(inode: u64) -> Option<String> {
    use procfs::process::{FDTarget, all_processes};

    all_processes().ok()?.flatten().find_map(|process| {
        let mut open = process.fd().ok()?.flatten();
        open.find(|fd| matches!(fd.target, FDTarget::Socket(socket) if socket == inode))?;
        let program = process.cmdline().ok()?.into_iter().next()?;
        let (_, name) = program.rsplit_once('/').unwrap_or(("", &program));
        Some(format!("{name} (pid {})", process.pid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_on_all_addresses_or_on_the_same_one_conflict() {
        let check = |local: &str, address: Option<&str>, expected: bool| {
            let address = address.map(|address| address.parse().expect("an address"));
            let local = local.parse().expect("a socket address");
            assert_eq!(conflicts(local, address, 9184), expected, "{local}");
        };
        check("0.0.0.0:9184", None, true);
        check("[::]:9184", Some("127.0.0.1"), true);
        check("127.0.0.1:9184", None, true);
        check("127.0.0.1:9184", Some("0.0.0.0"), true);
        check("127.0.0.1:9184", Some("127.0.0.1"), true);
        check("[::ffff:127.0.0.1]:9184", Some("127.0.0.1"), true);
        check("127.0.0.2:9184", Some("127.0.0.1"), false);
        check("0.0.0.0:9185", None, false);
    }
}
