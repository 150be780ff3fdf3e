//! Receives datagrams one at a time, on systems without recvmmsg(2). Same interface as `batch.rs`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use super::LARGEST_DATAGRAM;

#[derive(Debug)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    sender: IpAddr,
    size: usize,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; LARGEST_DATAGRAM],
            sender: Ipv4Addr::UNSPECIFIED.into(),
            size: 0,
        }
    }

    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
        let (size, sender) = socket.recv_from(&mut self.bytes)?;
        self.size = size;
        self.sender = sender.ip().to_canonical();
        Ok(())
    }

    /// Receives a datagram that is queued already, without waiting.
    pub(super) fn receive_at_once(&mut self, socket: &UdpSocket) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let received = self.receive(socket);
        socket.set_nonblocking(false)?;
        received
    }

    /// Returns true: with one datagram at a time, more may always be queued.
    pub(super) fn is_full(&self) -> bool {
        true
    }

    pub(super) fn datagrams(&self) -> impl Iterator<Item = (IpAddr, &[u8])> {
        let payload = self.bytes.get(..self.size);
        payload.into_iter().map(|payload| (self.sender, payload))
    }
}
