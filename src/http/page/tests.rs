use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::aggregator::{Aggregator, Settings};
use crate::flow::{FlowLimits, Labels, Sensors, Shape};
use crate::geo::Databases;
use crate::metrics::CaptureState;
use crate::wire::{DecodeOptions, ListenPorts};

/// 2024-01-15 10:05:00.
const NOW: Duration = Duration::from_mins(28_421_885);

fn core(labels: &str, flows: u32) -> Aggregator {
    let mut core = Aggregator::new(Settings {
        decode: DecodeOptions {
            listen_ports: ListenPorts::Only(vec![37008]),
            ipv6: true,
        },
        shape: Shape {
            labels: labels.parse::<Labels>().expect("labels"),
            ..Shape::default()
        },
        limits: FlowLimits {
            flows,
            idle_flows: 0,
            idle_timeout: Duration::ZERO,
            hold: Duration::ZERO,
            hide_unseen: false,
            hosts: 1000,
        },
    });
    core.watch_sensors(Sensors::new(&[37008], 2));
    core
}

/// Returns a TZSP datagram with an IPv4 header from 10.0.0.`host` to 8.8.8.8, whose total length is
/// `bytes`.
fn datagram(host: u8, bytes: u16) -> Vec<u8> {
    let [high, low] = bytes.to_be_bytes();
    let mut datagram = vec![1, 0, 0, 1, 1];
    datagram.extend([2, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 3, 8, 0]);
    datagram.extend([0x45, 0, high, low, 0, 0, 0, 0, 64, 6, 0, 0]);
    datagram.extend([10, 0, 0, host, 8, 8, 8, 8]);
    datagram
}

/// Returns the overview ten seconds after the start.
fn overview(core: &mut Aggregator) -> Overview {
    let recent = core.recent(Duration::from_secs(10), TOP);
    Overview {
        at: NOW,
        source: "receiving TZSP on UDP port 37008".to_owned(),
        capture: CaptureState {
            up: true,
            lasting: Some(Duration::from_secs(10)),
            iterations: 1,
            dropped: Some(0),
            ..CaptureState::default()
        },
        frames: core.frames().clone(),
        recent_frames: core.frames().clone(),
        sensors: core.sensors().snapshot(),
        occupancy: core.flows().occupancy(),
        recent,
        last_hour: Vec::new(),
        names: None,
    }
}

pub(super) fn with_packets(labels: &str, flows: u32, packets: &[(u8, u16)]) -> Overview {
    let mut core = core(labels, flows);
    record(&mut core, packets);
    overview(&mut core)
}

/// Counts packets, each of a host and with so many bytes.
fn record(core: &mut Aggregator, packets: &[(u8, u16)]) {
    let mut batch = core.batch();
    let sensor: IpAddr = [192, 168, 88, 1].into();
    for (host, bytes) in packets {
        let datagram = datagram(*host, *bytes);
        batch.datagram(Duration::from_secs(1), NOW, sensor, 37008, &datagram);
    }
    core.record_batch(&mut batch);
}

pub(super) const ALL: &str = "from,from_type,to,to_type,protocol,listen_port";

/// Returns the text of the page without tags, with a line for each paragraph, row and group.
pub(super) fn text(overview: &Overview) -> String {
    let page = landing(overview);
    let main = page.split_once("<main>").expect("the start").1;
    let main = main.split_once("</main>").expect("the end").0;
    let mut text = String::new();
    let ends = ["</p>", "</h2>", "</dl>", "</tr>", "</div>"];
    let main = ends.iter().fold(main.to_owned(), |text, end| {
        text.replace(end, &format!("{end}\n"))
    });
    let mut in_tag = false;
    for letter in main.chars() {
        match letter {
            '<' => {
                in_tag = true;
                text.push(' ');
            }
            '>' => in_tag = false,
            letter if !in_tag => text.push(letter),
            _ => {}
        }
    }
    let lines = text.lines().map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.join(" ") + "\n"
    });
    lines.filter(|line| line != "\n").collect()
}

