//! The way of a scrape to its client.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use hyper::header::{ACCEPT_ENCODING, HeaderMap};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::places::{Place, User};
use super::{RESPONSE_TIMEOUT, STALL_TIMEOUT};

/// The body goes out in pieces of at least this size; few of them wait at a time.
const PIECE: usize = 64 * 1024;

pub(super) type ScrapeBody = Channel<Bytes, io::Error>;

/// The body that `write` writes, on a thread of its own, and that goes out piece by piece, so that
/// neither its size nor a slow client costs memory. `place` is given up at its end; if the client
/// did not take it whole, `cut_short` is called.
pub(super) fn body(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
    gzip: bool,
    place: Option<Place>,
    cut_short: impl FnOnce() + Send + 'static,
) -> ScrapeBody {
    let (sender, body) = Channel::new(1);
    let (pieces, written) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || write_pieces(write, gzip, pieces));
    tokio::spawn(forward(written, sender, place, cut_short));
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
        // No client must take a part for the whole.
        let _ = out.pieces.blocking_send(Err(error));
    }
}

/// Hands on what the thread writes, to a client that keeps taking it. Once this ends, the
/// thread's next piece fails, and it ends too.
async fn forward(
    mut written: mpsc::Receiver<Piece>,
    mut body: Sender<Bytes, io::Error>,
    place: Option<Place>,
    cut_short: impl FnOnce(),
) {
    let end = Instant::now() + RESPONSE_TIMEOUT;
    let lost = async {
        match &place {
            Some(place) => place.lost().await,
            None => std::future::pending().await,
        }
    };
    let user = place.as_ref().map(Place::user);
    let forwarded = async {
        loop {
            // Only the client's delays are held against it.
            let work = user.as_ref().map(User::work);
            let Some(piece) = written.recv().await else {
                return Ok(());
            };
            drop(work);
            let sent = timeout(STALL_TIMEOUT, body.send_data(piece?)).await;
            sent.map_err(|_| io::ErrorKind::TimedOut)?
                .map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
    };
    let result: io::Result<()> = tokio::select! {
        forwarded = timeout_at(end, forwarded) => {
            forwarded.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        }
        () = lost => Err(io::ErrorKind::TimedOut.into()),
    };
    if let Err(error) = result {
        debug!(%error, "a scrape was not sent whole");
        if error.kind() == io::ErrorKind::TimedOut {
            cut_short();
        }
        body.abort(error);
    }
}

/// RFC 9110, section 12.5.3: a list of codings, each with an optional weight; weight 0 forbids.
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

/// Collects what is written into pieces, and waits for room before it hands one on.
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
