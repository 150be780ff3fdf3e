//! Receives datagrams in batches, with one system call for many (recvmmsg(2)).

use std::array;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};

use super::LARGEST_DATAGRAM;

/// Maximum number of datagrams in a batch. The system provides memory only for the pages that
/// datagrams really fill.
const BATCH_SIZE: usize = 64;

pub(super) struct Batch {
    /// A buffer of [`LARGEST_DATAGRAM`] bytes for each datagram.
    bytes: Vec<u8>,
    headers: MultiHeaders<SockaddrStorage>,
    /// The sender and the size of each datagram.
    received: Vec<(IpAddr, usize)>,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; BATCH_SIZE * LARGEST_DATAGRAM],
            headers: MultiHeaders::preallocate(BATCH_SIZE, None),
            received: Vec::with_capacity(BATCH_SIZE),
        }
    }

    /// Waits for the first datagram, then receives those that are queued already.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
        self.receive_with(socket, MsgFlags::MSG_WAITFORONE)
    }

    /// Receives the datagrams that are queued already, without waiting.
    pub(super) fn receive_at_once(&mut self, socket: &UdpSocket) -> io::Result<()> {
        self.receive_with(socket, MsgFlags::MSG_DONTWAIT)
    }

    fn receive_with(&mut self, socket: &UdpSocket, flags: MsgFlags) -> io::Result<()> {
        self.received.clear();
        let mut buffers = self.bytes.chunks_exact_mut(LARGEST_DATAGRAM);
        let mut buffers: [_; BATCH_SIZE] =
            array::from_fn(|_| [IoSliceMut::new(buffers.next().unwrap_or_default())]);
        let messages = recvmmsg(
            socket.as_raw_fd(),
            &mut self.headers,
            &mut buffers,
            flags,
            None,
        )?;
        self.received.extend(messages.map(|message| {
            let sender = message.address.as_ref().and_then(sender);
            (
                sender.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
                message.bytes,
            )
        }));
        Ok(())
    }

    /// Whether more datagrams may be queued.
    pub(super) fn is_full(&self) -> bool {
        self.received.len() == BATCH_SIZE
    }

    pub(super) fn datagrams(&self) -> impl Iterator<Item = (IpAddr, &[u8])> {
        let buffers = self.bytes.chunks_exact(LARGEST_DATAGRAM);
        let datagrams = buffers.zip(&self.received);
        datagrams.filter_map(|(buffer, &(sender, size))| Some((sender, buffer.get(..size)?)))
    }
}

/// Returns the IP address of a sender. A dual-stack socket has IPv4 addresses as IPv4-mapped IPv6
/// addresses, which become plain ones.
fn sender(address: &SockaddrStorage) -> Option<IpAddr> {
    let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(address), _) => IpAddr::V4(address.ip()),
        (None, Some(address)) => IpAddr::V6(address.ip()),
        (None, None) => return None,
    };
    Some(ip.to_canonical())
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}
