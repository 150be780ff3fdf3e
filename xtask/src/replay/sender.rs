//! Datagrams on their way to the exporter: not before their turn, and many in one system call
//! where many are due.

use std::io::{self, ErrorKind};
use std::net::{ToSocketAddrs, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::batch::Batch;
use super::datagrams::Payload;

/// How long the last datagram's refusal may take to come back.
const REFUSAL_PATIENCE: Duration = Duration::from_millis(200);

pub(super) struct Sender {
    socket: UdpSocket,
    to: String,
    /// 0 is as fast as it goes.
    pps: u32,
    sent: u64,
    started: Instant,
    /// Taken, but not yet sent.
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

    /// How many datagrams were given to [`Self::send`].
    pub(super) fn taken(&self) -> u64 {
        self.sent + self.batch.len() as u64
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Sends `payload` when its turn has come; together with those behind it, if these are due
    /// as well.
    pub(super) fn send(&mut self, payload: &Payload<'_>) -> anyhow::Result<()> {
        if self.batch.len() == 0 {
            self.await_turn();
        }
        self.batch.push(payload);
        if self.batch.is_full() || self.taken() >= self.due() {
            self.flush()?;
        }
        Ok(())
    }

    /// Sends what was taken.
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

    fn await_turn(&self) {
        if self.pps == 0 {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "precise for 2^53 datagrams")]
        let turn = Duration::from_secs_f64(self.sent as f64 / f64::from(self.pps));
        let early = turn.saturating_sub(self.elapsed());
        if !early.is_zero() {
            thread::sleep(early);
        }
    }

    /// How many datagrams should have been sent by now. The first one's turn is at once.
    fn due(&self) -> u64 {
        if self.pps == 0 {
            return u64::MAX;
        }
        let whole = self.elapsed().as_nanos() * u128::from(self.pps) / 1_000_000_000;
        u64::try_from(whole).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// A refusal is reported with the next call on the socket, so the last datagram needs one
    /// more call.
    pub(super) fn await_refusal(&self) -> anyhow::Result<()> {
        self.socket.set_read_timeout(Some(REFUSAL_PATIENCE))?;
        match self.socket.recv(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => self.refused(),
            _ => Ok(()),
        }
    }

    fn refused(&self) -> anyhow::Result<()> {
        bail!(
            "nobody listens on {} (after {} datagrams); start the exporter with its --listen-port",
            self.to,
            self.sent
        )
    }
}

/// A socket connected to the first of the host's addresses that there is a route to.
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
