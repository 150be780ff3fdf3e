//! Slow, numerous, broken or malicious clients: none of them makes the exporter lose a frame or
//! delays the scrape of another client.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::live::{DATAGRAM, send};
use crate::namespace::{COLLECTOR, Network};
use crate::scrape::Scrape;
use crate::support::{Exporter, LaunchOptions, eventually, tool};
use crate::website::{HASH, Website};

/// The longest time that a well-behaved scrape may take, whatever other clients do.
const MAX_SCRAPE_TIME: Duration = Duration::from_secs(1);

pub(crate) fn connect(exporter: &Exporter<'_>) -> TcpStream {
    TcpStream::connect(("127.0.0.1", exporter.port)).unwrap()
}

/// Scrapes, and checks that this takes less than [`MAX_SCRAPE_TIME`].
#[track_caller]
fn prompt_scrape(exporter: &Exporter<'_>) -> Scrape {
    let begin = Instant::now();
    let scrape = exporter.scrape();
    let took = begin.elapsed();
    assert!(took < MAX_SCRAPE_TIME, "a scrape took {took:?}");
    scrape
}

#[track_caller]
pub(crate) fn refused(scrape: &Scrape, reason: &str) -> f64 {
    scrape.value(&format!("tzsp_http_refused_total{{reason=\"{reason}\"}}"))
}

/// Reads until the server closes or resets the connection.
fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The number of frames that are sent during a disturbance.
const FRAMES: u32 = 5000;

/// Sends frames during a disturbance, and checks that each was counted.
#[track_caller]
fn check_all_frames_counted_during(
    arguments: &[&str],
    disturbance: impl FnOnce(&Exporter<'_>),
) -> Scrape {
    let mut exporter = Exporter::start(&[&["--listen-port", "0"], arguments].concat());
    let port = exporter.udp_port();
    thread::scope(|scope| {
        scope.spawn(|| (0..FRAMES).for_each(|_| send(port, &DATAGRAM)));
        disturbance(&exporter);
    });
    let scrape = exporter.scrape_until("all frames", |scrape| {
        scrape.value("tzsp_frames_received_total") == f64::from(FRAMES)
    });
    assert_eq!(scrape.sum("tzsp_observed_packets_total"), f64::from(FRAMES));
    assert_eq!(scrape.value("tzsp_capture_dropped_total"), 0.0);
    scrape
}

#[test]
fn thousands_of_silent_connections_delay_no_scrape() {
    let scrape = check_all_frames_counted_during(&[], |exporter| {
        let mut held = Vec::new();
        for round in 0..4 {
            held.extend((0..500).map(|number| {
                let mut stream = connect(exporter);
                // Half of the clients send nothing, the others an incomplete request.
                if number % 2 == 0 {
                    // The connection may have been evicted already.
                    let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost");
                }
                stream
            }));
            let scrape = prompt_scrape(exporter);
            let open = scrape.value("tzsp_http_connections");
            assert!(open <= 512.0, "{round}: {open}");
        }
        assert_eq!(held.len(), 2000);
    });
    // 2,000 connections were made, and there are 512 slots.
    let evicted = refused(&scrape, "connections");
    assert!(evicted >= 2000.0 - 512.0, "{evicted}");
}

/// A TLS ClientHello. An attacker can send the same one again and again without computing anything.
fn client_hello() -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

#[test]
fn thousands_of_handshakes_delay_no_scrape() {
    const HELLOS: usize = 3000;

    let site = Website::new("tls_server_config: {cert_file: server.crt, key_file: server.key}");
    let mut exporter = site.start(&[]);
    let udp = exporter.udp_port();
    let server = SocketAddr::from(([127, 0, 0, 1], exporter.port));
    let hello = client_hello();
    let shake_hands = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // Another client address than that of the well-behaved scrapes.
        let own = SocketAddr::from(([127, 0, 0, 2], 0));
        socket.bind(&own.into()).unwrap();
        socket.connect(&server.into()).unwrap();
        let mut stream = TcpStream::from(socket);
        let _ = stream.write_all(&hello);
        stream
    };
    let scrape = || {
        let begin = Instant::now();
        let answer = site.curl(&exporter, "/metrics", &["--ipv4"]);
        assert_eq!(answer.status, 200);
        (begin.elapsed(), Scrape::parse(&answer.body))
    };
    let mut times = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| (0..FRAMES).for_each(|_| send(udp, &DATAGRAM)));
        let all = scope.spawn(|| (0..HELLOS).map(|_| shake_hands()).collect::<Vec<_>>());
        loop {
            times.push(scrape().0);
            if all.is_finished() {
                break;
            }
        }
    });
    // The median, because the flood and curl itself compete for the processors.
    times.sort_unstable();
    let took = times[times.len() / 2];
    assert!(took < MAX_SCRAPE_TIME, "scrapes took {took:?}");
    let scrape = eventually("all frames", || {
        let (_, scrape) = scrape();
        (scrape.sum("tzsp_observed_packets_total") == f64::from(FRAMES)).then_some(scrape)
    });
    assert_eq!(scrape.value("tzsp_capture_dropped_total"), 0.0);
    // Evicted connections, and those that the client closed.
    let gone = refused(&scrape, "connections") + refused(&scrape, "tls");
    assert!(gone >= (HELLOS - 512) as f64, "{gone}");
}

