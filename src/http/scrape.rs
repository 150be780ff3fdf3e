//! Sends a scrape to its client.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use hyper::header::{ACCEPT_ENCODING, HeaderMap};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::slots::{Activity, Slot};
use super::{RESPONSE_TIMEOUT, STALL_TIMEOUT};

/// The body is sent in pieces of at least this size; few of them are in memory at a time.
const PIECE: usize = 64 * 1024;

pub(super) type ScrapeBody = Channel<Bytes, io::Error>;

/// Returns a body that `write` writes on a thread of its own. It is sent piece by piece, so that
/// neither its size nor a slow client costs memory. At its end `slot` becomes free; if the client
/// was too slow for the whole body, `cut_short` is called.
pub(super) fn body(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
    gzip: bool,
    slot: Option<Slot>,
    cut_short: impl FnOnce() + Send + 'static,
) -> ScrapeBody {
    let (sender, body) = Channel::new(1);
    let (pieces, written) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || write_pieces(write, gzip, pieces));
    tokio::spawn(forward(written, sender, slot, cut_short));
    body
}

type Piece = io::Result<Bytes>;

fn write_pieces(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    gzip: bool,
    pieces: mpsc::Sender<Piece>,
) {
    let mut out = PieceWriter {
        pieces,
        piece: Vec::new(),
    };
    let written = if gzip {
        let mut out = GzEncoder::new(&mut out, Compression::fast());
        write(&mut out).and_then(|()| out.try_finish())
    } else {
        write(&mut out)
    };
    if let Err(error) = written.and_then(|()| out.flush()) {
        // Breaks the response off: no client may mistake a part of it for the whole.
        let _ = out.pieces.blocking_send(Err(error));
    }
}

/// Forwards what the thread writes, as long as the client keeps accepting it. Once this ends, the
/// thread fails to write its next piece, and ends too.
async fn forward(
    mut written: mpsc::Receiver<Piece>,
    mut body: Sender<Bytes, io::Error>,
    slot: Option<Slot>,
    cut_short: impl FnOnce(),
) {
    let end = Instant::now() + RESPONSE_TIMEOUT;
    let evicted = async {
        match &slot {
            Some(slot) => slot.evicted().await,
            None => std::future::pending().await,
        }
    };
    let activity = slot.as_ref().map(Slot::activity);
    let forwarded = async {
        loop {
            // Waiting for our own thread does not make the scrape idle; waiting for the client does.
            let in_flight = activity.as_ref().map(Activity::begin);
            let Some(piece) = written.recv().await else {
                return Ok(());
            };
            drop(in_flight);
            let sent = timeout(STALL_TIMEOUT, body.send_data(piece?)).await;
            sent.map_err(|_| io::ErrorKind::TimedOut)?
                .map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
    };
    let result: io::Result<()> = tokio::select! {
        forwarded = timeout_at(end, forwarded) => {
            forwarded.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        }
        () = evicted => Err(io::ErrorKind::TimedOut.into()),
    };
    if let Err(error) = result {
        debug!(%error, "scrape broken off");
        if error.kind() == io::ErrorKind::TimedOut {
            cut_short();
        }
        body.abort(error);
    }
}

/// Whether a client accepts gzip. RFC 9110, section 12.5.3: a list of codings, each with an optional weight; weight 0 forbids.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            let allowed = weight.is_none_or(|q| q.parse::<f32>().is_ok_and(|q| q > 0.0));
            name.eq_ignore_ascii_case("gzip") && allowed
        })
}

/// Collects what is written into pieces, and blocks until there is room for the next one.
struct PieceWriter {
    pieces: mpsc::Sender<Piece>,
    piece: Vec<u8>,
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.piece));
        let sent = self.pieces.blocking_send(Ok(piece));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
