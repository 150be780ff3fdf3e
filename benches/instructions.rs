//! The number of instructions in each part of the fast path: `cargo bench --bench instructions`.
//!
//! valgrind's callgrind counts them, so the figures do not depend on how busy the machine is. Run
//! it before and after a change. To see which functions the instructions belong to, pass the files
//! that are named at the end to `callgrind_annotate`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the figures are the output"
)]

use std::env;
use std::hint::black_box;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use etherparse::IpNumber;
use tzsp_packetstream_exporter::aggregator::{Aggregator, FrameCounts, Settings};
use tzsp_packetstream_exporter::capture::{CaptureReader, Frame};
use tzsp_packetstream_exporter::flow::{
    FlowLimits, FlowTable, PacketBatch, Sensors, Shape, Snapshot,
};
use tzsp_packetstream_exporter::metrics::{self, Format};
use tzsp_packetstream_exporter::wire::{
    Captured, DecodeOptions, Ip, LinkType, ListenPorts, Observation, decode_fast, decode_full,
};

/// Something to measure. `run` is called with `count`. Instructions are counted only within the
/// functions whose names match `function`, and divided by `count`.
struct Subject {
    name: &'static str,
    unit: &'static str,
    count: u32,
    run: fn(u32),
    function: &'static str,
}

const SUBJECTS: [Subject; 9] = [
    Subject {
        name: "CaptureReader::each_frame",
        unit: "a frame",
        count: 10_000,
        run: run_read,
        function: "*counted_read*",
    },
    Subject {
        name: "decode_fast",
        unit: "a frame",
        count: 10_000,
        run: run_decode_fast,
        function: "*counted_decode_fast*",
    },
    Subject {
        name: "decode_full",
        unit: "a frame",
        count: 10_000,
        run: run_decode_full,
        function: "*counted_decode_full*",
    },
    Subject {
        name: "PacketBatch::push",
        unit: "a packet",
        count: 10_000,
        run: run_push,
        function: "*counted_push*",
    },
    Subject {
        name: "FlowTable::record, exposed flows",
        unit: "a packet",
        count: 10_000,
        run: run_record,
        function: "*counted_record*",
    },
    Subject {
        name: "analyze: decoded and counted",
        unit: "a frame",
        count: 10_000,
        run: run_analyze,
        function: "*counted_analyze*",
    },
    Subject {
        name: "live: the same, with its sensor",
        unit: "a frame",
        count: 10_000,
        run: run_live,
        function: "*counted_live*",
    },
    Subject {
        name: "write_analysis, sorting included",
        unit: "a flow",
        count: 10_000,
        run: run_encode,
        function: "*counted_encode*",
    },
    Subject {
        name: "the same in protobuf",
        unit: "a flow",
        count: 10_000,
        run: run_encode_protobuf,
        function: "*counted_encode*",
    },
];

/// The argument for a run under valgrind, followed by the name of a subject.
const COUNTED: &str = "--counted";