#[test]
fn half_open_connections_delay_no_scrape() {
    let network = Network::new();
    let launch = LaunchOptions {
        host: Some(&network.collector),
        ..LaunchOptions::default()
    };
    let exporter = Exporter::start_with(&launch, &["--listen-port", "37008"]);
    let address = SocketAddr::from((COLLECTOR, exporter.port));
    let gone: Vec<_> = network.sensor.run(|| {
        let connections = (0..600).map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n");
            stream
        });
        connections.collect()
    });
    // The exporter receives neither FIN nor RST for them.
    network.pull_out();
    let scrape = prompt_scrape(&exporter);
    assert!(scrape.value("tzsp_http_connections") > 500.0);
    drop(gone);
}

#[test]
fn clients_without_a_request_are_disconnected_after_ten_seconds() {
    let site = Website::new("tls_server_config: {cert_file: server.crt, key_file: server.key}");
    let (plain, tls) = (Exporter::start(&["--listen-port", "0"]), site.start(&[]));
    let mut silent = [connect(&plain), connect(&tls)];
    let mut slow = connect(&plain);
    let begin = Instant::now();
    // Sending a byte now and then must not extend the timeout.
    let mut header = b"GET / HTTP/1.1\r\nX-Slow: "
        .iter()
        .chain([b'x'].iter().cycle());
    slow.set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    loop {
        assert!(
            begin.elapsed() < Duration::from_secs(25),
            "it is still open"
        );
        let byte = *header.next().unwrap();
        if slow.write_all(&[byte]).is_err() {
            break;
        }
        match slow.read(&mut [0]) {
            Ok(0) => break,
            Ok(_) => panic!("an answer to half a question"),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    for stream in &mut silent {
        assert_eq!(rest(stream), "");
    }
    assert!(begin.elapsed() >= Duration::from_secs(9));
    assert_eq!(refused(&plain.scrape(), "first_request"), 2.0);
}

#[test]
fn garbage_is_refused_and_counted() {
    let scrape = check_all_frames_counted_during(&[], |exporter| {
        let garbage: [&[u8]; 6] = [
            b"\0\0\0\0\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        ];
        for bytes in garbage {
            let mut stream = connect(exporter);
            stream.write_all(bytes).unwrap();
            let answer = rest(&mut stream);
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
                "{answer}"
            );
            prompt_scrape(exporter);
        }
        // Requests that end after each possible number of bytes.
        let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        for length in 0..request.len() {
            let mut stream = connect(exporter);
            stream.write_all(&request[..length]).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let answer = rest(&mut stream);
            assert!(!answer.contains("tzsp"), "{length}");
        }
    });
    assert_eq!(refused(&scrape, "malformed"), 6.0);
}

#[test]
fn headers_beyond_their_limits_are_refused_and_counted() {
    let exporter = Exporter::start(&["--listen-port", "0"]);
    let status = |header: &str| {
        let mut stream = connect(&exporter);
        let request = format!("GET / HTTP/1.1\r\nConnection: close\r\n{header}\r\n");
        // The server may refuse the request before all of it was sent.
        let _ = stream.write_all(request.as_bytes());
        let answer = rest(&mut stream);
        answer.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(status(&"X: y\r\n".repeat(60)), "HTTP/1.1 200 OK");
    assert_eq!(
        status(&format!("X: {}\r\n", "y".repeat(8000))),
        "HTTP/1.1 200 OK"
    );
    let too_large = "HTTP/1.1 431 Request Header Fields Too Large";
    assert_eq!(status(&"X: y\r\n".repeat(70)), too_large);
    for size in [17_000, 10_000_000] {
        let answer = status(&format!("X: {}\r\n", "y".repeat(size)));
        // If data arrives after the server has closed, the connection is reset and the answer is
        // lost.
        assert!(answer.is_empty() || answer == too_large, "{answer}");
    }
    assert_eq!(refused(&exporter.scrape(), "header_size"), 3.0);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let scrape = check_all_frames_counted_during(&[], |exporter| {
        let mut stream = connect(exporter);
        let one = "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\nGET /no HTTP/1.1\r\nHost: x\r\n\r\n";
        let last = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream
            .write_all((one.repeat(500) + last).as_bytes())
            .unwrap();
        let answers = rest(&mut stream);
        let statuses: Vec<_> = answers
            .lines()
            .filter_map(|line| line.strip_prefix("HTTP/1.1 "))
            .collect();
        assert_eq!(statuses.len(), 1001);
        for pair in statuses[..1000].chunks(2) {
            assert_eq!(pair, ["200 OK", "404 Not Found"]);
        }
        assert_eq!(statuses[1000], "200 OK");

        // An endless request body is not read.
        let mut endless = connect(exporter);
        let begin = "POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        endless.write_all(begin.as_bytes()).unwrap();
        for _ in 0..1000 {
            if endless
                .write_all(format!("400\r\n{}\r\n", "x".repeat(1024)).as_bytes())
                .is_err()
            {
                break;
            }
        }
        let answer = rest(&mut endless);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"),
            "{answer}"
        );
    });
    assert_eq!(refused(&scrape, "malformed"), 0.0);
}

#[test]
fn guessing_passwords_locks_no_user_out() {
    let site = Website::new(&format!("basic_auth_users: {{prometheus: {HASH}}}"));
    let exporter = site.start(&[]);
    let url = exporter.url("/metrics").replace("localhost", "127.0.0.1");
    let ask = |user: &str| site.curl_url(&url, &["--user", user]);
    // curl sends the next guess as soon as the last one is refused.
    let guess = "for n in $(seq 40); do printf 'url=%s\\noutput=/dev/null\\n' \"$0\"; done | \
                 curl --silent --interface 127.0.0.2 --user prometheus:guess --config - --parallel \
                 --parallel-immediate --parallel-max 40 --max-time 60";
    let guess_passwords = || {
        tool(Command::new("sh").args(["-c", guess, &url]));
    };
    thread::scope(|scope| {
        let guessers: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| (0..3).for_each(|_| guess_passwords())))
            .collect();
        // The first request checks the password with bcrypt, later ones find it cached.
        eventually("a user gets in", || {
            (ask("prometheus:secret").status == 200).then_some(())
        });
        let begin = Instant::now();
        assert_eq!(ask("prometheus:secret").status, 200);
        assert!(begin.elapsed() < MAX_SCRAPE_TIME, "{:?}", begin.elapsed());
        for guesser in guessers {
            guesser.join().unwrap();
        }
    });
    let answer = ask("prometheus:secret");
    let scrape = Scrape::parse(&answer.body);
    let (wrong, rejected) = (
        refused(&scrape, "unauthorized"),
        refused(&scrape, "password_queue"),
    );
    assert_eq!(wrong + rejected, 240.0, "{wrong} and {rejected}");
    assert!(rejected > 0.0);
}

