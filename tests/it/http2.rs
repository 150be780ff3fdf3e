//! Malicious HTTP/2 clients. No client library sends such requests, so the tests write the frames
//! of RFC 9113 byte by byte.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::scrape::Scrape;
use crate::support::Exporter;
use crate::website::Website;

type Connection = StreamOwned<ClientConnection, TcpStream>;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET https://localhost/metrics`, encoded with the static table of RFC 7541.
const REQUEST: &[u8] = b"\x82\x87\x04\x08/metrics\x01\x09localhost";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

fn headers(flags: u8, stream: u32) -> Vec<u8> {
    frame(1, flags, stream, REQUEST)
}

/// Connects with a flow-control window of 0, so the server cannot send any response body.
fn connect(site: &Website, exporter: &Exporter<'_>) -> Connection {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(site.authority.pem.as_bytes()).unwrap();
    roots.add(authority).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = "localhost".try_into().unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", exporter.port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut connection = StreamOwned::new(client, stream);
    let no_window = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    connection
        .write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &no_window[..]].concat())
        .unwrap();
    connection
}

/// Sends frames until the server closes the connection.
#[track_caller]
fn flood(mut connection: Connection, frames: impl Iterator<Item = Vec<u8>>) {
    for frame in frames {
        if connection.write_all(&frame).is_err() {
            return;
        }
    }
    // The server may send more, but must close the connection in the end.
    let end = connection.read_to_end(&mut Vec::new());
    let kind = end.err().map(|error| error.kind());
    assert_ne!(kind, Some(std::io::ErrorKind::WouldBlock), "still open");
}

#[track_caller]
fn prompt_scrape(site: &Website, exporter: &Exporter<'_>) -> Scrape {
    let begin = Instant::now();
    let answer = site.curl(exporter, "/metrics", &["--http2"]);
    assert_eq!(answer.status, 200);
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(1), "a scrape took {took:?}");
    Scrape::parse(&answer.body)
}

#[test]
fn floods_of_frames_end_their_connection_and_are_counted() {
    let site = Website::new("tls_server_config: {cert_file: server.crt, key_file: server.key}");
    let exporter = site.start(&[]);
    let streams = (0..50_000).map(|number| 2 * number + 1);
    let open = |stream| headers(END_HEADERS | END_STREAM, stream);
    let reset = |stream| frame(3, 0, stream, &[0, 0, 0, 8]);
    let opened_and_reset = streams.map(|stream| [open(stream), reset(stream)].concat());
    flood(connect(&site, &exporter), opened_and_reset);
    prompt_scrape(&site, &exporter);

    // CVE-2024-27316: a header block of endless CONTINUATION frames.
    let header = [b"\x00\x01x\x64", &[b'y'; 100][..]].concat();
    let endless = (0..50_000).map(|_| frame(9, 0, 1, &header));
    flood(
        connect(&site, &exporter),
        std::iter::once(headers(END_STREAM, 1)).chain(endless),
    );
    let scrape = prompt_scrape(&site, &exporter);
    let malformed = "tzsp_http_refused_total{reason=\"malformed\"}";
    assert_eq!(scrape.value(malformed), 2.0);
}

#[test]
fn unread_responses_delay_no_other_client() {
    let site = Website::new("tls_server_config: {cert_file: server.crt, key_file: server.key}");
    let exporter = site.start(&[]);
    let held: Vec<_> = (0..60)
        .map(|_| {
            let mut connection = connect(&site, &exporter);
            for number in 0..16 {
                let request = headers(END_HEADERS | END_STREAM, 2 * number + 1);
                connection.write_all(&request).unwrap();
            }
            connection
        })
        .collect();
    let scrape = prompt_scrape(&site, &exporter);
    assert_eq!(scrape.value("tzsp_http_connections"), 61.0);
    drop(held);
}

#[test]
fn headers_beyond_their_limit_are_refused_and_counted() {
    let site = Website::new("tls_server_config: {cert_file: server.crt, key_file: server.key}");
    let exporter = site.start(&[]);
    let ask = |size: usize| {
        let header = format!("X: {}", "y".repeat(size));
        site.curl(&exporter, "/metrics", &["--http2", "--header", &header])
    };
    let answer = ask(15_000);
    assert_eq!((answer.status, answer.version.as_str()), (200, "2"));
    let refused = "tzsp_http_refused_total{reason=\"header_size\"}";
    assert_eq!(Scrape::parse(&answer.body).value(refused), 0.0);
    for size in [17_000, 30_000] {
        let answer = ask(size);
        assert_eq!((answer.status, answer.version.as_str()), (431, "2"));
        assert_eq!(answer.body, "The headers of the request are too large.\n");
    }
    // The HTTP library itself refuses larger headers, so they are not counted.
    assert_eq!(ask(60_000).status, 431);
    let scrape = prompt_scrape(&site, &exporter);
    assert_eq!(scrape.value(refused), 2.0);
}
