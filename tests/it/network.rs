//! Live captures on the interfaces of virtual hosts: `sensor` streams to `collector`.

use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use tzsp_packetstream_exporter::capture::CaptureReader;

use crate::live::DATAGRAM;
use crate::namespace::{COLLECTOR, COLLECTOR_LINK, Network, SENSOR_LINK};
use crate::scrape::Scrape;
use crate::support::{Exporter, LaunchOptions, eventually, is_running, testdata, tool};

/// The default listen port.
pub(crate) const PORT: u16 = 37008;

/// The capture methods. Both must give the same results.
const METHODS: [&str; 2] = ["tshark", "native"];

/// Starts an exporter on the collector that captures with tshark.
#[track_caller]
fn capture_on<'a>(network: &'a Network, interface: &str) -> Exporter<'a> {
    capture_through(network, &[], interface)
}

/// The same, started through a wrapper command.
#[track_caller]
pub(crate) fn capture_through<'a>(
    network: &'a Network,
    wrapper: &[&str],
    interface: &str,
) -> Exporter<'a> {
    let arguments = ["--interface", interface, "--capture", "tshark"];
    capture(network, wrapper, &arguments)
}

/// Starts an exporter on the collector that captures with this method.
#[track_caller]
fn capture_by<'a>(network: &'a Network, method: &str, interface: &str) -> Exporter<'a> {
    capture(
        network,
        &[],
        &["--interface", interface, "--capture", method],
    )
}

/// Starts an exporter on the collector through a wrapper command, and waits until it captures.
#[track_caller]
pub(crate) fn capture<'a>(
    network: &'a Network,
    wrapper: &[&str],
    arguments: &[&str],
) -> Exporter<'a> {
    let launch = LaunchOptions {
        host: Some(&network.collector),
        wrapper,
        ..LaunchOptions::default()
    };
    let exporter = Exporter::start_with(&launch, arguments);
    exporter.scrape_until("the capture runs", |scrape| {
        scrape.value("tzsp_capture_up") == 1.0
    });
    exporter
}

/// Streams this many mirrored packets of 40 bytes from the sensor.
pub(crate) fn stream(network: &Network, datagrams: u32) {
    network.sensor.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for _ in 0..datagrams {
            socket.send_to(&DATAGRAM, (COLLECTOR, PORT)).unwrap();
        }
    });
}

pub(crate) fn received(scrape: &Scrape) -> f64 {
    scrape.value("tzsp_frames_received_total")
}

#[track_caller]
pub(crate) fn wait_for(exporter: &Exporter<'_>, frames: f64) -> Scrape {
    let scrape = exporter.scrape_until("all that was sent", |scrape| received(scrape) >= frames);
    assert_eq!(received(&scrape), frames);
    scrape
}

/// The frames of captures in testdata/, to be sent on the cable unchanged.
pub(crate) fn frames_of(captures: &[&str]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for capture in captures {
        let mut reader = CaptureReader::new(File::open(testdata().join(capture)).unwrap());
        while reader.fill().unwrap() {
            while let Some(frame) = reader.next_frame().unwrap() {
                frames.push(frame.bytes.to_vec());
            }
        }
    }
    frames
}

#[test]
fn streamed_packets_are_counted_exactly() {
    for method in METHODS {
        let network = Network::new();
        let exporter = capture_by(&network, method, COLLECTOR_LINK);
        stream(&network, 5000);
        let scrape = wait_for(&exporter, 5000.0);
        assert_eq!(scrape.sum("tzsp_observed_packets_total"), 5000.0);
        assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 5000.0 * 40.0);
        assert_eq!(scrape.value("tzsp_capture_iterations_total"), 1.0);
    }
}

#[test]
fn the_any_interface_and_several_interfaces_work() {
    for method in METHODS {
        let network = Network::new();
        let any = capture_by(&network, method, "any");
        stream(&network, 100);
        let scrape = wait_for(&any, 100.0);
        assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 4000.0);
        drop(any);

        let arguments = [
            "--interface",
            "lo",
            "--interface",
            COLLECTOR_LINK,
            "--capture",
            method,
        ];
        let both = capture(&network, &[], &arguments);
        stream(&network, 100);
        network.collector.run(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.send_to(&DATAGRAM, ("127.0.0.1", PORT)).unwrap();
        });
        wait_for(&both, 101.0);
    }
}

#[test]
fn lone_first_fragments_and_tagged_frames_are_captured() {
    for method in METHODS {
        let network = Network::new();
        let exporter = capture_by(&network, method, COLLECTOR_LINK);
        // 1500 bytes in a datagram of which only the first fragment arrives; 52 bytes with a VLAN
        // tag.
        let frames = frames_of(&[
            "lone_first_fragment.pcap",
            "vlan_tags_of_each_type_outside.pcap",
        ]);
        let tagged = |tag: &[u8; 2]| {
            frames
                .iter()
                .find(|frame| frame[12..14] == *tag)
                .unwrap()
                .clone()
        };
        let chosen = [
            frames[0].clone(),
            tagged(&[0x81, 0x00]),
            tagged(&[0x88, 0xa8]),
        ];
        network.sensor.send_frames(SENSOR_LINK, &chosen);
        let scrape = wait_for(&exporter, 3.0);
        assert_eq!(scrape.sum("tzsp_observed_packets_total"), 3.0);
        assert_eq!(
            scrape.sum("tzsp_observed_bytes_total"),
            1500.0 + 52.0 + 52.0
        );
        assert_eq!(
            scrape.value("tzsp_frames_truncated_total{cause=\"fragment\"}"),
            1.0
        );
    }
}

