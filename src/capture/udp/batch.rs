//! Datagrams in batches: one system call for many (recvmmsg(2)).

use std::array;
use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
use socket2::Socket;

use super::LARGEST_DATAGRAM;

/// Taken at once at most. Memory is used only as far as datagrams really fill it.
const BATCH: usize = 64;

pub(super) struct Batch {
    /// A place of [`LARGEST_DATAGRAM`] bytes for each.
    bytes: Vec<u8>,
    headers: MultiHeaders<SockaddrStorage>,
    sizes: Vec<usize>,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; BATCH * LARGEST_DATAGRAM],
            headers: MultiHeaders::preallocate(BATCH, None),
            sizes: Vec::with_capacity(BATCH),
        }
    }

    /// Waits for the first datagram, then takes what else is there already.
    pub(super) fn receive(&mut self, socket: &Socket) -> io::Result<()> {
        self.sizes.clear();
        let mut places = self.bytes.chunks_exact_mut(LARGEST_DATAGRAM);
        let mut places: [_; BATCH] =
            array::from_fn(|_| [IoSliceMut::new(places.next().unwrap_or_default())]);
        let received = recvmmsg(
            socket.as_raw_fd(),
            &mut self.headers,
            &mut places,
            MsgFlags::MSG_WAITFORONE,
            None,
        )?;
        self.sizes.extend(received.map(|message| message.bytes));
        Ok(())
    }

    pub(super) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let places = self.bytes.chunks_exact(LARGEST_DATAGRAM);
        let taken = places.zip(&self.sizes);
        taken.filter_map(|(place, &size)| place.get(..size))
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("sizes", &self.sizes)
            .finish_non_exhaustive()
    }
}
