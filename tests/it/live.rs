//! The daemon with real sockets, a real tshark, and real signals.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use tempfile::TempDir;

use crate::support::{Exporter, eventually, program, testdata, tool};

/// A mirrored packet of 40 bytes, TCP from 10.1.2.3 to 142.250.74.110, as RouterOS sends it.
#[rustfmt::skip]
pub(crate) const DATAGRAM: [u8; 5 + 14 + 40] = [
    1, 0, 0, 1, 1,
    0x02, 0, 0, 0, 0, 0x04,  0x02, 0, 0, 0, 0, 0x03,  0x08, 0x00,
    0x45, 0, 0, 40,  0, 0, 0, 0,  64, 6, 0, 0,  10, 1, 2, 3,  142, 250, 74, 110,
    0xd4, 0x31, 0x01, 0xbb,  0, 0, 0, 1,  0, 0, 0, 2,  0x50, 0x10, 0x01, 0xf5,  0, 0, 0, 0,
];

pub(crate) fn send(port: u16, datagram: &[u8]) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(datagram, ("127.0.0.1", port)).unwrap();
}

fn flow(family: &str, port: u16) -> String {
    format!(
        "{family}{{from=\"10.1.2.3\",from_type=\"private\",to=\"142.250.74.110\",\
         to_type=\"public\",protocol=\"tcp\",listen_port=\"{port}\"}}"
    )
}

#[test]
fn udp_datagrams_are_counted_by_flow() {
    let mut exporter = Exporter::start(&["--listen-port", "0"]);
    let port = exporter.udp_port();
    for _ in 0..3 {
        send(port, &DATAGRAM);
    }
    send(port, &[1, 4, 0, 0]);
    send(port, b"hello");
    let sixth = UdpSocket::bind("[::1]:0").unwrap();
    sixth.send_to(&DATAGRAM[..90 - 42], ("::1", port)).unwrap();

    let scrape = exporter.scrape_until("six datagrams", |scrape| {
        scrape.value("tzsp_frames_received_total") == 6.0
    });
    assert_eq!(
        scrape.value(&flow("tzsp_observed_packets_total", port)),
        4.0
    );
    assert_eq!(
        scrape.value(&flow("tzsp_observed_bytes_total", port)),
        160.0
    );
    let skipped =
        |reason| scrape.value(&format!("tzsp_frames_skipped_total{{reason=\"{reason}\"}}"));
    assert_eq!(skipped("tzsp_keepalive"), 1.0);
    assert_eq!(skipped("not_tzsp"), 1.0);
    assert_eq!(
        scrape.value("tzsp_frames_truncated_total{cause=\"sensor\"}"),
        1.0
    );
    let newest = scrape.value("tzsp_capture_last_frame_timestamp_seconds");
    let age = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64() - newest;
    assert!((0.0..60.0).contains(&age), "{age} seconds old");
}

#[test]
fn datagrams_of_the_largest_size_are_taken_whole() {
    let mut exporter = Exporter::start(&["--listen-port", "0"]);
    let port = exporter.udp_port();
    let mut datagram = DATAGRAM.to_vec();
    datagram.resize(65_507, 0);
    // The inner packet claims all that is left of the datagram: 65,507 - 19 bytes.
    datagram[21..23].copy_from_slice(&65_488_u16.to_be_bytes());
    send(port, &datagram);
    let scrape = exporter.scrape_until("the datagram", |scrape| scrape.value("tzsp_flows") == 1.0);
    assert_eq!(
        scrape.value(&flow("tzsp_observed_bytes_total", port)),
        65_488.0
    );
    assert_eq!(scrape.sum("tzsp_frames_truncated_total"), 0.0);
}

#[test]
fn several_listen_ports_are_told_apart() {
    let free: Vec<_> = (0..2)
        .map(|_| UdpSocket::bind("0.0.0.0:0").unwrap())
        .collect();
    let ports: Vec<_> = free
        .iter()
        .map(|socket| socket.local_addr().unwrap().port())
        .collect();
    drop(free);
    let [first, second] = ports[..] else {
        unreachable!()
    };
    let exporter = Exporter::start(&[
        "--listen-port",
        &first.to_string(),
        "--port",
        &second.to_string(),
    ]);
    send(first, &DATAGRAM);
    send(second, &DATAGRAM);
    send(second, &DATAGRAM);
    let scrape = exporter.scrape_until("both ports", |scrape| {
        scrape.value("tzsp_frames_received_total") == 3.0
    });
    assert_eq!(
        scrape.value(&flow("tzsp_observed_packets_total", first)),
        1.0
    );
    assert_eq!(
        scrape.value(&flow("tzsp_observed_packets_total", second)),
        2.0
    );
}

