//! The web server: listener, connection limits, TLS, passwords and routes.

mod accept;
mod clients;
mod config;
mod listen;
mod page;
mod passwords;
mod queue;
mod rate;
mod refusals;
mod reload;
mod routes;
mod scrape;
mod sent;
mod slots;
mod tls;

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::{Acceptor, ServerConfig};
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

use crate::metrics::{Format, Refused, WebState};
use crate::report::Overview;
use passwords::Passwords;
use queue::{Bounds, FairQueue};
use rate::RateLimiter;
use refusals::Refusals;
use routes::{Client, Site};
use sent::{SentStream, WhenSent};
use slots::{Activity, Overdue, Slot, Slots, TimeLimits};

pub use config::Error as ConfigurationError;
pub use listen::{ListenAddress, ListenAddressError, Listeners};
pub use reload::Configuration;

/// More than Prometheus servers and people ever open. When all slots are in use, the longest-idle
/// connection is evicted for a new one.
const MAX_CONNECTIONS: usize = 512;
/// A client that has sent no request by then, TLS handshake included, is broken or malicious.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Prometheus scrapes every minute by default, and may keep its connection for that long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(65);
const TIME_LIMITS: TimeLimits = TimeLimits {
    first: FIRST_REQUEST_TIMEOUT,
    idle: IDLE_TIMEOUT,
    request: REQUEST_TIMEOUT,
};
/// Ten times what a browser sends.
const MAX_HEADER_SIZE: u32 = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// The HTTP library accepts HTTP/2 headers up to this size, so that we refuse and count those over
/// [`MAX_HEADER_SIZE`]. It refuses larger ones itself, uncounted.
const MAX_HEADERS_READ: u32 = 2 * MAX_HEADER_SIZE;
/// Concurrent requests in one HTTP/2 connection.
const MAX_STREAMS: u32 = 16;
/// The HTTP library asks for the next piece of an HTTP/2 body when fewer than this many bytes are
/// buffered for the client. With 1, everything before the end of a body is already in frames when
/// the library asks for that end, and [`sent`] can detect when they have been sent. The buffer
/// accepts a whole piece of any size, so this slows nothing down.
const MAX_SEND_BUFFER: usize = 1;
/// A client that accepts no byte for this long is gone or malicious.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// The longest time from the request to the end of a scrape. Prometheus gives up far earlier.
const RESPONSE_TIMEOUT: Duration = Duration::from_mins(1);
/// When --web.max-requests scrapes are in flight, one whose client has accepted nothing for this
/// long is evicted for a new one.
const SCRAPE_MIN_IDLE: Duration = Duration::from_millis(500);
/// A request that takes longer ends its connection. The limits of a scrape do not suffice: an HTTP/2
/// client may refuse to accept even the shortest answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(65);
/// A request in flight makes its connection count as idle only after this time, so connections
/// without a request are evicted before it. Where all have one, the oldest is still evicted.
const REQUEST_GRACE: Duration = Duration::from_secs(5);
/// How long open responses may take once the server is asked to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause after an error of accept(2), which fails at once while no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The minimum time between two warnings about failures of accept(2).
const ACCEPT_WARNING_INTERVAL: Duration = Duration::from_mins(1);

/// The content that the server shows. Unless stated otherwise, its methods are called outside the
/// async runtime's thread, and may block.
pub trait Pages: Send + Sync + 'static {
    /// Writes `/metrics` in this format, including the state of the web server. Returns the time of
    /// the snapshot that was written, for [`delivered`](Self::delivered).
    ///
    /// # Errors
    /// Returns the errors of `out`.
    fn metrics(&self, format: Format, web: &WebState, out: &mut dyn Write) -> io::Result<Duration>;

    /// Called when the whole body of `/metrics` with the snapshot of this time has been sent. Runs
    /// on the runtime's thread, so it must not block.
    fn delivered(&self, at: Duration);

    /// Returns the overview for the landing page, with up to `top` of the flows that recently
    /// counted the most bytes.
    fn overview(&self, top: usize) -> Overview;

    /// Whether a capture is running. Called on the runtime's thread, so it must not block.
    fn is_ready(&self) -> bool;
}

