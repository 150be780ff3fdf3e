//! How often the program allocates memory: never for a frame once all tables and buffers have their
//! size, and for a scrape a number of times that does not depend on the number of flows.
//!
//! The allocator counts for all threads of the process, so this is a program of its own, without a
//! test harness. When a check fails, dhat-heap.json has the backtrace of each allocation:
//! <https://docs.rs/dhat>.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod captures;
#[cfg(target_os = "linux")]
mod live;
mod scrape;

use std::env;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use tzsp_packetstream_exporter::aggregator::{Aggregator, Settings};
use tzsp_packetstream_exporter::flow::{FlowLimits, Sensors, Shape};
use tzsp_packetstream_exporter::wire::{DecodeOptions, ListenPorts};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// The number of frames that must not cause an allocation.
const FRAMES: usize = 1_000_000;

fn main() {
    // Names that are given to cargo select tests.
    let mut arguments = env::args().skip(1);
    let filter = arguments.find(|argument| !argument.starts_with('-'));
    if filter.is_some_and(|filter| !"allocations".contains(&filter)) {
        return;
    }
    let _profiler = dhat::Profiler::builder().testing().build();
    let allocate = || drop(black_box(Vec::<u8>::with_capacity(1)));
    assert_eq!(allocations(allocate), 1);
    captures::every_encapsulation_is_counted();
    captures::pcap_and_pcapng_are_read();
    captures::whole_captures_are_analyzed();
    #[cfg(target_os = "linux")]
    live::udp_datagrams_are_received();
    #[cfg(target_os = "linux")]
    live::packets_are_captured();
    scrape::flows_are_scraped();
}

/// Returns how many blocks all threads allocate during `work`. A block that grows counts again.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = dhat::HeapStats::get().total_blocks;
    work();
    dhat::HeapStats::get().total_blocks - before
}

/// Checks that `work` allocates nothing.
#[track_caller]
fn assert_no_allocation(work: impl FnOnce()) {
    let allocations = allocations(work);
    dhat::assert_eq!(allocations, 0);
}

fn testdata() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// An aggregator with limits like those of the daemon.
fn aggregator(listen_ports: ListenPorts) -> Aggregator {
    let sensor_ports = match &listen_ports {
        ListenPorts::Only(ports) => ports.clone(),
        ListenPorts::Any | ListenPorts::Plain => Vec::new(),
    };
    let mut aggregator = Aggregator::new(Settings {
        decode: DecodeOptions {
            listen_ports,
            ipv6: true,
        },
        shape: Shape::default(),
        limits: FlowLimits {
            flows: 100_000,
            hosts: 1_000,
            idle_flows: 100_000,
            idle_timeout: Duration::from_mins(10),
            hold: Duration::ZERO,
            hide_unseen: false,
        },
    });
    aggregator.watch_sensors(Sensors::new(&sensor_ports, 100));
    aggregator
}

/// Returns a datagram in which RouterOS sends a packet of this flow: TCP of 40 bytes.
#[rustfmt::skip]
fn datagram(flow: u32) -> [u8; 5 + 14 + 40] {
    let [a, b, c, d] = (0x0a00_0000 + flow).to_be_bytes();
    [
        1, 0, 0, 1, 1,
        0x02, 0, 0, 0, 0, 0x04,  0x02, 0, 0, 0, 0, 0x03,  0x08, 0x00,
        0x45, 0, 0, 40,  0, 0, 0, 0,  64, 6, 0, 0,  a, b, c, d,  142, 250, 74, 110,
        0xd4, 0x31, 0x01, 0xbb,  0, 0, 0, 1,  0, 0, 0, 2,  0x50, 0x10, 0x01, 0xf5,  0, 0, 0, 0,
    ]
}
