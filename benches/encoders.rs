//! The time for a scrape of 100,000 flows in milliseconds, with our encoder and with that of the
//! prometheus crate: `cargo bench --bench encoders`. `cargo xtask bench` runs it with the other
//! benchmarks.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

use std::io;
use std::time::{Duration, Instant};

use etherparse::IpNumber;
use prometheus::{Encoder, IntCounterVec, Opts, Registry, TextEncoder};
use tzsp_packetstream_exporter::aggregator::FrameCounts;
use tzsp_packetstream_exporter::flow::{FlowLimits, FlowTable, Shape};
use tzsp_packetstream_exporter::metrics::{self, Format};
use tzsp_packetstream_exporter::wire::{Ip, Observation};

const FLOWS: u32 = 100_000;
const RUNS: usize = 7;

fn main() {
    let mut table = table();
    let registry = registry();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ours.push(milliseconds(|| {
            let flows = table.scrape(Duration::ZERO);
            metrics::write_analysis(
                &mut io::sink(),
                Format::Text,
                flows,
                &FrameCounts::default(),
                None,
                1,
            )
            .expect("a sink takes everything");
        }));
        theirs.push(milliseconds(|| {
            TextEncoder::new()
                .encode(&registry.gather(), &mut io::sink())
                .expect("a sink takes everything");
        }));
    }
    let figures = serde_json::json!({"ours": ours, "prometheus": theirs});
    println!("{figures}");
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
