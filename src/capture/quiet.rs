//! Keeps the host from answering the stream with ICMP port unreachable.
//!
//! A packet capture sees datagrams without a socket that takes them, and then the host tells the
//! sensor with each of them that nobody listens.

use std::io;

use socket2::Socket;

use super::udp;

/// A socket that has the port and takes nothing.
#[derive(Debug)]
pub struct QuietPort {
    _socket: Socket,
}

impl QuietPort {
    /// # Errors
    /// The port is taken, or may not be used.
    pub fn bind(port: u16) -> io::Result<Self> {
        let socket = udp::bind(port, drop_everything)?;
        Ok(Self { _socket: socket })
    }
}

/// The filter stands before the socket has its port, so nothing ever gets in.
#[cfg(target_os = "linux")]
fn drop_everything(socket: &Socket) -> io::Result<()> {
    /// `BPF_RET | BPF_K` with 0: keep no byte of the datagram.
    const RETURN_0: socket2::SockFilter = socket2::SockFilter::new(0x06, 0, 0, 0);
    socket.attach_filter(&[RETURN_0])
}

/// Where there is no such filter, the smallest buffer fills up and stays full.
#[cfg(not(target_os = "linux"))]
fn drop_everything(socket: &Socket) -> io::Result<()> {
    socket.set_recv_buffer_size(1)
}