fn main() -> ExitCode {
    let mut arguments = env::args().skip_while(|argument| argument != COUNTED);
    if let (Some(_), Some(name)) = (arguments.next(), arguments.next()) {
        for subject in SUBJECTS.iter().filter(|subject| subject.name == name) {
            (subject.run)(subject.count);
        }
        return ExitCode::SUCCESS;
    }
    for subject in &SUBJECTS {
        match instructions(subject) {
            Ok(instructions) => {
                let each = instructions as f64 / f64::from(subject.count);
                println!(
                    "{:<34}{each:>8.1} instructions {}",
                    subject.name, subject.unit
                );
            }
            Err(message) => {
                eprintln!("error: {message}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{}", profile("*").display());
    ExitCode::SUCCESS
}

fn instructions(subject: &Subject) -> Result<u64, String> {
    let this = env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let out = profile(subject.function.trim_matches('*'));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={}", subject.function))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(this)
        .args([COUNTED, subject.name])
        .output()
        .map_err(|error| format!("cannot run valgrind (Debian: package valgrind): {error}"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    let collected = words
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .and_then(|(_, number)| number.trim().parse().ok());
    match collected {
        Some(collected) if output.status.success() && collected > 0 => Ok(collected),
        _ => Err(format!("valgrind counted nothing:\n{words}")),
    }
}

/// Returns the path of callgrind's output for a function.
fn profile(function: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("callgrind.{function}.out"))
}

fn run_read(count: u32) {
    let mut capture = vec![
        0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0,
    ];
    capture.extend(1_u32.to_le_bytes());
    for number in 0..count {
        for word in [1_700_000_000 + number, 0, 100, 1514] {
            capture.extend(word.to_le_bytes());
        }
        capture.extend(FRAME);
    }
    let bytes = counted_read(&mut CaptureReader::recovering(&capture[..]));
    assert_eq!(bytes, u64::from(count) * 1514);
}

#[inline(never)]
fn counted_read(reader: &mut CaptureReader<&[u8]>) -> u64 {
    let mut bytes = 0;
    while reader.fill().expect("the capture is whole") {
        reader
            .each_frame(|frame| bytes += black_box(frame).length as u64)
            .expect("the capture is whole");
    }
    bytes
}

fn run_decode_fast(count: u32) {
    run_decoding(count, counted_decode_fast);
}

fn run_decode_full(count: u32) {
    run_decoding(count, counted_decode_full);
}

fn run_decoding(count: u32, decode: fn(&[u8], &DecodeOptions) -> u64) {
    let options = DecodeOptions {
        listen_ports: ListenPorts::Only(vec![37008]),
        ipv6: false,
    };
    let bytes: u64 = (0..count)
        .map(|_| decode(black_box(&FRAME), black_box(&options)))
        .sum();
    assert_eq!(bytes, u64::from(count) * 1453);
}

#[inline(never)]
fn counted_decode_fast(frame: &[u8], options: &DecodeOptions) -> u64 {
    let frame = Captured::new(frame, 1514);
    let seen = decode_fast(LinkType::ETHERNET, frame, options);
    seen.map_or(0, |seen| black_box(seen).bytes)
}

#[inline(never)]
fn counted_decode_full(frame: &[u8], options: &DecodeOptions) -> u64 {
    let frame = Captured::new(frame, 1514);
    let outcome = decode_full(LinkType::ETHERNET, frame, options);
    outcome.map_or(0, |seen| black_box(seen).bytes)
}

fn run_push(count: u32) {
    let mut packets = table(1).packets(count as usize);
    for number in 0..count {
        counted_push(&mut packets, &observation(number));
    }
}

#[inline(never)]
fn counted_push(packets: &mut PacketBatch, seen: &Observation) {
    packets.push(Duration::ZERO, seen);
}

fn run_record(count: u32) {
    let mut table = table(count);
    let mut new = packets(&table, count);
    table.record(&mut new);
    let mut known = packets(&table, count);
    counted_record(&mut table, &mut known);
}

#[inline(never)]
fn counted_record(table: &mut FlowTable, packets: &mut PacketBatch) {
    table.record(packets);
}

fn run_analyze(count: u32) {
    let core = counted_analyze(core(), black_box(&FRAME), count);
    assert_eq!(core.frames().counted(), u64::from(count));
}

#[inline(never)]
fn counted_analyze(mut core: Aggregator, frame: &[u8], count: u32) -> Aggregator {
    let mut batch = core.batch();
    for _ in 0..count {
        batch.frame_without_sensor(Duration::ZERO, black_box(&captured(frame)));
        if batch.is_full() {
            core.record_batch(&mut batch);
        }
    }
    core.record_batch(&mut batch);
    core
}

fn run_live(count: u32) {
    let core = counted_live(core(), black_box(&FRAME), count);
    assert_eq!(core.frames().counted(), u64::from(count));
    let sensors = core.sensors().snapshot().sensors;
    assert_eq!(sensors[0].arrivals.frames, u64::from(count));
}

#[inline(never)]
fn counted_live(mut core: Aggregator, frame: &[u8], count: u32) -> Aggregator {
    let mut batch = core.batch();
    for _ in 0..count {
        batch.frame(Duration::ZERO, black_box(&captured(frame)));
        if batch.is_full() {
            core.record_batch(&mut batch);
        }
    }
    core.record_batch(&mut batch);
    core
}

fn core() -> Aggregator {
    let mut core = Aggregator::new(Settings {
        decode: DecodeOptions {
            listen_ports: ListenPorts::Only(vec![37008]),
            ipv6: false,
        },
        shape: Shape::default(),
        limits: limits(10),
    });
    core.watch_sensors(Sensors::new(&[37008], 100));
    core
}

fn captured(frame: &[u8]) -> Frame<'_> {
    Frame {
        at: Duration::from_secs(1),
        link: LinkType::ETHERNET,
        bytes: frame,
        length: 1514,
    }
}

fn run_encode(count: u32) {
    encode(count, Format::Text);
}

fn run_encode_protobuf(count: u32) {
    encode(count, Format::Protobuf);
}

fn encode(count: u32, format: Format) {
    let mut table = table(count);
    let mut packets = packets(&table, count);
    table.record(&mut packets);
    counted_encode(format, table.scrape(Duration::ZERO));
}

#[inline(never)]
fn counted_encode(format: Format, flows: Snapshot) {
    metrics::write_analysis(
        &mut io::sink(),
        format,
        flows,
        &FrameCounts::default(),
        None,
        1,
    )
    .expect("a sink takes everything");
}

fn table(flows: u32) -> FlowTable {
    FlowTable::new(Shape::default(), limits(flows))
}

fn limits(flows: u32) -> FlowLimits {
    FlowLimits {
        flows,
        idle_flows: flows,
        idle_timeout: Duration::ZERO,
        hold: Duration::ZERO,
        hide_unseen: false,
        hosts: 1000,
    }
}

/// Returns a batch with one packet of each of `count` flows.
fn packets(table: &FlowTable, count: u32) -> PacketBatch {
    let mut packets = table.packets(count as usize);
    for number in 0..count {
        packets.push(Duration::ZERO, &observation(number));
    }
    packets
}

fn observation(number: u32) -> Observation {
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

/// The frame in which RouterOS sends a packet of 1453 bytes, captured with a snap length of 100.
#[rustfmt::skip]
const FRAME: [u8; 100] = [
    // Ethernet
    0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x08, 0x00,
    // IPv4: 1500 bytes of UDP from 192.168.88.1 to 192.168.88.10
    0x45, 0, 0x05, 0xdc, 0, 0, 0, 0, 64, 17, 0, 0, 192, 168, 88, 1, 192, 168, 88, 10,
    // UDP: 1480 bytes from port 37008 to 37008
    0x90, 0x90, 0x90, 0x90, 0x05, 0xc8, 0, 0,
    // TZSP
    0x01, 0x00, 0x00, 0x01, 0x01,
    // Ethernet
    0x02, 0, 0, 0, 0, 3, 0x02, 0, 0, 0, 0, 4, 0x08, 0x00,
    // IPv4: 1453 bytes of TCP from 192.168.88.50 to 142.250.74.110
    0x45, 0, 0x05, 0xad, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 168, 88, 50, 142, 250, 74, 110,
    // TCP from port 54321 to 443, cut short
    0xd4, 0x31, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0x01, 0xf6, 0, 0, 0,
];
