//! What gathers in the kernel's receive buffers: between two reads, and at the end.

use std::fs;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::live::{DATAGRAM, send};
use crate::network::received;
use crate::support::Exporter;

/// Nobody scrapes: only the end tells what was dropped.
#[test]
fn the_totals_at_the_end_say_what_was_dropped_though_nobody_scraped() {
    const SENT: u64 = 20_000;

    let mut exporter = Exporter::start(&["--listen-port", "0", "--receive-buffer", "1"]);
    burst(&mut exporter, SENT);
    let said = terminated(exporter);
    let (frames, dropped) = (total(&said, "frames"), total(&said, "dropped"));
    assert!(frames > 0 && dropped > 0, "{said}");
    assert_eq!(frames + dropped, SENT, "{said}");
}

/// They fit into the default buffer, where none is dropped.
#[test]
fn what_is_in_the_socket_at_the_end_is_counted() {
    const SENT: u64 = 10_000;

    let mut exporter = Exporter::start(&["--listen-port", "0"]);
    burst(&mut exporter, SENT);
    let said = terminated(exporter);
    assert_eq!(total(&said, "frames"), SENT, "{said}");
    assert_eq!(total(&said, "dropped"), 0, "{said}");
}

#[test]
fn a_stream_that_goes_on_does_not_delay_the_end() {
    let mut exporter = Exporter::start(&["--listen-port", "0"]);
    let port = exporter.udp_port();
    thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                // Once nobody listens, that is what the system says.
                let _ = socket.send_to(&DATAGRAM, ("127.0.0.1", port));
            }
        });
        exporter.scrape_until("the stream", |scrape| received(scrape) > 1000.0);
        terminated(exporter);
        drop(stop);
    });
}

/// A wake-up for each datagram costs several times what counting it does.
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
        // 1,000 a second.
        let due = Duration::from_millis(1) * (number + 1);
        thread::sleep(due.saturating_sub(begin.elapsed()));
    }
    let wake_ups = wake_ups(&exporter) - before;
    exporter.scrape_until("all", |scrape| received(scrape) == f64::from(SENT));
    assert!(wake_ups < u64::from(SENT) / 2, "{wake_ups}");
}

/// The first datagram is counted at once, and the second one comes while the exporter waits for
/// more.
#[test]
fn a_scrape_shows_what_came_50_milliseconds_before_it() {
    let mut exporter = Exporter::start(&["--listen-port", "0"]);
    let port = exporter.udp_port();
    let mut delays = Vec::new();
    for number in 1..=21_u32 {
        send(port, &DATAGRAM);
        let sent = Instant::now();
        // When the last scrape began that did not show it.
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
    // The median, because other programs may take the processor at any time.
    delays.sort_unstable();
    assert!(delays[10] < Duration::from_millis(50), "{delays:?}");
}

/// Sends so many datagrams while the exporter is stopped, and leaves it stopped.
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

/// Asks it to end, stopped or not, and returns what it said.
#[track_caller]
fn terminated(exporter: Exporter<'_>) -> String {
    exporter.signal(Signal::SIGTERM);
    exporter.signal(Signal::SIGCONT);
    let begin = Instant::now();
    let (status, said) = exporter.ended();
    assert!(status.success(), "{said}");
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}: {said}");
    said
}

/// A number of the totals that are logged at the end.
#[track_caller]
fn total(said: &str, name: &str) -> u64 {
    let words = said.lines().last().unwrap().split_whitespace();
    let number = words
        .filter_map(|word| word.split_once('='))
        .find_map(|(key, number)| (key == name).then_some(number));
    number.expect(said).parse().unwrap()
}

/// How often its threads began to wait for something.
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
