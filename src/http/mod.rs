//! The web server: who may connect, for how long, and how it ends.

mod clients;
mod config;

mod page;
mod passwords;
mod places;
mod rate;
mod refusals;
mod reload;
mod routes;
mod scrape;
mod sent;
mod tls;
mod turns;

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::{Acceptor, ServerConfig};
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

use crate::metrics::{Overview, Refused, WebState};
use passwords::Passwords;
use places::{Limits, Overdue, Place, Places, User};
use rate::RateLimiter;
use refusals::Refusals;
use routes::{Client, Site};
use sent::{SentStream, WhenSent};
use turns::Turns;

pub use config::Error as ConfigurationError;
pub use reload::Configuration;

/// More than Prometheus servers and people ever open. When all are taken, a new connection gets
/// the place of the one that has been quiet for the longest time.
const MAX_CONNECTIONS: usize = 512;
/// A client that has sent no request by then, TLS handshake included, means harm.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Prometheus asks every minute if not told otherwise, and may keep its connection for that long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(65);
const LIMITS: Limits = Limits {
    first: FIRST_REQUEST_TIMEOUT,
    later: IDLE_TIMEOUT,
    work: REQUEST_TIMEOUT,
};
/// Ten times what a browser sends.
const MAX_HEADER_SIZE: u32 = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// HTTP/2 headers are read up to here, so that those that are too large are refused by us, and
/// counted. What is larger still is refused all the same.
const MAX_HEADERS_READ: u32 = 2 * MAX_HEADER_SIZE;
/// Requests at a time in one HTTP/2 connection.
const MAX_STREAMS: u32 = 16;
/// HTTP/2 asks for the next piece of a body once less than this waits for its client: so when the
/// end of a body is asked for, everything before it is in frames, and [`sent`] can tell when they
/// are sent. A piece is accepted whole, whatever its size, so nothing gets slower.
const MAX_SEND_BUFFER: usize = 1;
/// A client that takes no byte for so long is gone or means harm.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// A client that waited so long for its first byte is gone: no scrape may take longer.
const RESPONSE_TIMEOUT: Duration = Duration::from_mins(1);
/// When all of --web.max-requests are taken, a scrape whose client has taken nothing for so long
/// gives way to a new one.
const PATIENCE: Duration = Duration::from_millis(500);
/// A request that is open for so long, by now without any way to end itself, ends its connection:
/// an HTTP/2 client may refuse to take even the shortest answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(65);
/// A request that is open for longer does not protect its connection when all are taken.
const REQUEST_GRACE: Duration = Duration::from_secs(5);
/// How long open responses may take once the server is asked to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// Accepting fails at once while no file descriptor is left: it is tried again after this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The least time between two warnings that accepting fails.
const ACCEPT_WARNING_INTERVAL: Duration = Duration::from_mins(1);

/// What the server shows. Unless said otherwise, it is called off the runtime's thread and may take
/// its time.
pub trait Pages: Send + Sync + 'static {
    /// Writes the text of `/metrics`, the state of the web server included. Returns the time that
    /// it is of, for [`delivered`](Self::delivered).
    ///
    /// # Errors
    /// Those of `out`.
    fn metrics(&self, web: &WebState, out: &mut dyn Write) -> io::Result<Duration>;

    /// The text of `/metrics` of this time was sent to its end. Called on the runtime's thread: it
    /// must not wait.
    fn delivered(&self, at: Duration);

    /// What a person wants to know first, with so many of the flows that counted most lately.
    fn overview(&self, top: usize) -> Overview;

    /// Whether a capture is running. Called on the runtime's thread: it must not wait.
    fn is_ready(&self) -> bool;
}