/// Serves until `stop` completes, then lets open responses end. `max_requests` is the maximum
/// number of concurrent scrapes; 0 means no limit.
pub async fn serve(
    mut listeners: Listeners,
    pages: Arc<impl Pages>,
    configuration: Configuration,
    max_requests: usize,
    stop: impl Future<Output = ()>,
) {
    let site = site(pages, &configuration, max_requests);
    let graceful = GracefulShutdown::new();
    let accepting = async {
        let mut last_warning = None;
        loop {
            let accepted = accept(|cx| listeners.poll_accept(cx), &site, &mut last_warning);
            let (stream, address) = accepted.await;
            let Ok((slot, has_evicted)) = site.connections.take() else {
                // Every slot serves a request within its grace period: the new client has to retry.
                site.refusals.count(Refused::Connections);
                continue;
            };
            let site = Arc::clone(&site);
            let watcher = graceful.watcher();
            if has_evicted {
                site.refusals.count(Refused::Connections);
            }
            tokio::spawn(connection(stream, address, site, slot, watcher));
            if has_evicted {
                // Lets the evicted connection close before the next one is accepted.
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = configuration.follow() => {}
        () = stop => {}
    }
    let _ = timeout(DRAIN_TIMEOUT, graceful.shutdown()).await;
}

/// Creates the state that all requests share.
fn site<P: Pages>(
    pages: Arc<P>,
    configuration: &Configuration,
    max_requests: usize,
) -> Arc<Site<P>> {
    Arc::new(Site {
        pages,
        in_force: configuration.subscribe(),
        connections: Slots::new(max_connections(), Duration::ZERO, REQUEST_GRACE),
        scrapes: (max_requests > 0)
            .then(|| Slots::new(max_requests, SCRAPE_MIN_IDLE, RESPONSE_TIMEOUT)),
        passwords: Arc::new(Passwords::new()),
        // Each connection has one handshake, so the limit of connections is reached first. An
        // evicted connection leaves the queue a moment later, when its task runs. Without room for
        // such connections, a flood of handshakes would make the server refuse other clients.
        handshakes: FairQueue::new(Bounds {
            total: 4 * MAX_CONNECTIONS,
            per_network: 2 * MAX_CONNECTIONS,
        }),
        rate: RateLimiter::default(),
        refusals: Refusals::default(),
    })
}

/// Half of the file descriptors stay for everything else.
fn max_connections() -> usize {
    #[cfg(unix)]
    if let Ok((limit, _)) =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
    {
        let half = usize::try_from(limit / 2).unwrap_or(usize::MAX);
        return MAX_CONNECTIONS.min(half);
    }
    MAX_CONNECTIONS
}

/// Accepts the next connection. Errors do not stop the server: the client may be gone already, the
/// network down, or no file descriptor left.
async fn accept<S>(
    mut poll_accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<(S, SocketAddr)>>,
    site: &Site<impl Pages>,
    last_warning: &mut Option<Instant>,
) -> (S, IpAddr) {
    loop {
        let error = match poll_fn(&mut poll_accept).await {
            Ok((stream, address)) => return (stream, address.ip()),
            Err(error) => error,
        };
        site.refusals.count(Refused::Accept);
        let lacks_descriptors = lacks_descriptors(&error);
        if last_warning.is_none_or(|at| at.elapsed() >= ACCEPT_WARNING_INTERVAL) {
            *last_warning = Some(Instant::now());
            let advice = if lacks_descriptors && cfg!(unix) {
                "; raise the limit of open files (LimitNOFILE= in systemd, ulimit -n)"
            } else {
                ""
            };
            warn!("cannot accept a connection: {error}{advice}");
        }
        // Closing a connection frees a descriptor. For any other error it would disconnect a
        // healthy client without any effect on the error.
        if lacks_descriptors {
            site.connections.evict_one();
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// Whether the process or the system has no file descriptor left.
fn lacks_descriptors(error: &io::Error) -> bool {
    #[cfg(unix)]
    let codes = [nix::libc::EMFILE, nix::libc::ENFILE];
    // WSAEMFILE, <https://learn.microsoft.com/windows/win32/winsock/windows-sockets-error-codes-2>.
    #[cfg(not(unix))]
    let codes = [10_024];
    error
        .raw_os_error()
        .is_some_and(|code| codes.contains(&code))
}

/// Serves one connection from its first byte to its end.
async fn connection(
    stream: TcpStream,
    address: IpAddr,
    site: Arc<Site<impl Pages>>,
    slot: Slot,
    watcher: Watcher,
) {
    let activity = Arc::new(slot.activity());
    // Subscribes before the handshake reads the configuration, so that no change is missed.
    let closed_by_reload = reload::protection_switched_on(site.in_force.clone());
    let served = handshake(stream, address, Arc::clone(&site), activity, watcher);
    tokio::select! {
        () = within_limits(served, address, &site, &slot) => {}
        () = closed_by_reload => {
            debug!(%address, "closed a connection that was opened before TLS or passwords were switched on");
        }
    }
}

/// Serves a connection until it ends by itself, is evicted, or takes too long.
async fn within_limits(
    served: impl Future<Output = ()>,
    address: IpAddr,
    site: &Site<impl Pages>,
    slot: &Slot,
) {
    let served = pin!(served);
    tokio::select! {
        () = served => {}
        () = slot.evicted() => debug!(%address, "evicted an idle connection"),
        overdue = slot.overdue(TIME_LIMITS) => {
            debug!(%address, "closed a connection that was idle or stuck for too long");
            match overdue {
                Overdue::FirstRequest => site.refusals.count(Refused::FirstRequest),
                Overdue::Idle => {}
                Overdue::Request => site.refusals.count(Refused::SlowResponse),
            }
        }
    }
}

async fn handshake(
    stream: TcpStream,
    address: IpAddr,
    site: Arc<Site<impl Pages>>,
    activity: Arc<Activity>,
    watcher: Watcher,
) {
    let config = Arc::clone(&site.in_force.borrow().config);
    let Some(tls) = &config.tls else {
        return requests(stream, false, address, site, activity, watcher).await;
    };
    let Ok(Some(stream)) = refuse_plain_http(stream).await else {
        return site.refusals.count(Refused::Tls);
    };
    match shake_hands(stream, address, Arc::clone(tls), &site.handshakes).await {
        Ok(stream) => {
            if config.verifies_clients {
                activity.set_authenticated();
            }
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            requests(stream, http2, address, site, activity, watcher).await;
        }
        Err(error) => {
            debug!(%address, %error, "TLS handshake failed");
            site.refusals.count(Refused::Tls);
        }
    }
}

/// Answers a client's TLS ClientHello. Signing the answer takes milliseconds with some keys, so it
/// runs outside the runtime's thread, and a flood of handshakes waits in the fair queue.
async fn shake_hands(
    stream: TcpStream,
    address: IpAddr,
    config: Arc<ServerConfig>,
    queue: &Arc<FairQueue>,
) -> io::Result<TlsStream<TcpStream>> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let permit = queue.enter(address).await;
    let permit = permit.map_err(|_| io::Error::other("too many handshakes are waiting"))?;
    let answer = spawn_blocking(move || {
        let _permit = permit;
        hello.into_stream(config)
    });
    answer.await.map_err(io::Error::other)?.await
}

/// Answers a client that speaks plain HTTP with an error in plain HTTP: this is an HTTPS server.
/// TLS begins with 0x16, HTTP with a letter. Returns the stream if TLS follows.
async fn refuse_plain_http(mut stream: TcpStream) -> io::Result<Option<TcpStream>> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    if !first[0].is_ascii_uppercase() {
        return Ok(Some(stream));
    }
    let answer = "HTTP/1.0 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n\
                  This is an HTTPS server. Use https://.\n";
    stream.write_all(answer.as_bytes()).await?;
    // Closing a socket with unread bytes resets the connection, which would discard the answer.
    let _ = stream.try_read(&mut [0; MAX_HEADER_SIZE as usize]);
    stream.shutdown().await?;
    Ok(None)
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    http2: bool,
    address: IpAddr,
    site: Arc<Site<impl Pages>>,
    activity: Arc<Activity>,
    watcher: Watcher,
) {
    let builder = builder(http2);
    let sent = Arc::new(WhenSent::default());
    let stream = SentStream::new(stream, Arc::clone(&sent), http2);
    let service = service_fn(|request| {
        let client = Client {
            address,
            activity: Arc::clone(&activity),
            sent: Arc::clone(&sent),
        };
        let answer = Arc::clone(&site).answer(request, client);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let Err(error) = watcher.watch(connection).await else {
        return;
    };
    debug!(%address, %error, "connection failed");
    match error.downcast_ref::<hyper::Error>() {
        Some(error) if error.is_parse_too_large() => site.refusals.count(Refused::HeaderSize),
        Some(error) if error.is_parse() || breaks_http2(error) => {
            site.refusals.count(Refused::Malformed);
        }
        _ => {}
    }
}

/// Whether the client violated HTTP/2, or flooded the server with valid HTTP/2.
fn breaks_http2(error: &hyper::Error) -> bool {
    let error = error
        .source()
        .and_then(<dyn Error>::downcast_ref::<h2::Error>);
    error.is_some_and(|error| !error.is_io() && error.reason() != Some(h2::Reason::NO_ERROR))
}

/// Configures HTTP/1 or HTTP/2. The library's own time limits are off: [`Slot::overdue`] applies
/// the same limits to both.
fn builder(http2: bool) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    if http2 {
        builder = builder.http2_only();
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEADERS_READ)
            .max_send_buf_size(MAX_SEND_BUFFER);
    } else {
        builder = builder.http1_only();
        builder
            .http1()
            .header_read_timeout(None)
            .max_buf_size(MAX_HEADER_SIZE as usize)
            .max_headers(MAX_HEADERS);
    }
    builder
}

#[cfg(test)]
mod tests;