#[test]
fn replay_feeds_an_exporter() {
    let mut exporter = Exporter::start(&["--listen-port", "0"]);
    let port = exporter.udp_port();
    let capture = testdata().join("routeros_ephemeral_source_port.pcap");
    tool(Command::new(env!("CARGO")).args([
        "xtask",
        "replay",
        capture.to_str().unwrap(),
        "--to",
        &format!("127.0.0.1:{port}"),
        "--loop",
        "10",
    ]));
    // Two packets of 628 bytes together, ten times.
    let scrape = exporter.scrape_until("20 packets", |scrape| {
        scrape.sum("tzsp_observed_packets_total") == 20.0
    });
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 6280.0);
    assert_eq!(scrape.value("tzsp_frames_received_total"), 20.0);
}

#[test]
fn a_real_tshark_captures_on_loopback() {
    // Bound, so that no other test can use it, and never read.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let exporter = Exporter::start(&["--interface", "lo", "--listen-port", &port.to_string()]);
    exporter.scrape_until("the capture runs", |scrape| {
        scrape.value("tzsp_capture_up") == 1.0
    });
    // tshark opens the interface after it wrote its header, so the first ones may be missed.
    let begin = exporter.scrape_until("the first datagram", |scrape| {
        send(port, &DATAGRAM);
        scrape.value("tzsp_frames_received_total") > 0.0
    });
    let sent_until_now = begin.value("tzsp_frames_received_total");
    for _ in 0..100 {
        send(port, &DATAGRAM);
    }
    let scrape = exporter.scrape_until("100 more", |scrape| {
        scrape.value("tzsp_frames_received_total") >= sent_until_now + 100.0
    });
    let packets = scrape.value(&flow("tzsp_observed_packets_total", port));
    let bytes = scrape.value(&flow("tzsp_observed_bytes_total", port));
    assert_eq!(packets, scrape.value("tzsp_frames_received_total"));
    assert_eq!(bytes, 40.0 * packets);

    let tshark = children_of(exporter.pid().as_raw());
    assert!(!tshark.is_empty());
    exporter.signal(Signal::SIGTERM);
    let (status, said) = exporter.ended();
    assert!(status.success(), "{said}");
    for pid in tshark {
        assert!(!is_running(pid), "tshark is still there");
    }
}

/// The processes below this one, down to the last generation.
fn children_of(pid: i32) -> Vec<i32> {
    let children =
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let mut all = Vec::new();
    for child in children.split_whitespace() {
        let child = child.parse().unwrap();
        all.push(child);
        all.extend(children_of(child));
    }
    all
}

