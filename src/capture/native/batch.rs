//! Packets in batches: one system call for many (recvmmsg(2)).

use std::array;
use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd;

use nix::sys::socket::{LinkAddr, MsgFlags, MultiHeaders, recvmmsg};
use socket2::Socket;

use super::ether_type::ether_type;

/// Packets in a batch at most. Memory is used only as far as packets really fill it.
const BATCH: usize = 64;

/// An Ethernet header stands before each packet, so that frames are read as those of any capture.
/// Its addresses stay zero: nobody looks at them.
const HEADER: usize = 14;
const ETHER_TYPE: usize = 12;

pub(super) struct Batch {
    /// A buffer for the header and the packet of each frame.
    bytes: Vec<u8>,
    /// The size of each buffer: the snap length.
    size: usize,
    headers: MultiHeaders<LinkAddr>,
    /// The protocol and the length of each packet.
    received: Vec<(u16, usize)>,
}

impl Batch {
    pub(super) fn new(snaplen: usize) -> Self {
        let size = snaplen.max(HEADER);
        Self {
            bytes: vec![0; BATCH * size],
            size,
            headers: MultiHeaders::preallocate(BATCH, None),
            received: Vec::with_capacity(BATCH),
        }
    }

    /// Waits for the first packet, then reads what else is there already.
    pub(super) fn receive(&mut self, socket: &Socket) -> io::Result<()> {
        self.receive_with(socket, MsgFlags::MSG_WAITFORONE)
    }

    /// Reads what is there already.
    pub(super) fn receive_at_once(&mut self, socket: &Socket) -> io::Result<()> {
        self.receive_with(socket, MsgFlags::MSG_DONTWAIT)
    }

    fn receive_with(&mut self, socket: &Socket, flags: MsgFlags) -> io::Result<()> {
        self.received.clear();
        let mut buffers = self.bytes.chunks_exact_mut(self.size);
        let mut buffers: [_; BATCH] = array::from_fn(|_| {
            let buffer = buffers.next().unwrap_or_default();
            let (_, packet) = buffer.split_at_mut(HEADER.min(buffer.len()));
            [IoSliceMut::new(packet)]
        });
        let received = recvmmsg(
            socket.as_raw_fd(),
            &mut self.headers,
            &mut buffers,
            // A packet that is longer than its buffer tells how long it was.
            flags | MsgFlags::MSG_TRUNC,
            None,
        )?;
        self.received.extend(received.map(|message| {
            let protocol = message.address.map_or(0, |address| address.protocol());
            (u16::from_be(protocol), message.bytes)
        }));
        let frames = self.bytes.chunks_exact_mut(self.size);
        for (frame, &(protocol, length)) in frames.zip(&self.received) {
            let (header, packet) = frame.split_at_mut(HEADER);
            let packet = packet.get(..length).unwrap_or(packet);
            let ether_type = ether_type(protocol, packet, length);
            header[ETHER_TYPE..].copy_from_slice(&ether_type.to_be_bytes());
        }
        Ok(())
    }

    /// Whether there may be more in the socket.
    pub(super) fn is_full(&self) -> bool {
        self.received.len() == BATCH
    }

    /// The frames that were read last: what was kept of each, and how long it was.
    pub(super) fn frames(&self) -> impl Iterator<Item = (&[u8], usize)> {
        let frames = self.bytes.chunks_exact(self.size).zip(&self.received);
        frames.map(|(frame, &(_, length))| {
            let length = HEADER + length;
            (frame.get(..length).unwrap_or(frame), length)
        })
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}
