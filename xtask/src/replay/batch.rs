//! A batch of datagrams, which is sent with few system calls.

use std::io::{self, IoSlice};
use std::net::UdpSocket;
use std::ops::Range;

use super::datagrams::Payload;

/// Datagrams in a batch: the maximum of one sendmmsg(2). In a larger batch, more datagrams have the
/// same length, which helps segmentation.
const BATCH: usize = 1024;

/// The maximum number of segments that the kernel makes of one message: UDP_MAX_SEGMENTS.
const SEGMENTS: usize = 64;

/// The largest payload of a UDP datagram over IPv4.
const LARGEST_PAYLOAD: usize = 65_507;

/// Bytes that a capture lacks are sent as zeros. That does not change what the exporter counts: it
/// counts the length in the headers.
static ZEROS: [u8; LARGEST_PAYLOAD] = [0; LARGEST_PAYLOAD];

pub(super) struct Batch {
    bytes: Vec<u8>,
    /// The range of each payload in `bytes`, and the number of zeros to append to it.
    payloads: Vec<(Range<usize>, usize)>,
    /// Whether to use UDP segmentation for datagrams of equal length.
    segments: bool,
    calls: calls::Calls,
}

/// A payload and the zeros after it.
type Parts<'a> = [IoSlice<'a>; 2];

impl Batch {
    pub(super) fn new(segments: bool) -> Self {
        Self {
            bytes: Vec::new(),
            payloads: Vec::with_capacity(BATCH),
            segments,
            calls: calls::Calls::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.payloads.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() == BATCH
    }

    pub(super) fn push(&mut self, payload: &Payload<'_>) {
        let whole = payload.claimed_length.min(LARGEST_PAYLOAD);
        let captured = &payload.bytes[..payload.bytes.len().min(whole)];
        let start = self.bytes.len();
        self.bytes.extend_from_slice(captured);
        self.payloads
            .push((start..self.bytes.len(), whole - captured.len()));
    }

    /// Sends the datagrams, up to the first that fails, and empties the batch. Returns the number
    /// of datagrams sent.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> (u64, io::Result<()>) {
        let Self {
            bytes,
            payloads,
            segments,
            calls,
        } = self;
        let mut parts: Vec<Parts<'_>> = payloads
            .iter()
            .map(|(range, zeros)| [&bytes[range.clone()], &ZEROS[..*zeros]].map(IoSlice::new))
            .collect();
        let mut sent = 0;
        let mut outcome = Ok(());
        if *segments {
            (sent, outcome) = send_segments(socket, &mut parts);
        }
        let mut rest = parts.as_slice();
        while outcome.is_ok() && !rest.is_empty() {
            outcome = calls.send(socket, rest).map(|more| {
                sent += more;
                rest = &rest[more..];
            });
        }
        payloads.clear();
        bytes.clear();
        (sent as u64, outcome)
    }
}

/// Sends the datagrams that share their length with another one, and leaves the others in `all`.
fn send_segments(socket: &UdpSocket, all: &mut Vec<Parts<'_>>) -> (usize, io::Result<()>) {
    let length = |parts: &Parts<'_>| parts[0].len() + parts[1].len();
    all.sort_by_key(length);
    let mut sent = 0;
    let mut rest = Vec::new();
    for equal in all.chunk_by(|a, b| length(a) == length(b)) {
        let each = length(&equal[0]).max(1);
        for some in equal.chunks((LARGEST_PAYLOAD / each).clamp(1, SEGMENTS)) {
            let outcome = match some {
                [_] => Ok(false),
                _ => calls::Calls::send_as_one(socket, some, each),
            };
            match outcome {
                Ok(true) => sent += some.len(),
                Ok(false) => rest.extend_from_slice(some),
                Err(error) => return (sent, Err(error)),
            }
        }
    }
    *all = rest;
    (sent, Ok(()))
}

#[cfg(target_os = "linux")]
mod calls {
    use std::io;
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    use nix::errno::Errno;
    use nix::sys::socket::{
        ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg, sendmsg,
    };

    use super::{BATCH, Parts};

    /// Sends many datagrams with one system call: sendmmsg(2).
    pub(super) struct Calls {
        headers: MultiHeaders<SockaddrStorage>,
        /// All `None`, because the socket is connected.
        addresses: Vec<Option<SockaddrStorage>>,
    }

    impl Calls {
        pub(super) fn new() -> Self {
            Self {
                headers: MultiHeaders::preallocate(BATCH, None),
                addresses: vec![None; BATCH],
            }
        }

        /// Returns the number of datagrams sent, at least one. If a later one fails, the next call
        /// returns the error.
        pub(super) fn send(
            &mut self,
            socket: &UdpSocket,
            payloads: &[Parts<'_>],
        ) -> io::Result<usize> {
            let sent = sendmmsg(
                socket.as_raw_fd(),
                &mut self.headers,
                payloads,
                &self.addresses[..payloads.len()],
                [],
                MsgFlags::empty(),
            )?;
            Ok(sent.count())
        }

        /// Sends datagrams as segments of one message: UDP_SEGMENT of udp(7). Returns `false` if
        /// the kernel refuses that, because a segment exceeds the MTU or the device does not
        /// support it.
        pub(super) fn send_as_one(
            socket: &UdpSocket,
            payloads: &[Parts<'_>],
            length: usize,
        ) -> io::Result<bool> {
            let Ok(length) = u16::try_from(length) else {
                return Ok(false);
            };
            let outcome = sendmsg::<SockaddrStorage>(
                socket.as_raw_fd(),
                payloads.as_flattened(),
                &[ControlMessage::UdpGsoSegments(&length)],
                MsgFlags::empty(),
                None,
            );
            match outcome {
                Ok(_) => Ok(true),
                Err(Errno::ECONNREFUSED) => Err(Errno::ECONNREFUSED.into()),
                Err(_) => Ok(false),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod calls {
    use std::io;
    use std::net::UdpSocket;

    use super::Parts;

    /// Sends each datagram with its own system call.
    pub(super) struct Calls(Vec<u8>);

    impl Calls {
        pub(super) fn new() -> Self {
            Self(Vec::new())
        }

        /// Returns the number of datagrams sent, which is one.
        pub(super) fn send(
            &mut self,
            socket: &UdpSocket,
            payloads: &[Parts<'_>],
        ) -> io::Result<usize> {
            let Some(parts) = payloads.first() else {
                return Ok(0);
            };
            self.0.clear();
            parts.iter().for_each(|part| self.0.extend_from_slice(part));
            socket.send(&self.0)?;
            Ok(1)
        }

        /// Returns `false`: this system has no UDP segmentation.
        pub(super) fn send_as_one(_: &UdpSocket, _: &[Parts<'_>], _: usize) -> io::Result<bool> {
            Ok(false)
        }
    }
}
