//! The kernel's receive buffer of a socket.

use std::io;

use socket2::Socket;

/// Asks for a receive buffer of this many bytes and returns how many the kernel grants.
pub(super) fn raise_receive_buffer(socket: &Socket, bytes: usize) -> io::Result<usize> {
    // Without the privilege to go beyond the system's limit, the plain request remains.
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
    // Linux doubles the number, for its own bookkeeping: socket(7).
    Ok(if cfg!(target_os = "linux") {
        granted / 2
    } else {
        granted
    })
}
