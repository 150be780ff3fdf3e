//! Clients that are slow, many, broken or malicious: none of them costs a frame or delays another
//! client's scrape.

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
use crate::support::{Exporter, Place, eventually, fake_tshark, tool};
use crate::website::{HASH, Website};

/// The longest time that a well-behaved scrape may take, whatever others do.
const PROMPT: Duration = Duration::from_secs(1);

fn connect(exporter: &Exporter<'_>) -> TcpStream {
    TcpStream::connect(("127.0.0.1", exporter.port)).unwrap()
}

/// Scrapes, in time.
#[track_caller]
fn prompt_scrape(exporter: &Exporter<'_>) -> Scrape {
    let begin = Instant::now();
    let scrape = exporter.scrape();
    let took = begin.elapsed();
    assert!(took < PROMPT, "a scrape took {took:?}");
    scrape
}

#[track_caller]
fn refused(scrape: &Scrape, reason: &str) -> f64 {
    scrape.value(&format!("tzsp_http_refused_total{{reason=\"{reason}\"}}"))
}

/// All that comes until the server closes the connection or resets it.
fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sent while something goes on.
const FRAMES: u32 = 5000;

/// Sends frames while something goes on, and checks that each was counted.
#[track_caller]
fn counting_frames(arguments: &[&str], trouble: impl FnOnce(&Exporter<'_>)) -> Scrape {
    let mut exporter = Exporter::start(&[&["--listen-port", "0"], arguments].concat());
    let port = exporter.udp_port();
    thread::scope(|scope| {
        scope.spawn(|| (0..FRAMES).for_each(|_| send(port, &DATAGRAM)));
        trouble(&exporter);
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
    let scrape = counting_frames(&[], |exporter| {
        let mut held = Vec::new();
        for round in 0..4 {
            held.extend((0..500).map(|number| {
                let mut stream = connect(exporter);
                // Some say nothing, some a little.
                if number % 2 == 0 {
                    // It may be closed already.
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
    // 2,000 came, and there are 512 slots.
    let evicted = refused(&scrape, "connections");
    assert!(evicted >= 2000.0 - 512.0, "{evicted}");
}

/// A TLS ClientHello, which costs an attacker nothing to send again.
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
        // Not where the others come from.
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
    // What shakes hands, and curl itself, need the processors too.
    times.sort_unstable();
    let took = times[times.len() / 2];
    assert!(took < PROMPT, "scrapes took {took:?}");
    let scrape = eventually("all frames", || {
        let (_, scrape) = scrape();
        (scrape.sum("tzsp_observed_packets_total") == f64::from(FRAMES)).then_some(scrape)
    });
    assert_eq!(scrape.value("tzsp_capture_dropped_total"), 0.0);
    // Those that were evicted, and those whose client hung up.
    let gone = refused(&scrape, "connections") + refused(&scrape, "tls");
    assert!(gone >= (HELLOS - 512) as f64, "{gone}");
}

#[test]
fn half_open_connections_delay_no_scrape() {
    let network = Network::new();
    let place = Place {
        host: Some(&network.collector),
        ..Place::default()
    };
    let exporter = Exporter::start_at(&place, &["--listen-port", "37008"]);
    let address = SocketAddr::from((COLLECTOR, exporter.port));
    let gone: Vec<_> = network.sensor.run(|| {
        let connections = (0..600).map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n");
            stream
        });
        connections.collect()
    });
    // Nothing tells the exporter that they are gone.
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
    // A byte now and then makes no difference.
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
    let scrape = counting_frames(&[], |exporter| {
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
        // Ends in the middle of everything.
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
        // It may be refused before its end.
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
        // What is still on its way when the server closes may take the answer back.
        assert!(answer.is_empty() || answer == too_large, "{answer}");
    }
    assert_eq!(refused(&exporter.scrape(), "header_size"), 3.0);
}

#[test]
fn requests_sent_at_once_are_answered_in_order() {
    let scrape = counting_frames(&[], |exporter| {
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

        // A body that never ends is not read.
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

/// Has some 12 MB of text for each scrape: more than any socket holds for its client.
pub(crate) fn loaded(arguments: &[&str]) -> (tempfile::TempDir, Exporter<'static>) {
    loaded_through(&[], arguments)
}

/// The same, started through a command.
fn loaded_through(through: &[&str], arguments: &[&str]) -> (tempfile::TempDir, Exporter<'static>) {
    let (tools, exporter) = start_loading(through, arguments);
    exporter.scrape_until("all flows", |scrape| scrape.value("tzsp_flows") == 40_000.0);
    (tools, exporter)
}

/// The same, before all of it is there: 40,000 packets that count, one in each flow.
fn start_loading(through: &[&str], arguments: &[&str]) -> (tempfile::TempDir, Exporter<'static>) {
    let tools = fake_tshark("cat load; exec sleep 60");
    let load = tools.path().join("load");
    let generate = [
        "xtask",
        "generate",
        load.to_str().unwrap(),
        "--format",
        "pcapng",
    ];
    let size = ["--packets", "40000", "--flows", "40000", "--snaplen", "128"];
    tool(Command::new(env!("CARGO")).args(generate).args(size));
    let place = Place {
        tools: Some(tools.path()),
        through,
        ..Place::default()
    };
    let own = [
        "--interface",
        "eth0",
        "--listen-port",
        "37008",
        "--max-flows",
        "50000",
    ];
    let exporter = Exporter::start_at(&place, &[&own, arguments].concat());
    (tools, exporter)
}

fn ask_for_metrics(exporter: &Exporter<'_>) -> TcpStream {
    let mut stream = connect(exporter);
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    stream
}

#[test]
fn stalled_scrapes_are_evicted_for_new_ones() {
    let (_tools, exporter) = loaded(&["--web.max-requests", "3"]);
    let stalled: Vec<_> = (0..3).map(|_| ask_for_metrics(&exporter)).collect();
    eventually("a scrape of one's own", || {
        (exporter.get("/metrics").0 == 200).then_some(())
    });
    eventually("an evicted scrape", || {
        let (status, body) = exporter.get("/metrics");
        (status == 200)
            .then(|| Scrape::parse(&body))
            .filter(|scrape| refused(scrape, "slow_response") >= 1.0)
    });
    drop(stalled);
}

#[test]
fn flows_stay_when_the_scrape_that_shows_them_breaks_off() {
    const IDLE: Duration = Duration::from_secs(1);

    let (_tools, exporter) = start_loading(&[], &["--flow-idle-timeout", "1s"]);
    eventually("all packets", || {
        // Not a scrape: it shows no flow to Prometheus.
        let (_, overview) = exporter.get("/api/flows");
        overview.contains("\"counted\": 40000,").then_some(())
    });
    let idle_from = Instant::now();
    while idle_from.elapsed() <= 2 * IDLE {
        let mut client = ask_for_metrics(&exporter);
        client.read_exact(&mut [0; 1024]).unwrap();
        // What was sent and not read makes this a reset.
        drop(client);
    }
    assert_eq!(exporter.scrape().value("tzsp_flows"), 40_000.0);
    // Now they were shown.
    assert_eq!(exporter.scrape().value("tzsp_flows"), 0.0);
}

#[test]
fn memory_limits_the_number_of_concurrent_scrapes() {
    let never_idle = ["--flow-idle-timeout", "0"];
    let (_tools, mut exporter) = loaded_through(&["prlimit", "--data=67108864"], &never_idle);
    // 32 MiB and 50,000 * 128 bytes leave room for three times 4 MiB and 50,000 * 96 bytes.
    exporter
        .line_with("answering at most 3 concurrent scrapes instead of 40: ulimit -d allows 64 MiB");
    let stalled: Vec<_> = (0..40).map(|_| ask_for_metrics(&exporter)).collect();
    let scrape = eventually("a scrape", || {
        let (status, body) = exporter.get("/metrics");
        (status == 200).then(|| Scrape::parse(&body))
    });
    assert!(refused(&scrape, "max_requests") >= 1.0);
    drop(stalled);
}

#[test]
fn scrapes_beyond_the_limit_are_refused_and_counted() {
    let (_tools, exporter) = loaded(&["--web.max-requests", "1"]);
    let mut busy = ask_for_metrics(&exporter);
    // Reads what comes, slowly: it must not be evicted.
    let refusal = loop {
        let mut piece = [0; 16 * 1024];
        let size = busy.read(&mut piece).unwrap();
        let text = String::from_utf8_lossy(&piece[..size]);
        assert!(
            !text.ends_with("0\r\n\r\n"),
            "it ended, and nobody was refused"
        );
        let (status, body) = exporter.get("/metrics");
        if status == 503 {
            break body;
        }
    };
    assert_eq!(
        refusal,
        "Too many scrapes at a time: the limit is --web.max-requests. Try again later.\n"
    );
    // Other pages are no scrapes.
    assert_eq!(exporter.get("/-/healthy").0, 200);
    drop(busy);
    eventually("a scrape", || {
        let (status, body) = exporter.get("/metrics");
        let scrape = (status == 200).then(|| Scrape::parse(&body))?;
        (refused(&scrape, "max_requests") >= 1.0).then_some(())
    });
}

#[test]
fn guessing_passwords_locks_no_user_out() {
    let site = Website::new(&format!("basic_auth_users: {{prometheus: {HASH}}}"));
    let exporter = site.start(&[]);
    let url = exporter.url("/metrics").replace("localhost", "127.0.0.1");
    let ask = |user: &str| site.curl_url(&url, &["--user", user]);
    // Each asks again as soon as it is refused.
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
        // First a password that is not cached, then one that is.
        eventually("a user gets in", || {
            (ask("prometheus:secret").status == 200).then_some(())
        });
        let begin = Instant::now();
        assert_eq!(ask("prometheus:secret").status, 200);
        assert!(begin.elapsed() < PROMPT, "{:?}", begin.elapsed());
        for guesser in guessers {
            guesser.join().unwrap();
        }
    });
    let answer = ask("prometheus:secret");
    let scrape = Scrape::parse(&answer.body);
    let (wrong, turned_away) = (
        refused(&scrape, "unauthorized"),
        refused(&scrape, "password_queue"),
    );
    assert_eq!(wrong + turned_away, 240.0, "{wrong} and {turned_away}");
    assert!(turned_away > 0.0);
}

#[test]
fn without_file_descriptors_the_exporter_waits_and_warns_once() {
    let mut exporter = Exporter::start(&["--listen-port", "0"]);
    let port = exporter.udp_port();
    // Fewer than the connections that come, and enough for what it has.
    let open = std::fs::read_dir(format!("/proc/{}/fd", exporter.pid()))
        .unwrap()
        .count();
    let limit = format!("--nofile={0}:{0}", open + 8);
    tool(Command::new("prlimit").args([&format!("--pid={}", exporter.pid()), &limit]));
    let begin = Instant::now();
    let held: Vec<_> = (0..100).map(|_| connect(&exporter)).collect();
    let line = exporter.line_with("cannot accept a connection");
    assert!(line.contains("Too many open files (os error 24)"), "{line}");
    send(port, &DATAGRAM);
    drop(held);
    let scrape = exporter.scrape_until("the frame", |scrape| {
        scrape.value("tzsp_frames_received_total") == 1.0
    });
    // It fails once every 100 ms, rather than all the time.
    let tries = refused(&scrape, "accept");
    let most = begin.elapsed().as_secs_f64() * 10.0 + 1.0;
    assert!((1.0..=most).contains(&tries), "{tries} of {most}");
    exporter.signal(nix::sys::signal::Signal::SIGTERM);
    let (status, said) = exporter.ended();
    assert!(status.success());
    assert_eq!(said.matches("cannot accept").count(), 1, "{said}");
}

#[test]
fn connections_use_at_most_half_of_the_file_descriptors() {
    let exporter = Exporter::start_at(
        &Place {
            through: &["prlimit", "--nofile=64"],
            ..Place::default()
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
