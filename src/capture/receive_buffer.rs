//! The state of a socket's receive buffer: `SO_MEMINFO`, linux/sock_diag.h, and `SO_RCVBUF`. UDP and
//! packet sockets have the former since Linux 4.11.

use std::io;
use std::thread;
use std::time::Instant;

use socket2::Socket;

use super::Pause;

/// A socket's receive buffer. Sizes are in the kernel's accounting: a datagram takes its own bytes
/// and those of the structures around them, at least 768 for the smallest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiveBuffer {
    /// Bytes in use.
    pub queued: usize,
    /// Bytes that may be in use before the kernel drops datagrams.
    pub limit: usize,
}

#[cfg(target_os = "linux")]
impl ReceiveBuffer {
    /// Returns the state of a socket's buffer; `None` if the kernel does not support the option.
    pub fn of(socket: &impl std::os::fd::AsFd) -> Option<Self> {
        let queued = nix::sys::socket::getsockopt(socket, option::Queued).ok()?;
        Some(Self {
            queued: usize::try_from(queued).ok()?,
            limit: socket2::SockRef::from(socket).recv_buffer_size().ok()?,
        })
    }
}

#[cfg(not(target_os = "linux"))]
impl ReceiveBuffer {
    /// Returns `None`: only Linux has the option.
    pub fn of<S>(_socket: &S) -> Option<Self> {
        None
    }
}

/// Asks for a receive buffer of this many bytes and returns how many the kernel grants.
pub(super) fn raise_receive_buffer(socket: &Socket, bytes: usize) -> io::Result<usize> {
    // Exceeding the system's limit needs a privilege (CAP_NET_ADMIN). Without it, an ordinary
    // request gets as much as the limit allows.
    #[cfg(target_os = "linux")]
    let forced = {
        use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};
        setsockopt(socket, RcvBufForce, &bytes).is_ok()
    };
    #[cfg(not(target_os = "linux"))]
    let forced = false;
    if !forced {
        socket.set_recv_buffer_size(bytes)?;
    }
    let granted = socket.recv_buffer_size()?;
    // Linux doubles the requested number to account for its own overhead: socket(7).
    Ok(if cfg!(target_os = "linux") {
        granted / 2
    } else {
        granted
    })
}

/// Sleeps as long as `pause` decides, so that packets gather in the receive buffer of `socket`.
pub(super) fn gather(pause: &mut Pause, batch_is_full: bool, socket: &Socket) {
    let Some(wait) = pause.after_read(batch_is_full) else {
        return;
    };
    let begin = Instant::now();
    thread::sleep(wait);
    if let Some(buffer) = ReceiveBuffer::of(socket) {
        pause.filled(buffer.queued, begin.elapsed());
    }
}

#[cfg(target_os = "linux")]
mod option {
    use nix::libc;
    use nix::{getsockopt_impl, sockopt_impl};

    sockopt_impl!(
        /// The first number of `SO_MEMINFO`, `SK_MEMINFO_RMEM_ALLOC`. The others are not asked for:
        /// qemu's user mode emulation answers 4 bytes whatever is asked for, and nix panics if the
        /// answer is shorter than the type.
        Queued,
        GetOnly,
        libc::SOL_SOCKET,
        libc::SO_MEMINFO,
        u32
    );
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    /// The limit is that of SO_RCVBUF, twice the requested number: socket(7).
    #[test]
    fn a_datagram_takes_more_than_its_bytes() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        let shared = socket2::SockRef::from(&socket);
        shared.set_recv_buffer_size(50_000).expect("it is small");
        let empty = ReceiveBuffer::of(&socket).expect("Linux supports it");
        assert_eq!((empty.queued, empty.limit), (0, 100_000));

        let address = socket.local_addr().expect("it is bound");
        for _ in 0..10 {
            socket.send_to(&[0; 59], address).expect("it is sent");
        }
        let filled = ReceiveBuffer::of(&socket).expect("Linux supports it");
        assert!((7_680..=40_960).contains(&filled.queued), "{filled:?}");
    }
}