fn is_running(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// A directory with a `tshark` in it that runs this shell script.
fn fake_tshark(script: &str) -> TempDir {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("tshark");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

#[test]
fn a_packet_counts_as_soon_as_its_last_byte_is_there() {
    let tools = fake_tshark("exec cat \"$(dirname \"$0\")\"/stream");
    let stream = tools.path().join("stream");
    nix::unistd::mkfifo(&stream, Mode::S_IRWXU).unwrap();
    let exporter = Exporter::start_with_path(
        &["--interface", "eth0", "--listen-port", "37008"],
        Some(tools.path()),
    );
    let mut stream = fs::OpenOptions::new().write(true).open(&stream).unwrap();
    assert_eq!(exporter.scrape().value("tzsp_capture_up"), 0.0);

    let capture = fs::read(testdata().join("pcapng_little_endian.pcapng")).unwrap();
    // Two packets of 52 and 84 bytes; each ends with its block.
    let ends = packet_block_ends(&capture);
    let mut sent = 0;
    for (index, &end) in ends.iter().enumerate() {
        // All but the last byte, in small pieces; each write can be read alone.
        while sent < end - 1 {
            let piece = &capture[sent..(sent + 50).min(end - 1)];
            stream.write_all(piece).unwrap();
            sent += piece.len();
            let scrape = exporter.scrape();
            assert_eq!(scrape.value("tzsp_frames_received_total"), index as f64);
        }
        stream.write_all(&capture[sent..end]).unwrap();
        sent = end;
        exporter.scrape_until("the packet", |scrape| {
            scrape.value("tzsp_frames_received_total") == (index + 1) as f64
        });
    }
    let scrape = exporter.scrape();
    assert_eq!(ends.len(), 2);
    assert_eq!(scrape.value("tzsp_capture_up"), 1.0);
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 136.0);
}

/// Where the enhanced packet blocks of a little-endian capture end.
fn packet_block_ends(capture: &[u8]) -> Vec<usize> {
    let word = |at: usize| u32::from_le_bytes(capture[at..at + 4].try_into().unwrap());
    let mut ends = Vec::new();
    let mut at = 0;
    while at < capture.len() {
        let end = at + word(at + 4) as usize;
        if word(at) == 6 {
            ends.push(end);
        }
        at = end;
    }
    ends
}

#[test]
fn tshark_is_asked_for_what_was_measured() {
    let tools = fake_tshark("echo \"$@\" > \"$(dirname \"$0\")\"/arguments; exec sleep 60");
    let _exporter = Exporter::start_with_path(
        &["--interface", "eth0", "--port", "37008", "--port", "1234"],
        Some(tools.path()),
    );
    let arguments = eventually("the arguments", || {
        fs::read_to_string(tools.path().join("arguments"))
            .ok()
            .filter(|text| text.ends_with('\n'))
    });
    assert_eq!(
        arguments,
        "-p -Q -B 64 -s 256 -f (dst port 37008 or dst port 1234) and udp -i eth0 -w -\n"
    );
}

#[test]
fn without_tshark_one_message_says_what_to_do() {
    let nothing = TempDir::new().unwrap();
    let run = program()
        .args(["--interface", "eth0", "--listen-port", "37008"])
        .args(["--publish-port", "0"])
        .env("PATH", nothing.path())
        .assert()
        .code(1);
    let stderr = String::from_utf8(run.get_output().stderr.clone()).unwrap();
    assert_eq!(
        stderr,
        "error: tshark is not installed, or not on the PATH: install it (Debian, Ubuntu and \
         Alpine: the package tshark; Fedora: wireshark-cli; macOS: wireshark), or leave out \
         --interface to receive on plain UDP sockets\n"
    );
}

#[test]
fn an_interface_that_does_not_exist_ends_the_program() {
    let run = program()
        .args(["--interface", "nope0", "--listen-port", "37008"])
        .args(["--publish-port", "0"])
        .assert()
        .code(1);
    let stderr = String::from_utf8(run.get_output().stderr.clone()).unwrap();
    let error = stderr
        .lines()
        .find(|line| line.starts_with("error: "))
        .unwrap();
    assert!(
        error.contains("There is no device named \"nope0\""),
        "{stderr}"
    );
}

#[test]
fn signals_end_the_program_with_status_0() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let exporter = Exporter::start(&["--listen-port", "0"]);
        exporter.signal(signal);
        let (status, said) = exporter.ended();
        assert_eq!(status.code(), Some(0), "{said}");
        assert!(said.contains(signal.as_str()), "{said}");
    }
}

#[test]
fn a_publish_port_in_use_is_an_error() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let run = program()
        .args(["--listen-port", "0", "--publish-port", &port.to_string()])
        .assert()
        .code(1);
    let stderr = String::from_utf8(run.get_output().stderr.clone()).unwrap();
    let expected = format!(
        "error: cannot publish metrics on TCP port {port}: Address already in use (os error 98); \
         choose another with --publish-port\n"
    );
    assert_eq!(stderr, expected);
}

#[test]
fn a_listen_port_in_use_is_an_error() {
    let taken = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let run = program()
        .args(["--listen-port", &port.to_string(), "--publish-port", "0"])
        .assert()
        .code(1);
    let stderr = String::from_utf8(run.get_output().stderr.clone()).unwrap();
    let expected = format!(
        "error: cannot listen on UDP port {port}: Address already in use (os error 98); \
         is another receiver running?\n"
    );
    assert_eq!(stderr, expected);
}
