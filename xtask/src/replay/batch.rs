//! A few datagrams in one piece of memory.

use std::io::{self, IoSlice};
use std::net::UdpSocket;
use std::ops::Range;

use super::datagrams::Payload;

/// Sent at once at most. More gain nothing: by far the most is the kernel's work on each.
const BATCH: usize = 64;

/// The largest payload of a UDP datagram over IPv4.
const LARGEST_PAYLOAD: usize = 65_507;

/// What a capture lacks of a payload is sent as zeros: the exporter counts what headers claim.
static ZEROS: [u8; LARGEST_PAYLOAD] = [0; LARGEST_PAYLOAD];

pub(super) struct Batch {
    bytes: Vec<u8>,
    /// Where each payload stands in `bytes`, and how many zeros belong behind it.
    payloads: Vec<(Range<usize>, usize)>,
    calls: calls::Calls,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            payloads: Vec::with_capacity(BATCH),
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
        let there = &payload.bytes[..payload.bytes.len().min(whole)];
        let start = self.bytes.len();
        self.bytes.extend_from_slice(there);
        self.payloads
            .push((start..self.bytes.len(), whole - there.len()));
    }

    /// Sends all, up to the first that fails, and is empty then. Returns how many were sent.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> (u64, io::Result<()>) {
        let Self {
            bytes,
            payloads,
            calls,
        } = self;
        let parts: Vec<[IoSlice; 2]> = payloads
            .iter()
            .map(|(place, zeros)| [&bytes[place.clone()], &ZEROS[..*zeros]].map(IoSlice::new))
            .collect();
        let mut sent = 0;
        let mut outcome = Ok(());
        while outcome.is_ok() && sent < parts.len() {
            outcome = calls.send(socket, &parts[sent..]).map(|more| sent += more);
        }
        payloads.clear();
        bytes.clear();
        (sent as u64, outcome)
    }
}

#[cfg(target_os = "linux")]
mod calls {
    use std::io::{self, IoSlice};
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};

    use super::BATCH;

    /// One system call for many: sendmmsg(2).
    pub(super) struct Calls(MultiHeaders<SockaddrStorage>);

    impl Calls {
        pub(super) fn new() -> Self {
            Self(MultiHeaders::preallocate(BATCH, None))
        }

        /// Returns how many were sent: one at least. If one of them fails, the next call tells.
        pub(super) fn send(
            &mut self,
            socket: &UdpSocket,
            payloads: &[[IoSlice<'_>; 2]],
        ) -> io::Result<usize> {
            // The socket is connected.
            let addresses = [None; BATCH];
            let sent = sendmmsg(
                socket.as_raw_fd(),
                &mut self.0,
                payloads,
                &addresses[..payloads.len()],
                [],
                MsgFlags::empty(),
            )?;
            Ok(sent.count())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod calls {
    use std::io::{self, IoSlice};
    use std::net::UdpSocket;

    /// One system call for each.
    pub(super) struct Calls(Vec<u8>);

    impl Calls {
        pub(super) fn new() -> Self {
            Self(Vec::new())
        }

        /// Returns how many were sent: one.
        pub(super) fn send(
            &mut self,
            socket: &UdpSocket,
            payloads: &[[IoSlice<'_>; 2]],
        ) -> io::Result<usize> {
            let Some(parts) = payloads.first() else {
                return Ok(0);
            };
            self.0.clear();
            parts.iter().for_each(|part| self.0.extend_from_slice(part));
            socket.send(&self.0)?;
            Ok(1)
        }
    }
}
