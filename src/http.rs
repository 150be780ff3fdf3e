//! Routes and limits of the web server.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::channel::{Channel, Sender};
use http_body_util::{Either, Full};
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, VARY,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tracing::debug;

use crate::metrics;

/// More than a pair of Prometheus servers and a few people ever open.
const MAX_CONNECTIONS: usize = 128;
/// A client that has not sent its next request by then is gone or means harm. Prometheus asks
/// every minute if not told otherwise, and may keep its connection for that long.
const HEADER_TIMEOUT: Duration = Duration::from_secs(65);
/// A client that takes no byte for so long is gone or means harm.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// How long open responses may take once the server is asked to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// The body goes out in pieces of at least this size; few of them wait at a time.
const PIECE: usize = 64 * 1024;

/// What the server shows. It is called off the runtime's thread and may take its time.
pub trait Pages: Send + Sync + 'static {
    /// Writes the text of `/metrics`.
    ///
    /// # Errors
    /// Those of `out`.
    fn metrics(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Whether a capture is running.
    fn is_ready(&self) -> bool;
}

type Body = Either<Full<Bytes>, Channel<Bytes, io::Error>>;

/// Binds `port` on all addresses, IPv4 and IPv6.
///
/// # Errors
/// The port is taken, or may not be used.
pub fn bind(port: u16) -> io::Result<TcpListener> {
    match listener(Domain::IPV6, (Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            // No IPv6 on this host.
            listener(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, port).into())
        }
        result => result,
    }
}

fn listener(domain: Domain, address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(false)?;
    }
    // After a restart, the old connections may linger for a minute. On Windows this option
    // would let two programs share the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Serves until `stop` is done, then lets open responses end.
pub async fn serve(listener: TcpListener, pages: Arc<impl Pages>, stop: impl Future<Output = ()>) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let permit = Arc::clone(&connections).acquire_owned();
        let accepted = async {
            let permit = permit.await.expect("the semaphore is never closed");
            (accept(&listener).await, permit)
        };
        let (stream, permit) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        let pages = Arc::clone(&pages);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| {
                    let response = respond(&request, &pages);
                    async move { Ok::<_, Infallible>(response) }
                }),
            );
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection ended early");
            }
            drop(permit);
        });
    }
    let _ = timeout(DRAIN_TIMEOUT, graceful.shutdown()).await;
}

/// Accepting fails when the client is gone already, or when the process is out of file
/// descriptors; neither is a reason to stop serving.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                debug!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn respond<B>(request: &Request<B>, pages: &Arc<impl Pages>) -> Response<Body> {
    let page = match request.uri().path() {
        "/" => html(LANDING_PAGE),
        "/metrics" => return allowing_reads(request, || scrape(request, Arc::clone(pages))),
        "/-/healthy" => text(StatusCode::OK, "Healthy.\n"),
        "/-/ready" if pages.is_ready() => text(StatusCode::OK, "Ready.\n"),
        "/-/ready" => text(StatusCode::SERVICE_UNAVAILABLE, "No capture is running.\n"),
        _ => {
            return text(
                StatusCode::NOT_FOUND,
                "Not found. Metrics are at /metrics.\n",
            );
        }
    };
    allowing_reads(request, || page)
}

fn allowing_reads<B>(
    request: &Request<B>,
    response: impl FnOnce() -> Response<Body>,
) -> Response<Body> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return response();
    }
    let mut response = text(
        StatusCode::METHOD_NOT_ALLOWED,
        "Method not allowed. Use GET.\n",
    );
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

const LANDING_PAGE: &str = concat!(
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width\">\n",
    "<title>TZSP packet stream exporter</title>\n</head>\n<body>\n",
    "<h1>TZSP packet stream exporter</h1>\n",
    "<p>tzsp_packetstream_exporter ",
    env!("CARGO_PKG_VERSION"),
    "</p>\n<p><a href=\"/metrics\">Metrics</a></p>\n</body>\n</html>\n",
);

fn text(status: StatusCode, body: &'static str) -> Response<Body> {
    let mut response = page("text/plain; charset=utf-8", body);
    *response.status_mut() = status;
    response
}

fn html(body: &'static str) -> Response<Body> {
    page("text/html; charset=utf-8", body)
}

fn page(content_type: &'static str, body: &'static str) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::from(body)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The text is written on a thread of its own and goes out piece by piece, so that neither its
/// size nor a slow client costs memory.
fn scrape<B>(request: &Request<B>, pages: Arc<impl Pages>) -> Response<Body> {
    let gzip = accepts_gzip(request.headers());
    let (sender, body) = Channel::new(1);
    if request.method() == Method::GET {
        let (pieces, written) = mpsc::channel(1);
        tokio::task::spawn_blocking(move || write_scrape(&*pages, gzip, pieces));
        tokio::spawn(forward(written, sender));
    }
    let mut response = Response::new(Either::Right(body));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(metrics::CONTENT_TYPE),
    );
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

type Piece = io::Result<Bytes>;

fn write_scrape(pages: &impl Pages, gzip: bool, pieces: mpsc::Sender<Piece>) {
    let mut out = PieceWriter {
        pieces,
        piece: Vec::new(),
    };
    let written = if gzip {
        let mut out = GzEncoder::new(&mut out, Compression::fast());
        pages.metrics(&mut out).and_then(|()| out.try_finish())
    } else {
        pages.metrics(&mut out)
    };
    if let Err(error) = written.and_then(|()| out.flush()) {
        // No client must take a part for the whole.
        let _ = out.pieces.blocking_send(Err(error));
    }
}

/// Hands on what the thread writes, to a client that keeps taking it. Once this ends, the
/// thread's next piece fails, and it ends too.
async fn forward(mut written: mpsc::Receiver<Piece>, mut body: Sender<Bytes, io::Error>) {
    while let Some(piece) = written.recv().await {
        let error = match piece {
            Ok(piece) => match timeout(STALL_TIMEOUT, body.send_data(piece)).await {
                Ok(Ok(())) => continue,
                Ok(Err(_)) => io::ErrorKind::BrokenPipe.into(),
                Err(_) => io::ErrorKind::TimedOut.into(),
            },
            Err(error) => error,
        };
        debug!(%error, "a scrape was not sent whole");
        body.abort(error);
        return;
    }
}

/// RFC 9110, section 12.5.3: a list of codings, each with an optional weight; weight 0 forbids.
fn accepts_gzip(headers: &HeaderMap) -> bool {
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