/// Binds `port` on this address; without one on all addresses, IPv4 and IPv6.
///
/// # Errors
/// The port is taken, or may not be used; or the address is none of this host's.
pub fn bind(address: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    if let Some(address) = address {
        return listener((address, port).into());
    }
    match listener((Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            // No IPv6 on this host.
            listener((Ipv4Addr::UNSPECIFIED, port).into())
        }
        result => result,
    }
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
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

/// Serves until `stop` is done, then lets open responses end. At most `max_requests` scrapes go on
/// at a time; 0 means any number.
pub async fn serve(
    listener: TcpListener,
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
            let accepted = accept(|cx| listener.poll_accept(cx), &site, &mut last_warning);
            let (stream, address) = accepted.await;
            let Ok((place, has_loser)) = site.connections.take() else {
                // All do something useful, for which there are limits of time.
                site.refusals.count(Refused::Connections);
                continue;
            };
            let site = Arc::clone(&site);
            let watcher = graceful.watcher();
            if has_loser {
                site.refusals.count(Refused::Connections);
            }
            tokio::spawn(connection(stream, address, site, place, watcher));
            if has_loser {
                // Lets the other connection go before the next comes.
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

/// What all requests share, at the start.
fn site<P: Pages>(
    pages: Arc<P>,
    configuration: &Configuration,
    max_requests: usize,
) -> Arc<Site<P>> {
    Arc::new(Site {
        pages,
        in_force: configuration.subscribe(),
        connections: Places::new(max_connections(), Duration::ZERO, REQUEST_GRACE),
        scrapes: (max_requests > 0).then(|| Places::new(max_requests, PATIENCE, RESPONSE_TIMEOUT)),
        passwords: Arc::new(Passwords::new()),
        handshakes: Arc::default(),
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

/// Accepts the next connection. Errors are no reason to stop serving: the client may be gone
/// already, the network down, or no file descriptor left.
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
            let advice = if lacks_descriptors {
                "; raise the limit of open files (LimitNOFILE= in systemd, ulimit -n)"
            } else {
                ""
            };
            warn!("cannot accept a connection: {error}{advice}");
        }
        // Closing a connection frees a descriptor. For any other error it would hurt a healthy
        // client and mend nothing.
        if lacks_descriptors {
            site.connections.make_room();
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

/// One connection, from its first byte to its end.
async fn connection(
    stream: TcpStream,
    address: IpAddr,
    site: Arc<Site<impl Pages>>,
    place: Place,
    watcher: Watcher,
) {
    let user = Arc::new(place.user());
    // Asked before the handshake looks at the configuration, so that no change is missed.
    let closed_by_reload = reload::protection_switched_on(site.in_force.clone());
    let served = handshake(stream, address, Arc::clone(&site), user, watcher);
    tokio::select! {
        () = within_limits(served, address, &site, &place) => {}
        () = closed_by_reload => {
            debug!(%address, "closed: made before TLS or passwords were switched on");
        }
    }
}

/// Ends what goes on in a connection when it has lost its place, or takes too long.
async fn within_limits(
    served: impl Future<Output = ()>,
    address: IpAddr,
    site: &Site<impl Pages>,
    place: &Place,
) {
    let served = pin!(served);
    tokio::select! {
        () = served => {}
        () = place.lost() => debug!(%address, "a quiet connection gave way to another"),
        overdue = place.overdue(LIMITS) => {
            debug!(%address, "a connection was quiet for too long");
            match overdue {
                Overdue::First => site.refusals.count(Refused::FirstRequest),
                Overdue::Later => {}
                Overdue::Work => site.refusals.count(Refused::SlowResponse),
            }
        }
    }
}

async fn handshake(
    stream: TcpStream,
    address: IpAddr,
    site: Arc<Site<impl Pages>>,
    user: Arc<User>,
    watcher: Watcher,
) {
    let config = Arc::clone(&site.in_force.borrow().config);
    let Some(tls) = &config.tls else {
        return requests(stream, false, address, site, user, watcher).await;
    };
    let Ok(Some(stream)) = refuse_plain_http(stream).await else {
        return site.refusals.count(Refused::Tls);
    };
    match shake_hands(stream, address, Arc::clone(tls), &site.handshakes).await {
        Ok(stream) => {
            if config.verifies_clients {
                user.is_known();
            }
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            requests(stream, http2, address, site, user, watcher).await;
        }
        Err(error) => {
            debug!(%address, %error, "no TLS connection came about");
            site.refusals.count(Refused::Tls);
        }
    }
}

/// What the first words of a client ask for takes milliseconds with some keys: it is done off the
/// runtime's thread.
async fn shake_hands(
    stream: TcpStream,
    address: IpAddr,
    config: Arc<ServerConfig>,
    turns: &Arc<Turns>,
) -> io::Result<TlsStream<TcpStream>> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let turn = turns.take(address).await;
    let answer = spawn_blocking(move || {
        let _turn = turn;
        hello.into_stream(config)
    });
    answer.await.map_err(io::Error::other)?.await
}

/// Answers those who do not know that TLS is spoken here in words that they understand. TLS begins
/// with 0x16, HTTP with a letter.
async fn refuse_plain_http(mut stream: TcpStream) -> io::Result<Option<TcpStream>> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    if !first[0].is_ascii_uppercase() {
        return Ok(Some(stream));
    }
    let answer = "HTTP/1.0 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n\
                  This is an HTTPS server. Use https://.\n";
    stream.write_all(answer.as_bytes()).await?;
    // Closing with something unread would take the answer back.
    let _ = stream.try_read(&mut [0; MAX_HEADER_SIZE as usize]);
    stream.shutdown().await?;
    Ok(None)
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    http2: bool,
    address: IpAddr,
    site: Arc<Site<impl Pages>>,
    user: Arc<User>,
    watcher: Watcher,
) {
    let builder = builder(http2);
    let sent = Arc::new(WhenSent::default());
    let stream = SentStream::new(stream, Arc::clone(&sent));
    let service = service_fn(|request| {
        let client = Client {
            address,
            user: Arc::clone(&user),
            sent: Arc::clone(&sent),
        };
        let answer = Arc::clone(&site).answer(request, client);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let Err(error) = watcher.watch(connection).await else {
        return;
    };
    debug!(%address, %error, "a connection ended early");
    match error.downcast_ref::<hyper::Error>() {
        Some(error) if error.is_parse_too_large() => site.refusals.count(Refused::HeaderSize),
        Some(error) if error.is_parse() || breaks_http2(error) => {
            site.refusals.count(Refused::Malformed);
        }
        _ => {}
    }
}

/// Whether the client broke the rules, or did so much within them that it can only mean harm.
fn breaks_http2(error: &hyper::Error) -> bool {
    let error = error
        .source()
        .and_then(<dyn Error>::downcast_ref::<h2::Error>);
    error.is_some_and(|error| !error.is_io() && error.reason() != Some(h2::Reason::NO_ERROR))
}

/// The time of a connection is limited by its place, whatever is spoken.
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
