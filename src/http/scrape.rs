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

/// The minimum size of the pieces in which the body is sent, in bytes. Only a few of them are in
/// memory at a time.
const PIECE: usize = 64 * 1024;

pub(super) type ScrapeBody = Channel<Bytes, io::Error>;

/// Returns a body that `write` writes on a separate thread. It is sent piece by piece, so memory
/// use grows neither with its size nor with a slow client. `slot` is released at its end. If the
/// body is aborted because the client is too slow, `cut_short` is called.
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
        // Aborts the response, so that no client mistakes a part of it for the whole.
        let _ = out.pieces.blocking_send(Err(error));
    }
}

/// Forwards pieces from the writing thread to the client, as long as the client accepts them. When
/// this returns early, the thread fails to send its next piece and ends as well.
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
            // The scrape is idle while it waits for the client, but not while it waits for our own
            // thread: an idle scrape may be evicted.
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
        debug!(%error, "scrape aborted");
        if error.kind() == io::ErrorKind::TimedOut {
            cut_short();
        }
        body.abort(error);
    }
}

/// Whether a client accepts gzip. RFC 9110, section 12.5.3: a list of codings, each with an
/// optional weight; a weight of 0 means "not acceptable".
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

/// Collects written bytes into pieces. Blocks until the channel has room for the next piece.
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