#[test]
fn an_interface_that_disappears_and_returns_is_captured_again() {
    for method in METHODS {
        let network = Network::new();
        let mut exporter = capture_by(&network, method, COLLECTOR_LINK);
        stream(&network, 10);
        wait_for(&exporter, 10.0);

        network.pull_out();
        let gone = match method {
            "tshark" => "no longer attached",
            _ => "the interface cable0 is gone",
        };
        exporter.wait_for_line(gone);
        exporter.scrape_until("the capture is down", |scrape| {
            scrape.value("tzsp_capture_up") == 0.0
        });
        exporter.wait_for_line("cannot start again");
        network.plug_in();
        exporter.wait_for_line("again, after");
        stream(&network, 10);
        let scrape = wait_for(&exporter, 20.0);
        assert_eq!(scrape.value("tzsp_capture_up"), 1.0);
        assert_eq!(scrape.value("tzsp_capture_iterations_total"), 2.0);
        assert!(scrape.value("tzsp_data_lost_between_iterations_seconds_total") > 0.5);
    }
}

#[test]
fn killed_capture_processes_are_restarted() {
    let network = Network::new();
    let exporter = capture_on(&network, COLLECTOR_LINK);
    for (round, victim) in ["dumpcap", "tshark"].into_iter().enumerate() {
        let before = received(&exporter.scrape());
        stream(&network, 10);
        wait_for(&exporter, before + 10.0);
        let pids = exporter.descendants(victim);
        assert_eq!(pids.len(), 1, "{victim}");
        let old = [
            exporter.descendants("tshark"),
            exporter.descendants("dumpcap"),
        ]
        .concat();
        kill(pids[0], Signal::SIGKILL).unwrap();
        exporter.scrape_until("the next capture", |scrape| {
            scrape.value("tzsp_capture_iterations_total") == (round + 2) as f64
        });
        for pid in old {
            assert!(
                !is_running(pid),
                "{victim} was killed, and {pid} is still there"
            );
        }
    }
    let before = received(&exporter.scrape());
    stream(&network, 10);
    wait_for(&exporter, before + 10.0);
}

#[test]
fn a_tshark_that_was_stopped_and_continued_loses_nothing() {
    let network = Network::new();
    let exporter = capture_on(&network, COLLECTOR_LINK);
    let tshark = exporter.descendants("tshark")[0];
    kill(tshark, Signal::SIGSTOP).unwrap();
    stream(&network, 1000);
    kill(tshark, Signal::SIGCONT).unwrap();
    let scrape = wait_for(&exporter, 1000.0);
    assert_eq!(scrape.value("tzsp_capture_iterations_total"), 1.0);
}

#[test]
fn the_host_does_not_answer_the_stream() {
    for method in METHODS {
        let network = Network::new();
        // The next call on a connected socket fails after an ICMP port unreachable.
        let is_refused = || {
            network.sensor.run(|| {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.connect((COLLECTOR, PORT)).unwrap();
                socket.send(&DATAGRAM).unwrap();
                let timeout = std::time::Duration::from_millis(300);
                socket.set_read_timeout(Some(timeout)).unwrap();
                let error = socket.recv(&mut [0; 16]).unwrap_err();
                error.kind() == io::ErrorKind::ConnectionRefused
            })
        };
        eventually("an answer of the host, without an exporter", || {
            is_refused().then_some(())
        });
        let exporter = capture_by(&network, method, COLLECTOR_LINK);
        assert!(!is_refused());
        wait_for(&exporter, 1.0);
    }
}

#[test]
fn a_port_in_use_is_a_warning_and_the_capture_goes_on() {
    for method in METHODS {
        let network = Network::new();
        let _taken = network
            .collector
            .run(|| UdpSocket::bind(("0.0.0.0", PORT)).unwrap());
        let mut exporter = capture_by(&network, method, COLLECTOR_LINK);
        let line = exporter.wait_for_line("cannot keep the host from answering on UDP port 37008");
        assert!(
            line.contains(&format!("(pid {})", std::process::id())),
            "{line}"
        );
        stream(&network, 10);
        wait_for(&exporter, 10.0);
    }
}

#[test]
fn child_processes_end_with_a_killed_exporter() {
    let network = Network::new();
    let exporter = capture_on(&network, COLLECTOR_LINK);
    let processes = [
        exporter.descendants("tshark"),
        exporter.descendants("dumpcap"),
    ]
    .concat();
    assert_eq!(processes.len(), 2);
    exporter.signal(Signal::SIGKILL);
    for pid in processes {
        eventually("its end", || (!is_running(pid)).then_some(()));
    }
}

#[test]
fn a_stop_ends_tshark_and_loses_no_frame() {
    let network = Network::new();
    let exporter = capture_on(&network, COLLECTOR_LINK);
    let processes = [
        exporter.descendants("tshark"),
        exporter.descendants("dumpcap"),
    ]
    .concat();
    stream(&network, 1000);
    exporter.signal(Signal::SIGTERM);
    let (status, log) = exporter.wait_for_exit();
    assert!(status.success(), "{log}");
    assert!(log.contains("stopped frames=1000 counted=1000 "), "{log}");
    for pid in processes {
        assert!(!is_running(pid), "{pid} is still there");
    }
}

#[test]
fn a_tshark_capture_receives_replayed_frames() {
    let network = Network::new();
    let exporter = capture_on(&network, COLLECTOR_LINK);
    let capture = testdata().join("packets_of_one_flow_merge.pcap");
    let capture = capture.to_str().unwrap();
    network.sensor.run(|| {
        let to = format!("{COLLECTOR}:{PORT}");
        let xtask = ["xtask", "replay", capture, "--to", &to, "--loop", "5"];
        tool(Command::new(env!("CARGO")).args(xtask));
    });
    // 3 packets with 680 bytes in total, five times.
    let scrape = wait_for(&exporter, 15.0);
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 3400.0);
}
