//! The supervisor of tshark, tested with shell scripts in place of tshark, because the real one
//! cannot be made to fail on demand.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use tempfile::TempDir;

use crate::heavy_scrapes::exporter_with_many_flows;
use crate::support::{Exporter, LaunchOptions, eventually, fake_tshark, is_running, testdata};

pub(crate) const ARGUMENTS: [&str; 4] = ["--interface", "eth0", "--listen-port", "37008"];

fn start(tools: &TempDir) -> Exporter<'static> {
    let launch = LaunchOptions {
        tools: Some(tools.path()),
        ..LaunchOptions::default()
    };
    Exporter::start_with(&launch, &ARGUMENTS)
}

/// A capture of two packets with 52 and 84 bytes.
fn capture() -> Vec<u8> {
    fs::read(testdata().join("pcapng_little_endian.pcapng")).unwrap()
}

fn write(tools: &TempDir, name: &str, bytes: &[u8]) {
    fs::write(tools.path().join(name), bytes).unwrap();
}

/// The type and the end offset of each block of a little-endian pcapng capture.
fn blocks(capture: &[u8]) -> Vec<(u32, usize)> {
    let word = |at: usize| u32::from_le_bytes(capture[at..at + 4].try_into().unwrap());
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < capture.len() {
        let end = at + word(at + 4) as usize;
        blocks.push((word(at), end));
        at = end;
    }
    blocks
}

/// An interface statistics block of interface 0 with this number of dropped frames.
fn statistics(dropped: u64) -> Vec<u8> {
    let mut block = Vec::new();
    for word in [5_u32, 40, 0, 0, 0] {
        block.extend(word.to_le_bytes());
    }
    // Option 5 (isb_ifdrop) with 8 bytes, then the end of the options.
    block.extend([5, 0, 8, 0]);
    block.extend(dropped.to_le_bytes());
    block.extend([0, 0, 0, 0]);
    block.extend(40_u32.to_le_bytes());
    block
}

#[test]
fn a_packet_counts_as_soon_as_its_last_byte_arrives() {
    let tools = fake_tshark("exec cat stream");
    let stream = tools.path().join("stream");
    nix::unistd::mkfifo(&stream, Mode::S_IRWXU).unwrap();
    let exporter = start(&tools);
    let mut stream = fs::OpenOptions::new().write(true).open(&stream).unwrap();

    let capture = capture();
    let blocks = blocks(&capture);
    let (_, header_end) = blocks[0];
    let mut packets = 0.0;
    let mut sent = 0;
    for (block_type, end) in blocks {
        // All but the last byte, in small pieces that are read one by one.
        while sent < end - 1 {
            let piece = &capture[sent..(sent + 20).min(end - 1)];
            stream.write_all(piece).unwrap();
            sent += piece.len();
            let scrape = exporter.scrape();
            assert_eq!(scrape.value("tzsp_frames_received_total"), packets);
            let header_is_there = f64::from(u8::from(sent >= header_end));
            assert_eq!(scrape.value("tzsp_capture_up"), header_is_there);
            let (status, _) = exporter.get("/-/ready");
            assert_eq!(status, if sent >= header_end { 200 } else { 503 });
        }
        stream.write_all(&capture[sent..end]).unwrap();
        sent = end;
        packets += f64::from(u8::from(block_type == 6));
        exporter.scrape_until("the block", |scrape| {
            scrape.value("tzsp_capture_up") == 1.0
                && scrape.value("tzsp_frames_received_total") == packets
        });
    }
    assert_eq!(packets, 2.0);
    assert_eq!(exporter.scrape().sum("tzsp_observed_bytes_total"), 136.0);
}

#[test]
fn a_tshark_that_ends_is_started_again_and_no_counter_goes_back() {
    let tools = fake_tshark("cat capture; exit 0");
    write(&tools, "capture", &capture());
    let mut exporter = start(&tools);
    let scrape = exporter.scrape_until("three runs", |scrape| {
        scrape.value("tzsp_capture_iterations_total") == 3.0
            && scrape.value("tzsp_frames_received_total") == 6.0
    });
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 3.0 * 136.0);
    // Between the runs, the exporter waits at least half a second, then a second.
    let lost = scrape.value("tzsp_data_lost_between_iterations_seconds_total");
    assert!(lost > 1.5, "{lost}");
    exporter.wait_for_line("the capture ended and is started again: tshark ended (exit status: 0)");
    exporter.wait_for_line("capturing on eth0 again, after ");
}

