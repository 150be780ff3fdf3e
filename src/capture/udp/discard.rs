//! Keeps the host from answering the TZSP stream with ICMP port unreachable.
//!
//! A packet capture sees datagrams to a port on which no socket listens. The host would answer each
//! of them with an ICMP error to the sensor.

use std::io;

use socket2::Socket;

/// A socket that holds a listen port and discards every datagram.
#[derive(Debug)]
pub struct DiscardSocket {
    _socket: Socket,
}

impl DiscardSocket {
    /// Binds a socket to `port` on all addresses.
    ///
    /// # Errors
    /// The port is in use, or this process may not bind it.
    pub fn bind(port: u16) -> io::Result<Self> {
        let socket = super::bind(port, discard_everything)?;
        Ok(Self { _socket: socket })
    }
}

/// Attaches a filter that rejects every datagram. It is attached before the socket is bound, so no
/// datagram ever enters the receive buffer.
#[cfg(target_os = "linux")]
fn discard_everything(socket: &Socket) -> io::Result<()> {
    /// `BPF_RET | BPF_K` with 0: keep no byte of the datagram.
    const RETURN_0: socket2::SockFilter = socket2::SockFilter::new(0x06, 0, 0, 0);
    socket.attach_filter(&[RETURN_0])
}

/// Sets the smallest receive buffer, on systems without such filters: it fills up and stays full.
#[cfg(not(target_os = "linux"))]
fn discard_everything(socket: &Socket) -> io::Result<()> {
    socket.set_recv_buffer_size(1)
}
