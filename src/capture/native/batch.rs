//! Receives packets in batches, with one system call for many (recvmmsg(2)).

use std::array;
use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd;

use nix::sys::socket::{LinkAddr, MsgFlags, MultiHeaders, recvmmsg};
use socket2::Socket;

use super::ether_type::ether_type;

/// Maximum number of packets in a batch. The system provides memory only for the pages that packets
/// really fill.
const BATCH_SIZE: usize = 64;

/// The size of the Ethernet header that is put before each packet, because the kernel has removed
/// the original one. Its addresses stay zero, since nothing reads them.
const HEADER: usize = 14;
/// The offset of the EtherType in this header.
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
            bytes: vec![0; BATCH_SIZE * size],
            size,
            headers: MultiHeaders::preallocate(BATCH_SIZE, None),
            received: Vec::with_capacity(BATCH_SIZE),
        }
    }

    /// Waits for the first packet, then receives those that are queued already.
    pub(super) fn receive(&mut self, socket: &Socket) -> io::Result<()> {
        self.receive_with(socket, MsgFlags::MSG_WAITFORONE)
    }

    /// Receives the packets that are queued already, without waiting.
    pub(super) fn receive_at_once(&mut self, socket: &Socket) -> io::Result<()> {
        self.receive_with(socket, MsgFlags::MSG_DONTWAIT)
    }

    fn receive_with(&mut self, socket: &Socket, flags: MsgFlags) -> io::Result<()> {
        self.received.clear();
        let mut buffers = self.bytes.chunks_exact_mut(self.size);
        let mut buffers: [_; BATCH_SIZE] = array::from_fn(|_| {
            let buffer = buffers.next().unwrap_or_default();
            let (_, packet) = buffer.split_at_mut(HEADER.min(buffer.len()));
            [IoSliceMut::new(packet)]
        });
        let received = recvmmsg(
            socket.as_raw_fd(),
            &mut self.headers,
            &mut buffers,
            // With MSG_TRUNC, the kernel reports the original length of a packet that is cut.
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

    /// Whether more packets may be queued.
    pub(super) fn is_full(&self) -> bool {
        self.received.len() == BATCH_SIZE
    }

    /// Returns the frames of the last batch: each with its captured bytes and its original length.
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