#[test]
fn repeated_equal_failures_are_logged_once() {
    let tools = fake_tshark(
        "echo run >> runs\n\
         [ -e works ] && { rm works; exec cat capture; }\n\
         echo 'tshark: There is no device named \"eth0\".' >&2\n\
         exit 1",
    );
    write(&tools, "capture", &capture());
    write(&tools, "works", b"");
    let mut exporter = start(&tools);
    let runs = || {
        fs::read_to_string(tools.path().join("runs"))
            .unwrap_or_default()
            .lines()
            .count()
    };
    eventually("three failed attempts", || (runs() >= 4).then_some(()));

    let scrape = exporter.scrape();
    assert_eq!(scrape.value("tzsp_capture_up"), 0.0);
    assert_eq!(scrape.value("tzsp_capture_iterations_total"), 1.0);
    assert_eq!(scrape.value("tzsp_frames_received_total"), 2.0);
    assert_eq!(exporter.get("/-/ready").0, 503);
    assert_eq!(exporter.get("/-/healthy").0, 200);
    let later = exporter.scrape_until("time is lost", |later| {
        let lost = "tzsp_data_lost_between_iterations_seconds_total";
        later.value(lost) > scrape.value(lost)
    });
    assert_eq!(later.value("tzsp_frames_received_total"), 2.0);

    write(&tools, "works", b"");
    exporter.wait_for_line("capturing on eth0 again, after ");
    exporter.signal(Signal::SIGTERM);
    let (_, log) = exporter.wait_for_exit();
    assert_eq!(log.matches("cannot start again").count(), 1, "{log}");
}

#[test]
fn garbage_in_the_stream_ends_the_run_and_earlier_packets_count() {
    let tools = fake_tshark("cat capture garbage; exec sleep 60");
    write(&tools, "capture", &capture());
    write(&tools, "garbage", b"\x06\0\0\0\x07\0\0\0garbage garbage");
    let mut exporter = start(&tools);
    exporter.wait_for_line("the capture is damaged at byte");
    exporter.scrape_until("a second run", |scrape| {
        scrape.value("tzsp_frames_received_total") == 4.0
    });
}

#[test]
fn a_block_of_2_gib_ends_the_run_and_needs_no_memory() {
    let tools = fake_tshark("cat capture block /dev/zero");
    write(&tools, "capture", &capture());
    write(&tools, "block", b"\x06\0\0\0\0\0\0\x80");
    let mut exporter = start(&tools);
    exporter.wait_for_line("a block of 2147483648 bytes");
    let scrape = exporter.scrape_until("a second run", |scrape| {
        scrape.value("tzsp_frames_received_total") == 4.0
    });
    let resident = scrape.value("process_resident_memory_bytes");
    assert!(resident < 32e6, "{resident} bytes");
}

#[test]
fn a_flood_on_standard_error_neither_blocks_nor_fills_memory() {
    let tools = fake_tshark(
        "head -c 100000000 /dev/zero >&2\n\
         cat capture\n\
         exec sleep 60",
    );
    write(&tools, "capture", &capture());
    let exporter = start(&tools);
    let scrape = exporter.scrape_until("the capture behind the flood", |scrape| {
        scrape.value("tzsp_frames_received_total") == 2.0
    });
    let resident = scrape.value("process_resident_memory_bytes");
    assert!(resident < 32e6, "{resident} bytes");
}

#[test]
fn stalled_clients_delay_neither_scrapes_nor_captures() {
    let (_tools, exporter) = exporter_with_many_flows(&[]);

    let stalled: Vec<_> = (0..20)
        .map(|_| {
            let mut client = TcpStream::connect(("localhost", exporter.port)).unwrap();
            client
                .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                .unwrap();
            client
        })
        .collect();
    let scrape = exporter.scrape();
    assert_eq!(scrape.value("tzsp_flows"), 40_000.0);

    // The capture continues too: the killed tshark is started again and read to its end.
    let before = scrape.value("tzsp_frames_received_total");
    kill(exporter.descendant("sleep"), Signal::SIGKILL).unwrap();
    exporter.scrape_until("a second run", |scrape| {
        scrape.value("tzsp_frames_received_total") == 2.0 * before
    });
    exporter.signal(Signal::SIGTERM);
    let (status, log) = exporter.wait_for_exit();
    assert!(status.success(), "{log}");
    drop(stalled);
}

