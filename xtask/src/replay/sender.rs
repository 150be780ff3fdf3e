//! Sends datagrams at a given rate. Datagrams that are due at the same time are sent as one batch.

use std::io::{self, ErrorKind};
use std::net::{ToSocketAddrs, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::batch::Batch;
use super::datagrams::Payload;

/// How long to wait for an ICMP error in response to the last datagram.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(200);

pub(super) struct Sender {
    socket: UdpSocket,
    to: String,
    /// Datagrams per second; 0 means as fast as possible.
    pps: u32,
    sent: u64,
    started: Instant,
    /// Datagrams that are not sent yet.
    batch: Batch,
}

impl Sender {
    pub(super) fn new(to: &str, pps: u32, segments: bool) -> anyhow::Result<Self> {
        let socket = connect(to).with_context(|| {
            format!("cannot send to {to}: give HOST:PORT, such as 127.0.0.1:37008")
        })?;
        Ok(Self {
            socket,
            to: to.to_owned(),
            pps,
            sent: 0,
            started: Instant::now(),
            batch: Batch::new(segments),
        })
    }

    /// Returns the number of datagrams passed to [`Self::send`].
    pub(super) fn accepted(&self) -> u64 {
        self.sent + self.batch.len() as u64
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Sends `payload` when it is due. It may stay in the batch until later payloads are added, if
    /// these are already due as well.
    pub(super) fn send(&mut self, payload: &Payload<'_>) -> anyhow::Result<()> {
        if self.batch.len() == 0 {
            self.await_due_time();
        }
        self.batch.push(payload);
        if self.batch.is_full() || self.accepted() >= self.due() {
            self.flush()?;
        }
        Ok(())
    }

    /// Sends the batch.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        let (sent, outcome) = self.batch.send(&self.socket);
        self.sent += sent;
        match outcome {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => self.refused(),
            Err(error) => Err(error)
                .with_context(|| format!("sending datagram {} to {}", self.sent + 1, self.to)),
        }
    }

    /// Waits until the next datagram is due.
    fn await_due_time(&self) {
        if self.pps == 0 {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "precise for 2^53 datagrams")]
        let due = Duration::from_secs_f64(self.sent as f64 / f64::from(self.pps));
        let early = due.saturating_sub(self.elapsed());
        if !early.is_zero() {
            thread::sleep(early);
        }
    }

    /// Returns the number of datagrams that are due by now. The first one is due at once.
    fn due(&self) -> u64 {
        if self.pps == 0 {
            return u64::MAX;
        }
        let whole = self.elapsed().as_nanos() * u128::from(self.pps) / 1_000_000_000;
        u64::try_from(whole).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Checks whether the last datagram was refused. The kernel reports a refusal with the next call
    /// on the socket, so the last datagram needs one more call.
    pub(super) fn await_refusal(&self) -> anyhow::Result<()> {
        self.socket.set_read_timeout(Some(REFUSAL_TIMEOUT))?;
        match self.socket.recv(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => self.refused(),
            _ => Ok(()),
        }
    }

    fn refused(&self) -> anyhow::Result<()> {
        bail!(
            "no exporter listens on {} (after {} datagrams); start one with this --listen-port",
            self.to,
            self.sent
        )
    }
}

/// Returns a socket that is connected to the host's first address that has a route.
fn connect(to: &str) -> anyhow::Result<UdpSocket> {
    let mut failure = None;
    for address in to.to_socket_addrs()? {
        let any = if address.is_ipv6() {
            "[::]:0"
        } else {
            "0.0.0.0:0"
        };
        let socket = UdpSocket::bind(any).and_then(|socket| {
            socket.connect(address)?;
            Ok(socket)
        });
        match socket {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = Some(error),
        }
    }
    let none = || io::Error::new(ErrorKind::NotFound, "the host has no address");
    Err(failure.unwrap_or_else(none).into())
}
