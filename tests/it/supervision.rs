//! The supervisor of tshark, tested with shell scripts that do what the real one cannot be made to
//! do.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use tempfile::TempDir;

use crate::clients::loaded;
use crate::support::{Exporter, Place, eventually, fake_tshark, is_running, program, testdata};

const ARGUMENTS: [&str; 4] = ["--interface", "eth0", "--listen-port", "37008"];

fn start(tools: &TempDir) -> Exporter<'static> {
    let place = Place {
        tools: Some(tools.path()),
        ..Place::default()
    };
    Exporter::start_at(&place, &ARGUMENTS)
}

/// A capture of two packets, 52 and 84 bytes.
fn capture() -> Vec<u8> {
    fs::read(testdata().join("pcapng_little_endian.pcapng")).unwrap()
}

fn write(tools: &TempDir, name: &str, bytes: &[u8]) {
    fs::write(tools.path().join(name), bytes).unwrap();
}

/// Where the blocks of a little-endian capture end, and their types.
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

/// An interface statistics block of interface 0: so many frames were dropped.
fn statistics(dropped: u64) -> Vec<u8> {
    let mut block = Vec::new();
    for word in [5_u32, 40, 0, 0, 0] {
        block.extend(word.to_le_bytes());
    }
    // Option 5, isb_ifdrop, of 8 bytes; then the end of the options.
    block.extend([5, 0, 8, 0]);
    block.extend(dropped.to_le_bytes());
    block.extend([0, 0, 0, 0]);
    block.extend(40_u32.to_le_bytes());
    block
}

#[test]
fn tshark_gets_the_measured_options() {
    check_arguments(
        &["--interface", "eth0", "--port", "37008", "--port", "1234"],
        "-p -Q -B 64 -s 384 -f (dst port 37008 or dst port 1234) and udp -i eth0 -w -\n",
    );
    check_arguments(
        &[
            "--interface",
            "eth0",
            "--interface",
            "eth1",
            "--port",
            "1",
            "--snaplen",
            "512",
            "--capture-buffer",
            "8",
            "--promiscuous",
        ],
        "-Q -B 8 -s 512 -f (dst port 1) and udp -i eth0 -i eth1 -w -\n",
    );
}

#[track_caller]
fn check_arguments(typed: &[&str], expected: &str) {
    let tools = fake_tshark("echo \"$@\" > arguments; exec sleep 60");
    let place = Place {
        tools: Some(tools.path()),
        ..Place::default()
    };
    let _exporter = Exporter::start_at(&place, typed);
    let arguments = eventually("the arguments", || {
        let text = fs::read_to_string(tools.path().join("arguments")).ok();
        text.filter(|text| text.ends_with('\n'))
    });
    assert_eq!(arguments, expected);
}

#[test]
fn a_packet_counts_as_soon_as_its_last_byte_is_there() {
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
        // All but the last byte, in small pieces; each can be read alone.
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
    // At least half a second, then a second, between the runs.
    let lost = scrape.value("tzsp_data_lost_between_iterations_seconds_total");
    assert!(lost > 1.5, "{lost}");
    exporter.line_with("the capture ended and is started again: tshark ended (exit status: 0)");
    exporter.line_with("capturing on eth0 again, after ");
}

#[test]
fn attempts_that_fail_alike_are_logged_once() {
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
    exporter.line_with("capturing on eth0 again, after ");
    exporter.signal(Signal::SIGTERM);
    let (_, said) = exporter.ended();
    assert_eq!(said.matches("cannot start again").count(), 1, "{said}");
}

#[test]
fn garbage_in_the_stream_ends_the_run_and_what_came_before_counts() {
    let tools = fake_tshark("cat capture garbage; exec sleep 60");
    write(&tools, "capture", &capture());
    write(&tools, "garbage", b"\x06\0\0\0\x07\0\0\0garbage garbage");
    let mut exporter = start(&tools);
    exporter.line_with("the capture is damaged at byte");
    exporter.scrape_until("a second run", |scrape| {
        scrape.value("tzsp_frames_received_total") == 4.0
    });
}

#[test]
fn a_block_of_2_gib_ends_the_run_and_costs_no_memory() {
    let tools = fake_tshark("cat capture block /dev/zero");
    write(&tools, "capture", &capture());
    write(&tools, "block", b"\x06\0\0\0\0\0\0\x80");
    let mut exporter = start(&tools);
    exporter.line_with("a block of 2147483648 bytes");
    let scrape = exporter.scrape_until("a second run", |scrape| {
        scrape.value("tzsp_frames_received_total") == 4.0
    });
    let resident = scrape.value("process_resident_memory_bytes");
    assert!(resident < 32e6, "{resident} bytes");
}

#[test]
fn floods_of_standard_error_neither_block_nor_grow() {
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
    let (_tools, exporter) = loaded(&[]);

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

    // Captures go on too: the killed one is started again and read to its end.
    let before = scrape.value("tzsp_frames_received_total");
    kill(exporter.descendant("sleep"), Signal::SIGKILL).unwrap();
    exporter.scrape_until("a second run", |scrape| {
        scrape.value("tzsp_frames_received_total") == 2.0 * before
    });
    exporter.signal(Signal::SIGTERM);
    let (status, said) = exporter.ended();
    assert!(status.success(), "{said}");
    drop(stalled);
}

#[test]
fn losses_that_are_reported_twice_count_once() {
    // The first run tells in its stream and in words, the second in words alone.
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
    let (_, said) = exporter.ended();
    assert!(said.contains("dropped=12 "), "{said}");
}

