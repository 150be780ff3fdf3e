//! Memory and time of the flow table: `cargo bench --bench flows`.
//!
//! On a machine that runs other programs too, trust ratios, not times.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

use std::collections::HashMap;
use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use etherparse::IpNumber;
use foldhash::quality::RandomState;
use tzsp_packetstream_exporter::flow::{FlowLimits, FlowTable, PacketBatch, Shape};
use tzsp_packetstream_exporter::wire::{Ip, Observation};

const MILLION: u32 = 1_000_000;

fn main() {
    println!("memory and growth, at a million flows");
    growth("IPv4", ipv4);
    growth("IPv6", ipv6);
    println!("time per packet of an exposed flow, in ns; packets of all flows in random order");
    for flows in [1_000, 100_000, MILLION] {
        let plain = time_per_packet(flows, &mut Plain::default(), ipv4);
        let [v4, v6] =
            [ipv4, ipv6].map(|kind| time_per_packet(flows, &mut Batched::new(MILLION), kind));
        println!("{flows:>9} flows: IPv4 {v4:.0}, IPv6 {v6:.0}; a plain map of IPv4 {plain:.0}");
    }
    println!("work on 100,000 flows while the table is locked");
    under_the_lock();
    println!("ten million distinct flows, limits of 10,000 and 100,000");
    distinct_flows();
}

/// A table that counts packets: that of the exporter, or one to compare it with.
trait Table {
    fn record(&mut self, at: Duration, seen: &Observation);
}

/// The table of the exporter, which counts packets in batches, as in the program.
struct Batched {
    table: FlowTable,
    packets: PacketBatch,
}

impl Batched {
    fn new(flows: u32) -> Self {
        let table = FlowTable::new(Shape::default(), limits(flows));
        let packets = table.packets(256);
        Self { table, packets }
    }

    fn flush(&mut self) {
        self.table.record(&mut self.packets);
    }
}

impl Table for Batched {
    fn record(&mut self, at: Duration, seen: &Observation) {
        self.packets.push(at, seen);
        if self.packets.is_full() {
            self.flush();
        }
    }
}

/// The table of version 0.1: without limits, for IPv4, with six labels.
#[derive(Default)]
struct Plain(HashMap<(Ipv4Addr, Ipv4Addr, u8, u16), (u64, u64), RandomState>);

impl Table for Plain {
    fn record(&mut self, _: Duration, seen: &Observation) {
        let (Some(source), Some(destination)) = (seen.source.ipv4(), seen.destination.ipv4())
        else {
            return;
        };
        let key = (source, destination, seen.protocol.0, seen.listen_port);
        let (bytes, packets) = self.0.entry(key).or_default();
        *bytes += seen.bytes;
        *packets += 1;
    }
}

fn limits(flows: u32) -> FlowLimits {
    FlowLimits {
        flows,
        idle_flows: flows * 10,
        idle_timeout: Duration::from_hours(1),
        hold: Duration::ZERO,
        hide_unseen: false,
        hosts: 1000,
    }
}

fn ipv4(number: u32) -> Observation {
    Observation {
        source: Ip::V4(0x0a00_0000 | number),
        destination: [142, 250, 74, 110].into(),
        protocol: IpNumber::TCP,
        listen_port: 37008,
        sensor: [192, 168, 88, 1].into(),
        ports: Some((54321, 443)),
        vlan: None,
        dscp: 0,
        bytes: 1000,
        truncated: None,
    }
}

fn ipv6(number: u32) -> Observation {
    Observation {
        source: Ipv6Addr::from_bits(0xfd << 120 | u128::from(number)).into(),
        destination: Ipv6Addr::from_bits(0x2620 << 112 | 1).into(),
        ..ipv4(0)
    }
}

fn growth(name: &str, kind: fn(u32) -> Observation) {
    let before = resident();
    let mut table = Batched::new(MILLION);
    let mut worst = Duration::ZERO;
    for number in 0..MILLION {
        let seen = kind(number);
        let begin = Instant::now();
        table.record(Duration::ZERO, &seen);
        worst = worst.max(begin.elapsed());
    }
    let resident = (resident() - before) / MILLION as usize;
    let allocated = table.table.allocated() / MILLION as usize;
    println!(
        "{name}: {resident} bytes resident for each flow, {allocated} of them allocated; \
         the slowest batch of packets took {:.2} ms",
        worst.as_secs_f64() * 1000.0
    );
    // Not freed, because the next table is to be measured with memory fresh from the system.
    std::mem::forget(table);
}

/// Returns the time per packet in nanoseconds. Takes the fastest of several runs, because other
/// programs may slow down some of them.
fn time_per_packet(flows: u32, table: &mut impl Table, kind: fn(u32) -> Observation) -> f64 {
    const PACKETS: u32 = 2 * MILLION;
    for number in 0..flows {
        table.record(Duration::ZERO, &kind(number));
    }
    let run = || {
        let begin = Instant::now();
        let mut random = 1_u32;
        for _ in 0..PACKETS {
            // Numerical Recipes' generator; its upper bits are good enough.
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let number = (u64::from(random) * u64::from(flows)) >> 32;
            let number = u32::try_from(number).expect("below the number of flows");
            table.record(Duration::ZERO, black_box(&kind(number)));
        }
        begin.elapsed()
    };
    let fastest = std::iter::repeat_with(run).take(5).min();
    fastest.unwrap_or_default().as_secs_f64() / f64::from(PACKETS) * 1e9
}

fn under_the_lock() {
    let mut table = Batched::new(100_000);
    for number in 0..100_000 {
        table.record(Duration::ZERO, &ipv4(number));
    }
    table.flush();
    let table = &mut table.table;
    let at = Duration::from_secs(1);
    fastest("a scrape", || drop(black_box(table.scrape(at))));
    fastest("a checkpoint", || table.checkpoint(at));
    // Without checkpoints, everything since the start is recent.
    let mut table = Batched::new(100_000);
    for number in 0..100_000 {
        table.record(Duration::ZERO, &ipv4(number));
    }
    table.flush();
    fastest("the recent traffic, all flows active", || {
        drop(black_box(table.table.recent(at, 1000)));
    });
}

fn fastest(what: &str, mut work: impl FnMut()) {
    let run = || {
        let begin = Instant::now();
        work();
        begin.elapsed()
    };
    let fastest = std::iter::repeat_with(run).take(10).min();
    let milliseconds = fastest.unwrap_or_default().as_secs_f64() * 1000.0;
    println!("{what}: {milliseconds:.2} ms");
}

fn distinct_flows() {
    let mut table = Batched::new(10_000);
    for million in 0..10 {
        let before = resident();
        let begin = Instant::now();
        for number in 0..MILLION {
            let number = million * MILLION + number;
            // 100,000 packets a second, and a scrape every 15 seconds.
            let at = Duration::from_micros(u64::from(number) * 10);
            table.record(at, &ipv4(number));
            if number.is_multiple_of(MILLION * 3 / 2) {
                table.table.scrape(at);
            }
        }
        let each = begin.elapsed().as_secs_f64() / f64::from(MILLION) * 1e9;
        let grown = resident().saturating_sub(before) / 1024;
        println!(
            "million {:>2}: {each:.0} ns per packet, {grown} KiB more",
            million + 1
        );
    }
    println!("{:?}", table.table.occupancy());
}

/// Returns the resident memory of this process in bytes, or 0 without /proc.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split_whitespace().nth(1)?.parse::<usize>().ok());
    pages.unwrap_or_default() * 4096
}
