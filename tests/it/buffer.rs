//! Datagrams that wait in the kernel's receive buffer, between two reads and at shutdown.

use std::fs;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::live::{DATAGRAM, send};
use crate::network::received;
use crate::support::Exporter;

/// Without a scrape, drops are read from the kernel only at shutdown.
#[test]
fn the_final_totals_include_drops_even_without_a_scrape() {
    const SENT: u64 = 20_000;

    let mut exporter = Exporter::start(&["--listen-port", "0", "--receive-buffer", "1"]);
    burst(&mut exporter, SENT);
    let log = terminated(exporter);
    let (frames, dropped) = (total(&log, "frames"), total(&log, "dropped"));
    assert!(frames > 0 && dropped > 0, "{log}");
    assert_eq!(frames + dropped, SENT, "{log}");
}

/// All of them fit into the default receive buffer.
#[test]
fn packets_in_the_socket_at_shutdown_are_counted() {
    const SENT: u64 = 10_000;

    let mut exporter = Exporter::start(&["--listen-port", "0"]);
    burst(&mut exporter, SENT);
    let log = terminated(exporter);
    assert_eq!(total(&log, "frames"), SENT, "{log}");
    assert_eq!(total(&log, "dropped"), 0, "{log}");
}

#[test]
fn a_continuing_stream_does_not_delay_shutdown() {
    let mut exporter = Exporter::start(&["--listen-port", "0"]);
    let port = exporter.udp_port();
    thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                // Fails once the exporter has closed its socket.
                let _ = socket.send_to(&DATAGRAM, ("127.0.0.1", port));
            }
        });
        exporter.scrape_until("the stream", |scrape| received(scrape) > 1000.0);
        terminated(exporter);
        drop(stop);
    });
}

/// Waking up for a datagram costs several times as much as counting it.
#[test]
fn at_an_ordinary_rate_a_wake_up_serves_several_datagrams() {
    const SENT: u32 = 1_000;

    let mut exporter = Exporter::start(&["--listen-port", "0"]);
    let port = exporter.udp_port();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let before = wake_ups(&exporter);
    let begin = Instant::now();
    for number in 0..SENT {
        socket.send_to(&DATAGRAM, ("127.0.0.1", port)).unwrap();
        // 1,000 datagrams a second.
        let due = Duration::from_millis(1) * (number + 1);
        thread::sleep(due.saturating_sub(begin.elapsed()));
    }
    let wake_ups = wake_ups(&exporter) - before;
    exporter.scrape_until("all", |scrape| received(scrape) == f64::from(SENT));
    assert!(wake_ups < u64::from(SENT) / 2, "{wake_ups}");
}

/// The exporter counts the first datagram at once, then waits a little so that it reads several at
/// a time. A later datagram must not wait longer than this.
#[test]
fn a_scrape_shows_datagrams_received_50_milliseconds_before() {
    let mut exporter = Exporter::start(&["--listen-port", "0"]);
    let port = exporter.udp_port();
    let mut delays = Vec::new();
    for number in 1..=21_u32 {
        send(port, &DATAGRAM);
        let sent = Instant::now();
        // When the last scrape without the datagram began.
        let mut missing = sent;
        loop {
            let asked = Instant::now();
            if received(&exporter.scrape()) == f64::from(number) {
                break;
            }
            missing = asked;
            assert!(sent.elapsed() < Duration::from_secs(30), "it never shows");
        }
        delays.push(missing - sent);
    }
    // The median, because other processes may occupy the processor at any time.
    delays.sort_unstable();
    assert!(delays[10] < Duration::from_millis(50), "{delays:?}");
}

/// Stops the exporter with SIGSTOP and sends this many datagrams. The exporter stays stopped.
fn burst(exporter: &mut Exporter<'_>, count: u64) {
    let port = exporter.udp_port();
    let mut datagram = DATAGRAM.to_vec();
    datagram.resize(1000, 0);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    exporter.signal(Signal::SIGSTOP);
    for _ in 0..count {
        socket.send_to(&datagram, ("127.0.0.1", port)).unwrap();
    }
}

/// Terminates the exporter, continuing it if it is stopped, and returns its log.
#[track_caller]
fn terminated(exporter: Exporter<'_>) -> String {
    exporter.signal(Signal::SIGTERM);
    exporter.signal(Signal::SIGCONT);
    let begin = Instant::now();
    let (status, log) = exporter.wait_for_exit();
    assert!(status.success(), "{log}");
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}: {log}");
    log
}

/// One of the totals in the last log line.
#[track_caller]
fn total(log: &str, name: &str) -> u64 {
    let words = log.lines().last().unwrap().split_whitespace();
    let number = words
        .filter_map(|word| word.split_once('='))
        .find_map(|(key, number)| (key == name).then_some(number));
    number.expect(log).parse().unwrap()
}

/// The voluntary context switches of all its threads.
fn wake_ups(exporter: &Exporter<'_>) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", exporter.pid())).unwrap();
    let of_task = |status: String| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    tasks
        .map(|task| of_task(fs::read_to_string(task.unwrap().path().join("status")).unwrap()))
        .sum()
}
