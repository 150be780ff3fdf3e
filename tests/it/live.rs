//! The daemon with real sockets, a real tshark and real signals.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::{Exporter, LaunchOptions, file_name, program, testdata, tool};

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
fn datagrams_of_the_largest_size_are_received_completely() {
    let mut exporter = Exporter::start(&["--listen-port", "0"]);
    let port = exporter.udp_port();
    let mut datagram = DATAGRAM.to_vec();
    datagram.resize(65_507, 0);
    // The inner packet takes up the rest of the datagram: 65,507 - 19 bytes.
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
fn several_listen_ports_are_counted_apart() {
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
    // Two packets with 628 bytes in total, ten times.
    let scrape = exporter.scrape_until("20 packets", |scrape| {
        scrape.sum("tzsp_observed_packets_total") == 20.0
    });
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 6280.0);
    assert_eq!(scrape.value("tzsp_frames_received_total"), 20.0);
}

#[test]
fn signals_end_the_program_with_status_0() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let exporter = Exporter::start(&["--listen-port", "0"]);
        exporter.signal(signal);
        let (status, log) = exporter.wait_for_exit();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains(signal.as_str()), "{log}");
    }
}

#[test]
fn a_publish_port_in_use_is_an_error_that_names_its_user() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let run = program()
        .args(["--listen-port", "0", "--publish-port", &port.to_string()])
        .assert()
        .code(1);
    let stderr = String::from_utf8(run.get_output().stderr.clone()).unwrap();
    let this = std::env::current_exe().unwrap();
    let expected = format!(
        "error: cannot publish metrics on TCP port {port}: Address already in use (os error 98), \
         used by {} (pid {}); stop that program, or choose another port with --publish-port or \
         --web.listen-address\n",
        file_name(&this),
        std::process::id()
    );
    assert_eq!(stderr, expected);
}

#[test]
fn a_listen_port_in_use_is_an_error_that_names_its_user() {
    let taken = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let run = program()
        .args(["--listen-port", &port.to_string(), "--publish-port", "0"])
        .assert()
        .code(1);
    let stderr = String::from_utf8(run.get_output().stderr.clone()).unwrap();
    let this = std::env::current_exe().unwrap();
    let expected = format!(
        "error: cannot listen on UDP port {port}: Address already in use (os error 98), used by \
         {} (pid {}); stop that program, or choose another port with --listen-port\n",
        file_name(&this),
        std::process::id()
    );
    assert_eq!(stderr, expected);
}

/// 3 of 200 frames are IPv6, then 3 of 6. A stream without skipped frames causes no warning.
#[test]
fn skipped_ipv6_is_logged_once_with_the_option_that_counts_it() {
    let words = "frames of the last minute are skipped as inner_ipv6";
    let mut sixth = DATAGRAM[..5 + 12].to_vec();
    sixth.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 59, 64]);
    sixth.extend([0; 32]);
    let send_all = |port: u16, ipv4: usize| {
        let datagrams = [vec![&DATAGRAM[..]; ipv4], vec![&sixth[..]; 3]].concat();
        for datagram in datagrams {
            send(port, datagram);
        }
    };
    let mut exporter = Exporter::start(&["--listen-port", "0"]);
    let port = exporter.udp_port();
    send_all(port, 197);
    let line = exporter.wait_for_line(words);
    assert!(
        line.ends_with("Remedy: count IPv6 too: start with `--ipv6`"),
        "{line}"
    );
    send_all(port, 3);
    exporter.scrape_until("the others", |scrape| {
        scrape.value("tzsp_frames_received_total") == 206.0
    });
    exporter.signal(Signal::SIGTERM);
    let (_, log) = exporter.wait_for_exit();
    assert_eq!(log.matches(words).count(), 1, "{log}");

    let mut counting = Exporter::start(&["--listen-port", "0", "--ipv6"]);
    let port = counting.udp_port();
    send_all(port, 197);
    counting.scrape_until("all", |scrape| {
        scrape.value("tzsp_frames_received_total") == 200.0
    });
    counting.signal(Signal::SIGTERM);
    let (_, log) = counting.wait_for_exit();
    assert!(!log.contains("are skipped as"), "{log}");
}

