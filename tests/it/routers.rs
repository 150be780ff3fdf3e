//! Metrics of each router and of each listen port.

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::process::Command;

use serde_json::{Value, json};

use crate::live::DATAGRAM;
use crate::scrape::Scrape;
use crate::support::{Exporter, LaunchOptions, fake_tshark, testdata, tool};

fn send_from(sensor: &str, port: u16, datagram: &[u8]) {
    let socket = UdpSocket::bind((sensor, 0)).unwrap();
    socket.send_to(datagram, ("127.0.0.1", port)).unwrap();
}

/// Frames received by sensor and listen port.
fn frames(scrape: &Scrape) -> BTreeMap<String, f64> {
    let frames = scrape.family("tzsp_sensor_frames_total");
    frames
        .map(|(labels, value)| (labels.to_owned(), value))
        .collect()
}

fn labels(sensor: &str, port: u16) -> String {
    format!("{{listen_port=\"{port}\",sensor=\"{sensor}\"}}")
}

fn now() -> f64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64()
}

#[test]
fn each_router_has_a_series_and_routers_beyond_the_limit_share_one() {
    let mut exporter = Exporter::start(&["--listen-port", "0", "--max-sensors", "2"]);
    let port = exporter.udp_port();
    let heard = format!("tzsp_listen_port_last_frame_timestamp_seconds{{listen_port=\"{port}\"}}");
    let scrape = exporter.scrape();
    assert_eq!(scrape.value(&heard), 0.0);
    assert_eq!(frames(&scrape), BTreeMap::new());

    let begin = now();
    // The routers send one after the other, so the first two get the slots.
    let sent: [(&str, &[u8]); 6] = [
        ("127.0.0.1", &DATAGRAM),
        // A keepalive, and a datagram that is not TZSP.
        ("127.0.0.2", &[1, 4, 0, 0]),
        ("127.0.0.2", b"hello"),
        ("127.0.0.3", &DATAGRAM),
        ("127.0.0.4", &DATAGRAM),
        ("127.0.0.1", &DATAGRAM),
    ];
    let mut scrape = scrape;
    for (count, (sensor, datagram)) in (1..).zip(sent) {
        send_from(sensor, port, datagram);
        scrape = exporter.scrape_until("the datagram", |scrape| {
            scrape.value("tzsp_frames_received_total") == f64::from(count)
        });
    }
    let expected = [("127.0.0.1", 2.0), ("127.0.0.2", 2.0), ("other", 2.0)];
    let expected = expected.map(|(sensor, frames)| (labels(sensor, port), frames));
    assert_eq!(frames(&scrape), BTreeMap::from(expected));

    let last = |sensor| {
        let family = "tzsp_sensor_last_frame_timestamp_seconds";
        scrape.value(&format!("{family}{}", labels(sensor, port)))
    };
    // The time stamps are in the order in which the last frames arrived.
    let times = [
        begin,
        last("127.0.0.2"),
        last("other"),
        last("127.0.0.1"),
        now(),
    ];
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(scrape.value(&heard), last("127.0.0.1"));

    // The API returns the same numbers.
    let api: Value = serde_json::from_str(&exporter.get("/api/flows").1).unwrap();
    let sensors = api["sensors"].as_array().unwrap().iter().map(|sensor| {
        assert!(sensor["last"].as_str().unwrap().ends_with('Z'));
        json!([sensor["sensor"], sensor["listen_port"], sensor["frames"]])
    });
    assert_eq!(
        sensors.collect::<Vec<_>>(),
        [
            json!(["127.0.0.1", port, 2]),
            json!(["127.0.0.2", port, 2]),
            json!([null, port, 2])
        ]
    );
}

#[test]
fn an_unused_listen_port_differs_from_a_used_one() {
    let free = [(); 2].map(|()| UdpSocket::bind("0.0.0.0:0").unwrap());
    let [used, unused] = free.map(|socket| socket.local_addr().unwrap().port());
    let ports = [used, unused].map(|port| port.to_string());
    let exporter = Exporter::start(&["--listen-port", &ports[0], "--listen-port", &ports[1]]);
    send_from("127.0.0.1", used, &DATAGRAM);
    let scrape = exporter.scrape_until("the datagram", |scrape| {
        scrape.value("tzsp_frames_received_total") == 1.0
    });
    let heard = |port| {
        let family = "tzsp_listen_port_last_frame_timestamp_seconds";
        scrape.value(&format!("{family}{{listen_port=\"{port}\"}}"))
    };
    assert_eq!(heard(unused), 0.0);
    let age = now() - heard(used);
    assert!((0.0..60.0).contains(&age), "{age} seconds old");
    let page = exporter.get("/").1;
    let sentence = format!("Nothing has ever arrived for UDP port {unused}.");
    assert!(page.contains(&sentence), "{page}");
    assert!(!page.contains(&format!("UDP port {used}.")));
}

/// Compares frames and time stamps of each sender in captured traffic with those that tshark shows.
#[test]
fn captured_frames_count_for_their_sender() {
    for capture in [
        "five_minutes_of_an_office.pcap",
        "cut_inside_each_layer.pcap",
        "ipv6_outside.pcap",
        "datagram_in_two_fragments.pcap",
        "end_tag_missing.pcap",
    ] {
        let path = testdata().join(capture);
        let mut tshark = Command::new("tshark");
        tshark.arg("-r").arg(&path).args(["-T", "fields", "-Y"]);
        // Without reassembly of fragments; of each frame the outermost layers, with a complete UDP
        // header.
        let whole = "udp.dstport#1 == 37008 && udp.checksum#1";
        tshark.args([whole, "-E", "occurrence=f"]);
        tshark.args(["-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"]);
        for field in ["eth.type", "ip.src", "ipv6.src", "frame.time_epoch"] {
            tshark.args(["-e", field]);
        }
        let mut expected: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for line in tool(&mut tshark).lines() {
            let [outer, v4, v6, at] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            let sensor = labels(if outer == "0x86dd" { v6 } else { v4 }, 37008);
            let (frames, last) = expected.entry(sensor).or_default();
            *frames += 1.0;
            *last = at.parse().unwrap();
        }
        assert!(!expected.is_empty(), "{capture}");

        let tools = fake_tshark("[ \"$1\" = -D ] || { cat capture; exec sleep 60; }");
        fs::copy(&path, tools.path().join("capture")).unwrap();
        let launch = LaunchOptions {
            tools: Some(tools.path()),
            ..LaunchOptions::default()
        };
        let exporter =
            Exporter::start_with(&launch, &["--interface", "eth0", "--listen-port", "37008"]);
        let all: f64 = expected.values().map(|(frames, _)| frames).sum();
        let scrape = exporter.scrape_until("all frames", |scrape| {
            scrape.sum("tzsp_sensor_frames_total") >= all
        });
        let last = scrape.family("tzsp_sensor_last_frame_timestamp_seconds");
        let found = frames(&scrape).into_iter().zip(last);
        let found = found.map(|((sensor, frames), (other, last))| {
            assert_eq!(sensor, other);
            (sensor, (frames, last))
        });
        let found: BTreeMap<_, _> = found.collect();
        for (sensor, (frames, last)) in &expected {
            let (ours, time) = found[sensor];
            assert_eq!(ours, *frames, "{capture}: {sensor}");
            assert!((time - last).abs() < 1e-5, "{capture}: {time} {last}");
        }
        assert_eq!(found.len(), expected.len(), "{capture}: {found:?}");
    }
}
