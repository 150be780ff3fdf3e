use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;

struct NoPages;

impl Pages for NoPages {
    fn metrics(&self, _: Format, _: &WebState, _: &mut dyn Write) -> io::Result<Duration> {
        Ok(Duration::ZERO)
    }

    fn delivered(&self, _: Duration) {}

    fn overview(&self, _: usize) -> Overview {
        unreachable!("no test requests the page")
    }

    fn is_ready(&self) -> bool {
        true
    }
}

/// RFC 9113: a SETTINGS frame that sets the initial window to 0, so that the server may not send any
/// byte of a body; then GET /-/healthy with the static table of RFC 7541.
const STUCK: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0\
    \0\0\x11\x01\x05\0\0\0\x01\x82\x87\x04\x0a/-/healthy\x41\x01x";

#[tokio::test(start_paused = true)]
async fn a_request_that_is_stuck_closes_its_connection() {
    let configuration = Configuration::read(None).expect("there is nothing to read");
    let site = site(Arc::new(NoPages), &configuration, 1);
    let (slot, _) = site.connections.take().expect("it is the first");
    let activity = Arc::new(slot.activity());
    let watcher = GracefulShutdown::new().watcher();
    let (mut client, stream) = duplex(1024);
    client.write_all(STUCK).await.expect("there is room");

    let address = Ipv4Addr::LOCALHOST.into();
    let served = requests(stream, true, address, Arc::clone(&site), activity, watcher);
    let begin = Instant::now();
    within_limits(served, address, &site, &slot).await;
    assert_eq!(begin.elapsed().as_secs(), 65);
    let counts = site.refusals.counts();
    assert_eq!(counts[Refused::SlowResponse as usize], 1);
    assert_eq!(counts.iter().sum::<u64>(), 1);
    // The client itself did not close the connection.
    client.write_all(b"\0").await.expect_err("it was closed");
}

/// Accepts one connection after these errors of Unix. Returns whether a connection was evicted.
#[cfg(unix)]
async fn evicts(errors: &[i32]) -> bool {
    let configuration = Configuration::read(None).expect("there is nothing to read");
    let site = site(Arc::new(NoPages), &configuration, 1);
    let (_healthy, _) = site.connections.take().expect("it is the first");
    let mut errors_left = errors.iter();
    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let poll_accept = |_: &mut Context<'_>| {
        Poll::Ready(match errors_left.next() {
            Some(&code) => Err(io::Error::from_raw_os_error(code)),
            None => Ok(((), client)),
        })
    };
    accept(poll_accept, &site, &mut None).await;
    let refused = site.refusals.counts()[Refused::Accept as usize];
    assert_eq!(refused, errors.len() as u64);
    site.connections.count() == 0
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_connection_is_evicted_only_when_file_descriptors_run_out() {
    use nix::libc::{ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EPROTO};

    assert!(!evicts(&[ECONNABORTED, EPROTO, EPERM, ENOMEM, ENOBUFS]).await);
    assert!(evicts(&[EMFILE]).await);
    assert!(evicts(&[ENFILE]).await);
}

/// Pages whose metrics are [`LENGTH`] incompressible bytes.
#[derive(Default)]
struct LongPages {
    delivered: AtomicBool,
}

const TIME: Duration = Duration::from_secs(7);
/// Four pieces of a body.
const LENGTH: usize = 256 * 1024;
/// The number of bytes that a connection buffers before its client reads them.
const HELD: usize = 1024;

impl Pages for LongPages {
    fn metrics(&self, _: Format, _: &WebState, out: &mut dyn Write) -> io::Result<Duration> {
        let mut noise = 1_u64;
        for _ in 0..LENGTH / size_of::<u64>() {
            // Xorshift, by G. Marsaglia.
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            out.write_all(&noise.to_le_bytes())?;
        }
        Ok(TIME)
    }

    fn delivered(&self, at: Duration) {
        assert_eq!(at, TIME);
        self.delivered.store(true, Ordering::Relaxed);
    }

    fn overview(&self, _: usize) -> Overview {
        unreachable!("no test requests the page")
    }

    fn is_ready(&self) -> bool {
        true
    }
}