#[test]
fn a_burst_beyond_the_receive_buffer_is_counted_as_received_or_dropped() {
    const SENT: u32 = 20_000;

    let mut exporter = Exporter::start(&["--listen-port", "0", "--receive-buffer", "1"]);
    let port = exporter.udp_port();
    let mut datagram = DATAGRAM.to_vec();
    datagram.resize(1000, 0);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // While the exporter is stopped, nothing leaves the buffer.
    exporter.signal(Signal::SIGSTOP);
    for _ in 0..SENT {
        socket.send_to(&datagram, ("127.0.0.1", port)).unwrap();
    }
    exporter.signal(Signal::SIGCONT);
    let scrape = exporter.scrape_until("all that was sent", |scrape| {
        let received = scrape.value("tzsp_frames_received_total");
        received + scrape.value("tzsp_capture_dropped_total") == f64::from(SENT)
    });
    assert!(scrape.value("tzsp_capture_dropped_total") > 0.0);
    assert!(scrape.value("tzsp_frames_received_total") > 0.0);

    exporter.signal(Signal::SIGTERM);
    let (_, log) = exporter.wait_for_exit();
    let dropped = scrape.value("tzsp_capture_dropped_total");
    assert!(log.contains(&format!("dropped={dropped} ")), "{log}");
}

#[test]
fn a_receive_buffer_beyond_the_limit_is_a_warning_that_names_the_sysctl() {
    // An unprivileged process cannot exceed net.core.rmem_max.
    let launch = LaunchOptions {
        unprivileged: true,
        ..LaunchOptions::default()
    };
    let mut exporter =
        Exporter::start_with(&launch, &["--listen-port", "0", "--receive-buffer", "1023"]);
    let line = exporter.wait_for_line("receive buffer");
    assert!(line.contains(" WARN "), "{line}");
    assert!(
        line.contains("sysctl -w net.core.rmem_max=1072693248"),
        "{line}"
    );
}

#[test]
fn health_and_readiness_endpoints_answer() {
    let exporter = Exporter::start(&["--listen-port", "0"]);
    assert_eq!(exporter.get("/-/healthy"), (200, "Healthy.\n".to_owned()));
    assert_eq!(exporter.get("/-/ready"), (200, "Ready.\n".to_owned()));
}

#[test]
fn systemd_is_notified_of_readiness_watchdog_and_stop() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let message = || {
        let mut buffer = [0; 100];
        let size = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..size].to_vec())
            .unwrap()
            .trim_end()
            .to_owned()
    };
    let launch = LaunchOptions {
        environment: &[
            ("NOTIFY_SOCKET", path.to_str().unwrap()),
            ("WATCHDOG_USEC", "20000"),
        ],
        ..LaunchOptions::default()
    };
    let exporter = Exporter::start_with(&launch, &["--listen-port", "0"]);
    let mut messages = vec![message(), message(), message()];
    assert!(messages.contains(&"READY=1".to_owned()), "{messages:?}");
    assert!(messages.contains(&"WATCHDOG=1".to_owned()), "{messages:?}");
    exporter.signal(Signal::SIGTERM);
    while messages.last().unwrap() != "STOPPING=1" {
        messages.push(message());
    }
}

#[test]
fn logs_are_json_on_request() {
    let exporter = Exporter::start(&["--listen-port", "0", "--log-format", "json"]);
    exporter.signal(Signal::SIGTERM);
    let (_, log) = exporter.wait_for_exit();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = lines.last().unwrap();
    assert_eq!(last["message"], "stopped");
    assert_eq!(last["level"], "INFO");
    assert_eq!(last["frames"], 0);
}

#[test]
fn a_quiet_log_level_silences_everything_but_problems() {
    let run = program()
        .args(["--interface", "nope0", "--listen-port", "37008"])
        .args(["--publish-port", "0", "--log-level", "error"])
        .assert()
        .code(1);
    let stderr = String::from_utf8(run.get_output().stderr.clone()).unwrap();
    assert!(stderr.starts_with("error: cannot capture"), "{stderr}");
}

#[test]
fn a_sensor_that_mirrors_its_own_stream_is_named() {
    let free = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    check_own_stream_is_named(Exporter::start(&["--listen-port", &port.to_string()]));
}

#[test]
fn a_mirrored_own_stream_is_recognised_on_a_port_chosen_by_the_system() {
    check_own_stream_is_named(Exporter::start(&["--listen-port", "0"]));
}

#[track_caller]
fn check_own_stream_is_named(mut exporter: Exporter<'_>) {
    let port = exporter.udp_port();
    // Turn the mirrored packet into UDP to the listen port: set the protocol to 17, and the ports.
    let mut own = DATAGRAM;
    own[5 + 14 + 9] = 17;
    own[5 + 14 + 20 + 2..][..2].copy_from_slice(&port.to_be_bytes());
    send(port, &own);
    send(port, &own);
    send(port, &DATAGRAM);
    let line = exporter.wait_for_line("mirrors its own stream");
    assert!(
        line.contains(" WARN the sensor 127.0.0.1 mirrors"),
        "{line}"
    );
    let scrape = exporter.scrape_until("three packets", |scrape| {
        scrape.value("tzsp_frames_received_total") == 3.0
    });
    assert_eq!(scrape.value("tzsp_self_captured_total"), 2.0);
    assert_eq!(scrape.sum("tzsp_observed_packets_total"), 3.0);
}
