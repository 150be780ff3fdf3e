//! What the flow table costs: `cargo bench --bench flows`.
//!
//! On a machine that does other things as well, trust ratios, not times.

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
    println!("time per packet of a known flow, in ns; each flow's turn comes at random");
    for flows in [1_000, 100_000, MILLION] {
        let plain = time_per_packet(flows, &mut Plain::default(), ipv4);
        let [v4, v6] =
            [ipv4, ipv6].map(|kind| time_per_packet(flows, &mut Grouped::new(MILLION), kind));
        println!("{flows:>9} flows: IPv4 {v4:.0}, IPv6 {v6:.0}; a plain map of IPv4 {plain:.0}");
    }
    println!("what is done with 100,000 flows under the lock");
    under_the_lock();
    println!("ten million distinct flows, limits of 10,000 and 100,000");
    distinct_flows();
}

/// Takes packets; the exporter's table, or what it is compared with.
trait Table {
    fn record(&mut self, at: Duration, seen: &Observation);
}

/// A table that packets reach in groups, as in the program.
struct Grouped {
    table: FlowTable,
    packets: PacketBatch,
}

impl Grouped {
    fn new(flows: u32) -> Self {
        let table = FlowTable::new(Shape::default(), limits(flows));
        let packets = table.packets(256);
        Self { table, packets }
    }

    fn flush(&mut self) {
        self.table.record(&mut self.packets);
    }
}

impl Table for Grouped {
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
    let mut table = Grouped::new(MILLION);
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
        "{name}: {resident} bytes resident for each flow, {allocated} of them asked for; \
         the slowest group of packets took {:.2} ms",
        worst.as_secs_f64() * 1000.0
    );
    // Not freed: the next table is to be measured on fresh memory.
    std::mem::forget(table);
}

/// The fastest of several runs, because other programs may take the processor at any time.
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
    let mut table = Grouped::new(100_000);
    for number in 0..100_000 {
        table.record(Duration::ZERO, &ipv4(number));
    }
    table.flush();
    let table = &mut table.table;
    let at = Duration::from_secs(1);
    fastest("a scrape", || drop(black_box(table.scrape(at))));
    fastest("a mark for the last minute", || table.checkpoint(at));
    // The checkpoints are younger than the packets would have to be: since the start.
    let mut unmarked = Grouped::new(100_000);
    for number in 0..100_000 {
        unmarked.record(Duration::ZERO, &ipv4(number));
    }
    unmarked.flush();
    fastest("a look at the last minute, all active", || {
        drop(black_box(unmarked.table.recent(at, 1000)));
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
    let mut table = Grouped::new(10_000);
    for million in 0..10 {
        let before = resident();
        let begin = Instant::now();
        for number in 0..MILLION {
            let number = million * MILLION + number;
            // A second for each 100,000 packets, and a scrape for each 15 seconds.
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

/// Resident memory of this process, in bytes. 0 where there is no /proc.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split_whitespace().nth(1)?.parse::<usize>().ok());
    pages.unwrap_or_default() * 4096
}