/// 2000 bytes in ten seconds are 1600 bit/s: 1500 bytes in two packets, and 500 in one.
#[test]
fn flows_are_shown_with_rates_and_shares() {
    let overview = with_packets(ALL, 10, &[(1, 1000), (2, 500), (1, 500)]);
    insta::assert_snapshot!(text(&overview), @"
    Receiving
    receiving TZSP on UDP port 37008. Running since 2024-01-15 10:04:50Z (10s).
    Top hosts of the last 10s
    2 active hosts; 2 of 1,000 slots in use.
    host down up share
    10.0.0.1 0 bit/s 1.20 kbit/s 75.0 %
    10.0.0.2 0 bit/s 400 bit/s 25.0 %
    Top flows of the last 10s
    Since 2024-01-15 10:04:50Z : 2 flows, 3 packets, 2.00 kB, 1.60 kbit/s on average; all with listen_port 37008.
    from to protocol rate bytes packets share
    10.0.0.1 private 8.8.8.8 public tcp 1.20 kbit/s 1.50 kB 2 75.0 %
    10.0.0.2 private 8.8.8.8 public tcp 400 bit/s 500 B 1 25.0 %
    Frames received 3 3 of them counted in flows
    Skipped 0
    Dropped by kernel or capture 0
    Flows 2 of 10
    Routers
    sensor port frames last seen
    192.168.88.1 37008 3 2024-01-15 10:05:00Z 0s ago
    ");
}

#[test]
fn only_chosen_labels_have_a_column() {
    let overview = with_packets("from_type,sensor", 10, &[(1, 1000), (2, 500)]);
    insta::assert_snapshot!(text(&overview), @"
    Receiving
    receiving TZSP on UDP port 37008. Running since 2024-01-15 10:04:50Z (10s).
    Top hosts of the last 10s
    2 active hosts; 2 of 1,000 slots in use.
    host down up share
    10.0.0.1 0 bit/s 800 bit/s 66.7 %
    10.0.0.2 0 bit/s 400 bit/s 33.3 %
    Top flows of the last 10s
    Since 2024-01-15 10:04:50Z : 1 flow, 2 packets, 1.50 kB, 1.20 kbit/s on average; all with sensor 192.168.88.1.
    from_type rate bytes packets share
    private 1.20 kbit/s 1.50 kB 2 100.0 %
    Frames received 2 2 of them counted in flows
    Skipped 0
    Dropped by kernel or capture 0
    Flows 1 of 10
    Routers
    sensor port frames last seen
    192.168.88.1 37008 2 2024-01-15 10:05:00Z 0s ago
    ");
}

/// 8.8.8.8 is in the US. The packets have no ports, and the flow of the third has no slot.
#[test]
fn labels_of_countries_and_services_have_tables() {
    let mut core = core("from,to_country,to_asn,service", 2);
    let database = include_bytes!("../../../testdata/flat.mmdb");
    let databases = Databases::from_bytes(database.to_vec()).expect("a database");
    core.set_databases(Arc::new(databases));
    record(&mut core, &[(1, 1000), (2, 500), (3, 500)]);
    let text = text(&overview(&mut core));
    let (_, tables) = text
        .split_once("Top flows of the last 10s\n")
        .expect("the flows");
    let (tables, _) = tables.split_once("Frames received").expect("the facts");
    insta::assert_snapshot!(tables, @"
    Since 2024-01-15 10:04:50Z : 2 flows, 3 packets, 2.00 kB, 1.60 kbit/s on average.
    from service to_country to_asn rate bytes packets share
    10.0.0.1 none US AS15169 Google LLC 800 bit/s 1.00 kB 1 50.0 %
    10.0.0.2 none US AS15169 Google LLC 400 bit/s 500 B 1 25.0 %
    other other other other 400 bit/s 500 B 1 25.0 %
    By country in the last 10s
    to_country rate bytes packets share
    US 1.20 kbit/s 1.50 kB 2 75.0 %
    other 400 bit/s 500 B 1 25.0 %
    By network in the last 10s
    to_asn rate bytes packets share
    AS15169 Google LLC 1.20 kbit/s 1.50 kB 2 75.0 %
    other 400 bit/s 500 B 1 25.0 %
    By service in the last 10s
    service rate bytes packets share
    none 1.20 kbit/s 1.50 kB 2 75.0 %
    other 400 bit/s 500 B 1 25.0 %
    ");
}

#[test]
fn the_only_label_keeps_its_column() {
    let overview = with_packets("listen_port", 10, &[(1, 1000), (2, 500)]);
    insta::assert_snapshot!(text(&overview), @"
    Receiving
    receiving TZSP on UDP port 37008. Running since 2024-01-15 10:04:50Z (10s).
    Top hosts of the last 10s
    2 active hosts; 2 of 1,000 slots in use.
    host down up share
    10.0.0.1 0 bit/s 800 bit/s 66.7 %
    10.0.0.2 0 bit/s 400 bit/s 33.3 %
    Top flows of the last 10s
    Since 2024-01-15 10:04:50Z : 1 flow, 2 packets, 1.50 kB, 1.20 kbit/s on average.
    listen_port rate bytes packets share
    37008 1.20 kbit/s 1.50 kB 2 100.0 %
    Frames received 2 2 of them counted in flows
    Skipped 0
    Dropped by kernel or capture 0
    Flows 1 of 10
    Routers
    sensor port frames last seen
    192.168.88.1 37008 2 2024-01-15 10:05:00Z 0s ago
    ");
}

#[test]
fn packets_beyond_the_limit_have_a_row_and_a_hint() {
    let overview = with_packets(ALL, 1, &[(1, 100), (2, 500), (3, 500)]);
    insta::assert_snapshot!(text(&overview), @"
    Receiving
    receiving TZSP on UDP port 37008. Running since 2024-01-15 10:04:50Z (10s).
    The limit of flows was reached: 2 packets so far are in `other`. Raise --max-flows.
    Top hosts of the last 10s
    3 active hosts; 3 of 1,000 slots in use.
    host down up share
    10.0.0.2 0 bit/s 400 bit/s 45.5 %
    10.0.0.3 0 bit/s 400 bit/s 45.5 %
    10.0.0.1 0 bit/s 80 bit/s 9.1 %
    Top flows of the last 10s
    Since 2024-01-15 10:04:50Z : 1 flow, 3 packets, 1.10 kB, 880 bit/s on average; all with listen_port 37008.
    from to protocol rate bytes packets share
    other other other 800 bit/s 1.00 kB 2 90.9 %
    10.0.0.1 private 8.8.8.8 public tcp 80 bit/s 100 B 1 9.1 %
    Frames received 3 3 of them counted in flows
    Skipped 0
    Dropped by kernel or capture 0
    Flows 1 of 1
    Routers
    sensor port frames last seen
    192.168.88.1 37008 3 2024-01-15 10:05:00Z 0s ago
    ");
}

#[test]
fn a_page_without_frames_says_what_to_check() {
    insta::assert_snapshot!(text(&overview(&mut core(ALL, 10))), @"
    Waiting: nothing has arrived yet
    receiving TZSP on UDP port 37008. Running since 2024-01-15 10:04:50Z (10s).
    Does the router stream to this host and port, and does a firewall let it through?
    Top hosts of the last 10s
    0 active hosts; 0 of 1,000 slots in use.
    Top flows of the last 10s
    Since 2024-01-15 10:04:50Z : 0 flows, 0 packets, 0 B, 0 bit/s on average.
    Frames received 0 0 of them counted in flows
    Skipped 0
    Dropped by kernel or capture 0
    Flows 0 of 10
    Routers
    None has sent anything yet.
    ");
}

#[test]
fn the_heading_shows_silence_and_a_stopped_capture() {
    let check = |overview: &Overview, expected: Reception, heading: &str| {
        assert_eq!(overview.reception(), expected);
        let text = text(overview);
        assert!(text.starts_with(heading), "{text}");
    };
    let mut overview = with_packets(ALL, 10, &[(1, 1000)]);
    check(&overview, Reception::Receiving, "Receiving\n");
    overview.at += Duration::from_secs(59);
    check(&overview, Reception::Receiving, "Receiving\n");
    overview.at += Duration::from_secs(14);
    let silence = Duration::from_secs(73);
    let heading = "Silent: nothing has arrived for 1m 13s\n";
    check(&overview, Reception::Silent(silence), heading);
    // The clock was set back.
    overview.at -= Duration::from_secs(1000);
    check(&overview, Reception::Receiving, "Receiving\n");
    overview.capture.up = false;
    overview.capture.lost = Duration::from_secs(12);
    overview.capture.iterations = 3;
    check(&overview, Reception::Down, "Down: no capture is running\n");
    let text = text(&overview);
    assert!(
        text.contains("Without a capture since 2024-01-15 09:49:23Z (10s)."),
        "{text}"
    );
    assert!(text.contains("12s without a capture, 2 restarts"), "{text}");
}

#[test]
fn text_is_escaped() {
    let mut overview = with_packets(ALL, 10, &[(1, 1000)]);
    overview.source = "<img src=x onerror=\"alert('&')\">".to_owned();
    let page = landing(&overview);
    assert!(!page.contains("<img"), "{page}");
    assert!(
        page.contains("&lt;img src=x onerror=&quot;alert('&amp;')&quot;&gt;"),
        "{page}"
    );
}

#[test]
fn skipped_frames_and_a_mirrored_own_stream_are_explained() {
    let mut core = core(ALL, 10);
    let mut batch = core.batch();
    let sensor: IpAddr = [192, 168, 88, 1].into();
    for _ in 0..1200 {
        batch.datagram(Duration::ZERO, NOW, sensor, 37008, &[1, 4, 0, 0]);
        if batch.is_full() {
            core.record_batch(&mut batch);
        }
    }
    core.record_batch(&mut batch);
    let skipped = text(&overview(&mut core));
    assert!(
        skipped.contains("None of the frames counts in a flow"),
        "{skipped}"
    );
    assert!(
        skipped.contains("Skipped 1,200 1,200 tzsp_keepalive\n"),
        "{skipped}"
    );

    let mut overview = overview(&mut core);
    overview.frames.self_capturing_sensor = Some(sensor);
    overview.frames.self_captured = 2;
    let own = text(&overview);
    let hint = "The sensor 192.168.88.1 mirrors its own stream (2 packets so far)";
    assert!(own.contains(hint), "{own}");
}

/// The core of these tests keeps two sensors; the others are one row.
#[test]
fn routers_are_listed_with_the_time_of_their_last_frame() {
    let mut core = core(ALL, 10);
    let mut batch = core.batch();
    for (number, seconds) in [(3, 100), (1, 5), (2, 4), (4, 3)] {
        let sensor: IpAddr = [192, 168, 88, number].into();
        let at = NOW.saturating_sub(Duration::from_secs(seconds));
        batch.datagram(Duration::from_secs(1), at, sensor, 37008, &datagram(1, 500));
    }
    core.record_batch(&mut batch);
    let mut overview = overview(&mut core);
    overview.sensors.listen_ports.push((37009, None));
    let text = text(&overview);
    let (_, routers) = text.split_once("Routers").expect("the section");
    insta::assert_snapshot!(routers, @"
    Nothing has ever arrived for UDP port 37009.
    sensor port frames last seen
    192.168.88.1 37008 1 2024-01-15 10:04:55Z 5s ago
    192.168.88.3 37008 1 2024-01-15 10:03:20Z 1m 40s ago
    other 37008 2 2024-01-15 10:04:57Z 3s ago
    ");
}