#[test]
fn without_file_descriptors_the_exporter_waits_and_warns_once() {
    let mut exporter = Exporter::start(&["--listen-port", "0"]);
    let port = exporter.udp_port();
    // Fewer than the connections below, and enough for the descriptors that are already open.
    let open = std::fs::read_dir(format!("/proc/{}/fd", exporter.pid()))
        .unwrap()
        .count();
    let limit = format!("--nofile={0}:{0}", open + 8);
    tool(Command::new("prlimit").args([&format!("--pid={}", exporter.pid()), &limit]));
    let begin = Instant::now();
    let held: Vec<_> = (0..100).map(|_| connect(&exporter)).collect();
    let line = exporter.wait_for_line("cannot accept a connection");
    assert!(line.contains("Too many open files (os error 24)"), "{line}");
    send(port, &DATAGRAM);
    drop(held);
    let scrape = exporter.scrape_until("the frame", |scrape| {
        scrape.value("tzsp_frames_received_total") == 1.0
    });
    // It retries every 100 ms instead of in a busy loop.
    let tries = refused(&scrape, "accept");
    let most = begin.elapsed().as_secs_f64() * 10.0 + 1.0;
    assert!((1.0..=most).contains(&tries), "{tries} of {most}");
    exporter.signal(nix::sys::signal::Signal::SIGTERM);
    let (status, log) = exporter.wait_for_exit();
    assert!(status.success());
    assert_eq!(log.matches("cannot accept").count(), 1, "{log}");
}

#[test]
fn connections_use_at_most_half_of_the_file_descriptors() {
    let exporter = Exporter::start_with(
        &LaunchOptions {
            wrapper: &["prlimit", "--nofile=64"],
            ..LaunchOptions::default()
        },
        &["--listen-port", "0"],
    );
    let held: Vec<_> = (0..200).map(|_| connect(&exporter)).collect();
    let scrape = prompt_scrape(&exporter);
    assert_eq!(scrape.value("tzsp_http_connections"), 32.0);
    assert_eq!(refused(&scrape, "accept"), 0.0);
    assert!(scrape.value("process_open_fds") <= 64.0);
    drop(held);
}