#[test]
fn a_stop_counts_what_tshark_still_hands_over() {
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
    let (status, said) = exporter.ended();
    assert!(status.success(), "{said}");
    assert!(said.contains("stopped frames=2 counted=2 "), "{said}");
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
    let (status, said) = exporter.ended();
    assert!(status.success(), "{said}");
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn what_is_left_of_a_capture_neither_counts_nor_ends_its_successor() {
    // A child of the first tshark leaves its process group and keeps the pipe open. Once the
    // second one captures, it writes until nobody reads.
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
    // At least half a second between the runs, although the first pipe was open all the time.
    let lost = scrape.value("tzsp_data_lost_between_iterations_seconds_total");
    assert!(lost > 0.5, "{lost}");
    write(&tools, "release", b"");
    eventually("nobody reads what is left", || {
        tools.path().join("gone").exists().then_some(())
    });
    let scrape = exporter.scrape();
    assert_eq!(scrape.value("tzsp_capture_up"), 1.0);
    assert_eq!(scrape.value("tzsp_capture_iterations_total"), 2.0);
    assert_eq!(scrape.value("tzsp_frames_received_total"), 4.0);
    assert_eq!(exporter.get("/-/ready").0, 200);
}

#[test]
fn a_stop_does_not_wait_for_advice() {
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
    let (status, said) = exporter.ended();
    assert!(status.success(), "{said}");
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(said.contains("There is no device named"), "{said}");
    eventually("nothing of it is left", || {
        (!is_running(sleep)).then_some(())
    });
}

/// What the program says when tshark ends before it has captured anything.
#[track_caller]
fn failure_to_start(path: &Path) -> String {
    let system = std::env::var("PATH").unwrap();
    let run = program()
        .args(ARGUMENTS)
        .args(["--publish-port", "0", "--log-level", "error"])
        .env("PATH", format!("{}:{system}", path.display()))
        .assert()
        .code(1);
    String::from_utf8(run.get_output().stderr.clone()).unwrap()
}

#[test]
fn a_failure_to_start_quotes_tshark_and_says_what_to_do() {
    let denied = fake_tshark(
        "echo \"tshark: Couldn't run /usr/bin/dumpcap in child process: Permission denied\" >&2\n\
         exit 1",
    );
    insta::assert_snapshot!(failure_to_start(denied.path()), @r#"error: cannot capture: not permitted: to capture without being root, add the user to the group wireshark (Debian, Ubuntu: dpkg-reconfigure wireshark-common, then usermod -aG wireshark USER), or run: setcap cap_net_raw,cap_net_admin+eip "$(command -v dumpcap)"; or leave out --interface to receive on plain UDP sockets; tshark ended (exit status: 1): Couldn't run /usr/bin/dumpcap in child process: Permission denied"#);

    // A kilobyte of advice of its own, behind another one about its settings.
    let talkative = fake_tshark(
        "for table in $(seq 100); do echo \"Error loading table '$table': Permission denied\"; done >&2\n\
         echo 'tshark: You do not have permission to capture on device \"eth0\".' >&2\n\
         for line in $(seq 100); do echo 'Please check your permissions.'; done >&2\n\
         exit 1",
    );
    let said = failure_to_start(talkative.path());
    let remedy = said.find("to capture without being root").unwrap();
    let words = said
        .find("You do not have permission to capture on device \"eth0\".")
        .unwrap();
    assert!(remedy < words && said.len() < 700, "{said}");

    let no_device = fake_tshark(
        "[ \"$1\" = -D ] && { echo '1. eth1'; echo '2. any'; exit 0; }\n\
         echo 'tshark: There is no device named \"eth0\".' >&2\n\
         exit 1",
    );
    insta::assert_snapshot!(failure_to_start(no_device.path()), @r#"
    error: cannot capture: tshark ended (exit status: 1): There is no device named "eth0".; --interface takes one of these:
    1. eth1
    2. any
    "#);

    let no_answer = fake_tshark(
        "[ \"$1\" = -D ] && exec sleep 60\n\
         echo 'tshark: There is no device named \"eth0\".' >&2\n\
         exit 1",
    );
    insta::assert_snapshot!(failure_to_start(no_answer.path()), @r#"error: cannot capture: tshark ended (exit status: 1): There is no device named "eth0".; --interface takes one of those that `tshark -D` lists"#);

    let killed = fake_tshark("kill -KILL $$");
    insta::assert_snapshot!(failure_to_start(killed.path()), @"error: cannot capture: tshark ended (signal: 9 (SIGKILL))");

    let something_else = fake_tshark("echo 'This is not a capture, but a longer text.'; exit 0");
    insta::assert_snapshot!(failure_to_start(something_else.path()), @"error: cannot capture: tshark ended (exit status: 0); its output is not a capture stream: this is neither a pcap nor a pcapng capture");
}

#[test]
fn without_tshark_one_message_says_what_to_install() {
    let nothing = TempDir::new().unwrap();
    let run = program()
        .args(ARGUMENTS)
        .args(["--capture", "tshark", "--publish-port", "0"])
        .args(["--log-level", "error"])
        .env("PATH", nothing.path())
        .assert()
        .code(1);
    let stderr = String::from_utf8(run.get_output().stderr.clone()).unwrap();
    insta::assert_snapshot!(stderr, @"error: cannot capture: tshark is not installed, or not on the PATH: install it (Debian and Ubuntu: apt install tshark; Fedora: dnf install wireshark-cli; Alpine: apk add tshark; macOS: brew install wireshark), or leave out --interface to receive on plain UDP sockets");
}
