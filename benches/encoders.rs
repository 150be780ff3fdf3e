//! The time for a scrape of 100,000 flows in milliseconds, with our encoders and with that of the
//! prometheus crate, and the size of its body in bytes: `cargo bench --bench encoders`. `cargo xtask bench` runs it with the other
//! benchmarks.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

use std::io::{self, Write};
use std::time::{Duration, Instant};

use etherparse::IpNumber;
use prometheus::{Encoder, IntCounterVec, Opts, Registry, TextEncoder};
use tzsp_packetstream_exporter::aggregator::FrameCounts;
use tzsp_packetstream_exporter::flow::{FlowLimits, FlowTable, SensorSnapshot, Shape};
use tzsp_packetstream_exporter::metrics::{
    self, CaptureState, Format, OwnState, ProcessState, Refused, WallClock, WebState,
};
use tzsp_packetstream_exporter::wire::{Ip, Observation};

const FLOWS: u32 = 100_000;
const RUNS: usize = 7;

fn main() {
    let mut table = table();
    let registry = registry();
    let (mut text, mut protobuf, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        text.push(milliseconds(|| {
            scrape(&mut table, Format::Text, &mut io::sink());
        }));
        protobuf.push(milliseconds(|| {
            scrape(&mut table, Format::Protobuf, &mut io::sink());
        }));
        theirs.push(milliseconds(|| {
            TextEncoder::new()
                .encode(&registry.gather(), &mut io::sink())
                .expect("a sink takes everything");
        }));
    }
    let mut size = |format| {
        let mut body = Vec::new();
        scrape(&mut table, format, &mut body);
        body.len()
    };
    let figures = serde_json::json!({
        "text": text,
        "protobuf": protobuf,
        "prometheus": theirs,
        "text_size": size(Format::Text),
        "protobuf_size": size(Format::Protobuf),
    });
    println!("{figures}");
}

/// Writes what the daemon answers: in protobuf, with the start of each counter.
fn scrape(table: &mut FlowTable, format: Format, out: &mut impl Write) {
    let own = OwnState {
        frames: &FrameCounts::default(),
        sensors: &SensorSnapshot::default(),
        capture: &CaptureState::default(),
        web: &WebState::new([0; Refused::ALL.len()], 1, true),
        process: &ProcessState::default(),
        clock: &WallClock::new(Duration::from_millis(1_700_000_000_123)),
        created_series: false,
        names: None,
        databases: &[],
    };
    let flows = table.scrape(Duration::from_secs(1));
    metrics::write_scrape(out, format, flows, &own).expect("all is taken");
}

fn milliseconds(work: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_secs_f64() * 1000.0
}

fn table() -> FlowTable {
    let mut table = FlowTable::new(
        Shape::default(),
        FlowLimits {
            flows: FLOWS,
            idle_flows: FLOWS,
            idle_timeout: Duration::ZERO,
            hold: Duration::ZERO,
            hide_unseen: false,
            hosts: 1000,
        },
    );
    let mut packets = table.packets(FLOWS as usize);
    for number in 0..FLOWS {
        packets.push(Duration::ZERO, &observation(number));
    }
    table.record(&mut packets);
    table
}

fn observation(number: u32) -> Observation {
    Observation {
        source: source(number),
        destination: [142, 250, 74, 110].into(),
        protocol: IpNumber::TCP,
        listen_port: 37008,
        sensor: [192, 168, 88, 1].into(),
        ports: None,
        vlan: None,
        dscp: 0,
        bytes: 1000,
        truncated: None,
    }
}

fn source(number: u32) -> Ip {
    Ip::V4(0x0a00_0000 | number)
}

/// Returns a registry of the prometheus crate with the same samples.
fn registry() -> Registry {
    const LABELS: [&str; 6] = [
        "from",
        "from_type",
        "to",
        "to_type",
        "protocol",
        "listen_port",
    ];
    let registry = Registry::new();
    let family = |name, help| {
        let family = IntCounterVec::new(Opts::new(name, help), &LABELS)
            .expect("the name and labels are valid");
        registry
            .register(Box::new(family.clone()))
            .expect("the family is new");
        family
    };
    let bytes = family(
        "tzsp_observed_bytes_total",
        "Bytes of mirrored packets, IP headers included.",
    );
    let packets = family("tzsp_observed_packets_total", "Mirrored packets.");
    for number in 0..FLOWS {
        let from = std::net::Ipv4Addr::from_bits(0x0a00_0000 | number).to_string();
        let labels = [&from, "private", "142.250.74.110", "public", "tcp", "37008"];
        bytes.with_label_values(&labels).inc_by(1000);
        packets.with_label_values(&labels).inc();
    }
    registry
}