#[test]
fn losses_that_are_reported_twice_count_once() {
    // The first run reports drops in its stream and on standard error, the second one only on
    // standard error.
    let tools = fake_tshark(
        "[ -e second ] && { cat capture; echo '5 packets dropped from eth0' >&2; exec sleep 60; }\n\
         touch second\n\
         cat capture statistics\n\
         echo '7 packets dropped from eth0' >&2",
    );
    write(&tools, "capture", &capture());
    write(&tools, "statistics", &statistics(7));
    let exporter = start(&tools);
    let scrape = exporter.scrape_until("the second run", |scrape| {
        scrape.value("tzsp_capture_iterations_total") == 2.0
    });
    assert_eq!(scrape.value("tzsp_capture_dropped_total"), 7.0);
    exporter.signal(Signal::SIGTERM);
    let (_, log) = exporter.wait_for_exit();
    assert!(log.contains("dropped=12 "), "{log}");
}

#[test]
fn a_stop_counts_the_packets_that_tshark_still_outputs() {
    let tools = fake_tshark(
        "trap 'cat rest; exit 0' TERM\n\
         cat begin\n\
         sleep 60 & wait",
    );
    let capture = capture();
    let (_, middle) = blocks(&capture)[2];
    write(&tools, "begin", &capture[..middle]);
    write(&tools, "rest", &capture[middle..]);
    let exporter = start(&tools);
    exporter.scrape_until("the first packet", |scrape| {
        scrape.value("tzsp_frames_received_total") == 1.0
    });
    exporter.signal(Signal::SIGTERM);
    let (status, log) = exporter.wait_for_exit();
    assert!(status.success(), "{log}");
    assert!(log.contains("stopped frames=2 counted=2 "), "{log}");
}

#[test]
fn a_tshark_that_ignores_sigterm_is_killed() {
    let tools = fake_tshark("trap '' TERM\ncat capture\nwhile :; do sleep 1; done");
    write(&tools, "capture", &capture());
    let exporter = start(&tools);
    exporter.scrape_until("it runs", |scrape| {
        scrape.value("tzsp_frames_received_total") == 2.0
    });
    let begin = Instant::now();
    exporter.signal(Signal::SIGTERM);
    let (status, log) = exporter.wait_for_exit();
    assert!(status.success(), "{log}");
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn late_output_of_an_old_tshark_neither_counts_nor_ends_the_new_one() {
    // A child of the first tshark leaves its process group and keeps the pipe open. Once the second
    // tshark captures, the child writes to the old pipe until the exporter has closed it.
    let tools = fake_tshark(
        "[ -e second ] && { cat capture; exec sleep 60; }\n\
         touch second\n\
         setsid sh -c '\n\
           for n in $(seq 1000); do [ -e release ] && break; sleep 0.03; done\n\
           for n in $(seq 300); do cat capture || break; sleep 0.03; done\n\
           touch gone' &\n\
         cat capture",
    );
    write(&tools, "capture", &capture());
    let exporter = start(&tools);
    let scrape = exporter.scrape_until("the second run", |scrape| {
        scrape.value("tzsp_capture_iterations_total") == 2.0
            && scrape.value("tzsp_frames_received_total") == 4.0
    });
    // The capture counts as lost for at least half a second, although the first pipe stayed open.
    let lost = scrape.value("tzsp_data_lost_between_iterations_seconds_total");
    assert!(lost > 0.5, "{lost}");
    write(&tools, "release", b"");
    eventually("the last reader has ended", || {
        tools.path().join("gone").exists().then_some(())
    });
    let scrape = exporter.scrape();
    assert_eq!(scrape.value("tzsp_capture_up"), 1.0);
    assert_eq!(scrape.value("tzsp_capture_iterations_total"), 2.0);
    assert_eq!(scrape.value("tzsp_frames_received_total"), 4.0);
    assert_eq!(exporter.get("/-/ready").0, 200);
}

#[test]
fn a_stop_does_not_wait_for_the_list_of_interfaces() {
    let tools = fake_tshark(
        "trap '' TERM\n\
         [ \"$1\" = -D ] && { touch asked; sleep 60; exit 0; }\n\
         echo 'tshark: There is no device named \"eth0\".' >&2\n\
         exit 1",
    );
    let exporter = start(&tools);
    eventually("the question for interfaces", || {
        tools.path().join("asked").exists().then_some(())
    });
    let sleep = exporter.descendant("sleep");
    let begin = Instant::now();
    exporter.signal(Signal::SIGTERM);
    let (status, log) = exporter.wait_for_exit();
    assert!(status.success(), "{log}");
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(log.contains("There is no device named"), "{log}");
    eventually("nothing of it is left", || {
        (!is_running(sleep)).then_some(())
    });
}
