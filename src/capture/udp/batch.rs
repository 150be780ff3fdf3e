//! Datagrams in batches: one system call for many (recvmmsg(2)).

use std::array;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
use socket2::Socket;

use super::LARGEST_DATAGRAM;

/// Datagrams in a batch at most. Memory is used only as far as datagrams really fill it.
const BATCH: usize = 64;

pub(super) struct Batch {
    /// A buffer of [`LARGEST_DATAGRAM`] bytes for each datagram.
    bytes: Vec<u8>,
    headers: MultiHeaders<SockaddrStorage>,
    /// The sender and the size of each datagram.
    taken: Vec<(IpAddr, usize)>,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; BATCH * LARGEST_DATAGRAM],
            headers: MultiHeaders::preallocate(BATCH, None),
            taken: Vec::with_capacity(BATCH),
        }
    }

    /// Waits for the first datagram, then takes what else is there already.
    pub(super) fn receive(&mut self, socket: &Socket) -> io::Result<()> {
        self.receive_with(socket, MsgFlags::MSG_WAITFORONE)
    }

    /// Takes what is there already.
    pub(super) fn receive_at_once(&mut self, socket: &Socket) -> io::Result<()> {
        self.receive_with(socket, MsgFlags::MSG_DONTWAIT)
    }

    fn receive_with(&mut self, socket: &Socket, flags: MsgFlags) -> io::Result<()> {
        self.taken.clear();
        let mut buffers = self.bytes.chunks_exact_mut(LARGEST_DATAGRAM);
        let mut buffers: [_; BATCH] =
            array::from_fn(|_| [IoSliceMut::new(buffers.next().unwrap_or_default())]);
        let received = recvmmsg(
            socket.as_raw_fd(),
            &mut self.headers,
            &mut buffers,
            flags,
            None,
        )?;
        self.taken.extend(received.map(|message| {
            let sender = message.address.as_ref().and_then(sender);
            (
                sender.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
                message.bytes,
            )
        }));
        Ok(())
    }

    /// Whether there may be more in the socket.
    pub(super) fn is_full(&self) -> bool {
        self.taken.len() == BATCH
    }

    pub(super) fn datagrams(&self) -> impl Iterator<Item = (IpAddr, &[u8])> {
        let buffers = self.bytes.chunks_exact(LARGEST_DATAGRAM);
        let taken = buffers.zip(&self.taken);
        taken.filter_map(|(buffer, &(sender, size))| Some((sender, buffer.get(..size)?)))
    }
}

/// A socket for both versions shows IPv4 addresses as mapped ones.
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
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}