/// Starts a server of [`LongPages`] and returns its client.
fn serve_long_pages(http2: bool) -> (Arc<LongPages>, DuplexStream, JoinHandle<()>) {
    let pages = Arc::new(LongPages::default());
    let configuration = Configuration::read(None).expect("there is nothing to read");
    let site = site(Arc::clone(&pages), &configuration, 1);
    let (slot, _) = site.connections.take().expect("it is the first");
    let (client, stream) = duplex(HELD);
    let server = tokio::spawn(async move {
        let activity = Arc::new(slot.activity());
        let graceful = GracefulShutdown::new();
        let watcher = graceful.watcher();
        let address = Ipv4Addr::LOCALHOST.into();
        requests(stream, http2, address, site, activity, watcher).await;
    });
    (pages, client, server)
}

/// How long to wait for a delivery that must come, on a machine that does other work.
const AT_LAST: Duration = Duration::from_secs(30);
/// How long to wait for a delivery that must not come.
const SOON: Duration = Duration::from_millis(100);

/// Whether the metrics count as delivered within this time.
async fn is_delivered(pages: &LongPages, within: Duration) -> bool {
    let delivery = async {
        while !pages.delivered.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(within, delivery).await.is_ok()
}

/// Reads an HTTP/1 response except for its last `unread` bytes. Returns whether it counts as
/// delivered, first with these bytes unread, and then after the client has read them or closed the
/// connection.
async fn http1(coding: &str, unread: usize, then_reads: bool) -> (bool, bool) {
    // A first, complete read shows the length.
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {coding}\r\nConnection: close\r\n\r\n"
    );
    let (_, mut client, _server) = serve_long_pages(false);
    client
        .write_all(request.as_bytes())
        .await
        .expect("it is served");
    let mut whole = Vec::new();
    client.read_to_end(&mut whole).await.expect("it is served");
    assert!(whole.len() >= LENGTH);
    assert!(whole.ends_with(b"\r\n0\r\n\r\n"));

    let (pages, mut client, server) = serve_long_pages(false);
    client
        .write_all(request.as_bytes())
        .await
        .expect("it is served");
    let mut most = vec![0; whole.len() - unread];
    client.read_exact(&mut most).await.expect("it is served");
    let wait = if unread > HELD { SOON } else { AT_LAST };
    let before = is_delivered(&pages, wait).await;
    if then_reads {
        client.read_to_end(&mut most).await.expect("it is served");
    }
    drop(client);
    server.await.expect("it does not panic");
    (before, pages.delivered.load(Ordering::Relaxed))
}

#[tokio::test]
async fn a_scrape_is_delivered_once_its_last_byte_was_sent() {
    for coding in ["identity", "gzip"] {
        let one_is_not_sent = http1(coding, HELD + 1, true).await;
        assert_eq!(one_is_not_sent, (false, true), "{coding}");
        assert_eq!(http1(coding, HELD, true).await, (true, true), "{coding}");
    }
}

#[tokio::test]
async fn a_scrape_whose_client_disconnects_is_not_delivered() {
    for coding in ["identity", "gzip"] {
        for unread in [HELD + 1, LENGTH / 2] {
            let delivered = http1(coding, unread, false).await;
            assert_eq!(delivered, (false, false), "{coding} {unread}");
        }
    }
}

/// Does the same over HTTP/2. The client reads `taken` bytes of the body and then disconnects.
async fn http2(coding: &str, taken: usize) -> bool {
    let (pages, client, server) = serve_long_pages(true);
    let (mut requests, connection) = h2::client::handshake(client).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get("http://localhost/metrics").header("accept-encoding", coding);
    let request = request.body(()).expect("a request");
    let (response, _) = requests.send_request(request, true).expect("it is served");
    let mut body = response.await.expect("an answer").into_body();
    let mut size = 0;
    while size < taken
        && let Some(piece) = body.data().await
    {
        let piece = piece.expect("the body goes on");
        size += piece.len();
        let _ = body.flow_control().release_capacity(piece.len());
    }
    if size < taken {
        assert!(size >= LENGTH);
        // The end of the stream came after the last byte, and a flush after both.
        is_delivered(&pages, AT_LAST).await;
    }
    connection.abort();
    server.await.expect("it does not panic");
    pages.delivered.load(Ordering::Relaxed)
}

#[tokio::test]
async fn over_http2_a_scrape_is_delivered_once_its_end_was_sent() {
    for coding in ["identity", "gzip"] {
        assert!(http2(coding, usize::MAX).await, "{coding}");
        // hyper has taken the whole body by then, but the window of 65,535 bytes has no room for it.
        assert!(!http2(coding, LENGTH - 90_000).await, "{coding}");
        assert!(!http2(coding, 1).await, "{coding}");
    }
}
