//! Parts that fail, and where it is shown what comes of it:
//!
//! | fault | test |
//! |---|---|
//! | tshark missing | `supervision::without_tshark_one_message_says_what_to_install` |
//! | tshark or dumpcap killed | `network::killed_processes_are_replaced` |
//! | tshark stopped | `network::a_stopped_tshark_that_goes_on_has_lost_nothing` |
//! | dumpcap stopped | `faults::a_stopped_dumpcap_shows_in_the_time_of_the_last_frame` |
//! | tshark replaced by another version | `faults::a_tshark_that_was_replaced_is_what_runs_next` |
//! | tshark prints garbage at once | `supervision::a_failure_to_start_quotes_tshark_and_says_what_to_do` |
//! | tshark prints garbage later | `supervision::garbage_in_the_stream_ends_the_run_and_what_came_before_counts` |
//! | tshark closes its output and lives on | `faults::a_tshark_that_closes_its_output_is_replaced` |
//! | tshark does not end | `supervision::a_tshark_that_ignores_sigterm_is_killed` |
//! | interface gone | `network::an_interface_that_goes_and_comes_back_is_captured_again` |
//! | temporary directory full, root read-only: live | `faults::a_capture_needs_no_place_on_any_disk` |
//! | temporary directory full: `--every` | `faults::a_full_temporary_directory_is_an_error` |
//! | temporary directory missing: `--every` | `timeline::without_room_for_a_temporary_file_nothing_is_written` |
//! | disk full: `--write-inner` | `faults::a_full_disk_keeps_what_fits_and_everything_counts` |
//! | file descriptors exhausted: clients | `clients::without_file_descriptors_the_exporter_waits_and_warns_once` |
//! | file descriptors exhausted: tshark | `faults::without_file_descriptors_a_capture_starts_later` |
//! | file descriptors exhausted: what the kernel dropped | `faults::what_the_kernel_dropped_never_goes_back` |
//! | no threads: at the start | `faults::without_threads_it_does_not_start` |
//! | no threads: captures | `faults::without_threads_files_are_read_one_after_the_other` |
//! | no threads: later | `faults::without_more_threads_it_goes_on` |
//! | memory limit | `faults::more_flows_than_fit_into_memory_are_refused` |
//! | clock set back and forward | `faults::a_clock_that_is_set_disturbs_nothing` |
//! | output closed | `analyze::a_reader_that_has_seen_enough_is_no_error` |
//! | standard error closed, gone, full | `surroundings::nobody_has_to_take_what_is_logged` |
//! | SIGHUP without a terminal | `surroundings::a_hangup_without_a_terminal_ends_nothing` |
//! | SIGHUP from the terminal | `surroundings::a_terminal_that_is_gone_ends_the_program` |
//! | SIGHUP under nohup | `surroundings::nohup_holds` |
//! | no capabilities | `surroundings::sockets_need_no_capabilities` |
//! | no more capabilities than its unit names | `surroundings::a_capture_needs_the_capabilities_that_its_unit_names` |
//! | exporter killed | `network::nothing_outlives_an_exporter_that_is_killed` |
//!
//! What else the clock may do is tested in `src/live/supervisor.rs` and `src/live/history.rs`, which
//! have it as an argument; a panic, in `src/panics.rs`.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use insta::assert_snapshot;
use nix::sys::signal::{Signal, kill};
use tempfile::TempDir;

use crate::live::{DATAGRAM, send};
use crate::namespace::{COLLECTOR_LINK, Network};
use crate::network::{capture_through, received, stream, wait_for};
use crate::scrape::Scrape;
use crate::support::{
    self, Exporter, PROGRAM, Place, command, eventually, fake_tshark, is_running, program,
    testdata, tool,
};

const FAKE: [&str; 4] = ["--interface", "eth0", "--listen-port", "37008"];

#[test]
fn every_test_of_the_table_is_there() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let rows = include_str!("faults.rs").lines();
    let rows = rows.filter_map(|line| line.strip_prefix("//! | ")?.strip_suffix("` |"));
    let mut tests = 0;
    for row in rows {
        let (_, test) = row.rsplit_once('`').unwrap();
        let (module, name) = test.split_once("::").unwrap();
        let source = fs::read_to_string(directory.join(format!("{module}.rs"))).unwrap();
        assert!(source.contains(&format!("#[test]\nfn {name}()")), "{test}");
        tests += 1;
    }
    assert!(tests > 20, "{tests}");
}

fn capture() -> Vec<u8> {
    fs::read(testdata().join("pcapng_little_endian.pcapng")).unwrap()
}

fn start_fake(tools: &TempDir) -> Exporter<'static> {
    let place = Place {
        tools: Some(tools.path()),
        ..Place::default()
    };
    Exporter::start_at(&place, &FAKE)
}

#[test]
fn a_tshark_that_closes_its_output_is_replaced() {
    let tools = fake_tshark("echo run >> runs; cat capture; exec >&-; exec sleep 60");
    fs::write(tools.path().join("capture"), capture()).unwrap();
    let mut exporter = start_fake(&tools);
    let first = eventually("the first", || {
        exporter.descendants("sleep").first().copied()
    });
    exporter.line_with("the capture ended and is started again");
    let scrape = exporter.scrape_until("a second run", |scrape| received(scrape) == 4.0);
    assert_eq!(scrape.value("tzsp_capture_iterations_total"), 2.0);
    assert!(!is_running(first));
}

#[test]
fn a_tshark_that_was_replaced_is_what_runs_next() {
    let tools = fake_tshark("cat capture; exec sleep 60");
    let replace = |script: &str| {
        // As packages do it: the old file stays with who runs it.
        let other = fake_tshark(script);
        let there = tools.path().join("tshark");
        tool(
            Command::new("mv")
                .arg(other.path().join("tshark"))
                .arg(there),
        );
    };
    fs::write(tools.path().join("capture"), capture()).unwrap();
    let big_endian = testdata().join("pcap_big_endian_nanoseconds.pcap");
    fs::copy(big_endian, tools.path().join("other")).unwrap();
    let mut exporter = start_fake(&tools);
    exporter.scrape_until("the first version", |scrape| received(scrape) == 2.0);
    let end = |exporter: &Exporter<'_>| {
        let running = exporter.descendant("sleep");
        kill(running, Signal::SIGKILL).unwrap();
    };

    // One that does not know the options.
    replace("echo \"tshark: invalid option -- 'Q'\" >&2; exit 1");
    end(&exporter);
    exporter.line_with("cannot start again: tshark ended (exit status: 1): invalid option -- 'Q'");
    // One that writes another format: two packets too.
    replace("cat other; exec sleep 60");
    exporter.line_with("capturing on eth0 again");
    let scrape = exporter.scrape_until("the other version", |scrape| received(scrape) == 4.0);
    assert_eq!(scrape.value("tzsp_capture_iterations_total"), 2.0);
    assert_eq!(scrape.value("tzsp_capture_up"), 1.0);
}

#[test]
fn a_stopped_dumpcap_shows_in_the_time_of_the_last_frame() {
    let network = Network::new();
    let exporter = capture_through(&network, &[], COLLECTOR_LINK);
    stream(&network, 10);
    let before = wait_for(&exporter, 10.0);
    let dumpcap = exporter.descendants("dumpcap")[0];
    kill(dumpcap, Signal::SIGSTOP).unwrap();
    stream(&network, 10);
    // Nothing tells that it is stopped but that no frame comes.
    let scrape = exporter.scrape();
    assert_eq!(received(&scrape), 10.0);
    assert_eq!(scrape.value("tzsp_capture_up"), 1.0);
    let newest = "tzsp_capture_last_frame_timestamp_seconds";
    assert_eq!(scrape.value(newest), before.value(newest));

    kill(dumpcap, Signal::SIGCONT).unwrap();
    let after = wait_for(&exporter, 20.0);
    assert!(after.value(newest) > before.value(newest));
    kill(dumpcap, Signal::SIGSTOP).unwrap();
    let begin = Instant::now();
    exporter.signal(Signal::SIGTERM);
    let (status, said) = exporter.ended();
    assert!(status.success(), "{said}");
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    eventually("dumpcap's end", || (!is_running(dumpcap)).then_some(()));
}

#[test]
fn a_capture_needs_no_place_on_any_disk() {
    let full = TempDir::new().unwrap();
    let full = full.path().to_str().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=4k none {full} && head -c 4096 /dev/zero > {full}/zeros && \
         ! (echo > {full}/more) 2> /dev/null && export TMPDIR={full} && \
         mount -o remount,bind,ro / && ! touch /x 2> /dev/null && exec \"$0\" \"$@\""
    );
    let network = Network::new();
    let exporter = capture_through(
        &network,
        &["unshare", "--mount", "sh", "-c", &script],
        COLLECTOR_LINK,
    );
    stream(&network, 1000);
    let scrape = wait_for(&exporter, 1000.0);
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 40_000.0);
}

/// What `analyze` does in a directory that holds so much: status, standard output, standard error.
#[track_caller]
fn analyze_with_disk_of(size: &str, script: &str, stdin: &[u8]) -> (Option<i32>, String, String) {
    let disk = TempDir::new().unwrap();
    let script = format!(
        "mount -t tmpfs -o size={size} none {0} && cd {0} && {script}",
        disk.path().display()
    );
    let mut command = assert_cmd::Command::from_std(command("unshare"));
    command.args(["--mount", "sh", "-c", &script, PROGRAM]);
    let output = command.write_stdin(stdin).output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// A capture of so many flows: one packet of 52 bytes each.
pub(crate) fn many_flows(flows: u32) -> Vec<u8> {
    let capture = fs::read(testdata().join("packets_of_one_flow_merge.pcap")).unwrap();
    let (header, records) = capture.split_at(24);
    let length = u32::from_le_bytes(records[8..12].try_into().unwrap()) as usize;
    let record = &records[..16 + length];
    let mut stream = header.to_vec();
    for flow in 0..flows {
        let start = stream.len();
        stream.extend(record);
        // Behind the record's header, Ethernet, IPv4, UDP, TZSP, Ethernet: the inner source.
        let source = start + 16 + 14 + 20 + 8 + 5 + 14 + 12;
        stream[source..][..4].copy_from_slice(&(0x0a00_0000 + flow).to_be_bytes());
    }
    stream
}

#[test]
fn a_full_temporary_directory_is_an_error() {
    let (status, out, said) = analyze_with_disk_of(
        "64k",
        "TMPDIR=. exec \"$0\" analyze --format openmetrics --every 1s --labels from -",
        &many_flows(120_000),
    );
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert_snapshot!(said, @"error: cannot use a temporary file in ., which TMPDIR chooses: No space left on device (os error 28)");
}

#[test]
fn a_full_disk_keeps_what_fits_and_everything_counts() {
    // What fits: 16 pages of 4 KiB.
    let (status, out, said) = analyze_with_disk_of(
        "64k",
        "\"$0\" analyze - --write-inner inner.pcap; status=$?; \
         [ $(stat -c %s inner.pcap) = 65536 ] || echo unexpected; exit $status",
        &many_flows(10_000),
    );
    assert_eq!(status, Some(1));
    let scrape = Scrape::parse(&out);
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 520_000.0);
    assert_snapshot!(said, @"error: cannot write inner.pcap: No space left on device (os error 28); the file is incomplete");
}

/// How many files it has open.
fn open_files(exporter: &Exporter<'_>) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", exporter.pid()));
    open.unwrap().count()
}

/// From now on it may have so many open; what is open stays open.
fn limit_open_files(exporter: &Exporter<'_>, limit: usize) {
    let pid = format!("--pid={}", exporter.pid());
    let limit = format!("--nofile={limit}:");
    tool(Command::new("prlimit").args([&pid, &limit]));
}

#[test]
fn without_file_descriptors_a_capture_starts_later() {
    let tools = fake_tshark("cat capture; exec sleep 60");
    fs::write(tools.path().join("capture"), capture()).unwrap();
    let mut exporter = start_fake(&tools);
    exporter.scrape_until("a run", |scrape| received(scrape) == 2.0);
    let running = exporter.descendant("sleep");
    limit_open_files(&exporter, 4);
    kill(running, Signal::SIGKILL).unwrap();
    exporter
        .line_with("cannot start again: cannot start tshark: Too many open files (os error 24)");
    limit_open_files(&exporter, 1024);
    exporter.line_with("capturing on eth0 again");
    exporter.scrape_until("a second run", |scrape| received(scrape) == 4.0);
}

#[test]
fn what_the_kernel_dropped_never_goes_back() {
    let dropped = |scrape: &Scrape| scrape.value("tzsp_capture_dropped_total");
    let mut exporter = Exporter::start(&["--listen-port", "0", "--receive-buffer", "1"]);
    let port = exporter.udp_port();
    exporter.signal(Signal::SIGSTOP);
    let mut datagram = DATAGRAM.to_vec();
    datagram.resize(1000, 0);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..10_000 {
        socket.send_to(&datagram, ("127.0.0.1", port)).unwrap();
    }
    exporter.signal(Signal::SIGCONT);
    let before = exporter.scrape_until("all that was sent", |scrape| {
        received(scrape) + dropped(scrape) == 10_000.0
    });
    assert!(dropped(&before) > 0.0);

    // A connection that is open already needs no file descriptor, what the kernel tells does.
    let mut client = TcpStream::connect(("localhost", exporter.port)).unwrap();
    let mut ask = || {
        client
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        let mut piece = vec![0; 65536];
        while !text.ends_with("\r\n0\r\n\r\n") {
            let size = client.read(&mut piece).unwrap();
            assert_ne!(size, 0, "{text}");
            text.push_str(std::str::from_utf8(&piece[..size]).unwrap());
        }
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("tzsp_capture_dropped_total "));
        line.unwrap().parse::<f64>().unwrap()
    };
    assert_eq!(ask(), dropped(&before));
    limit_open_files(&exporter, 4);
    assert_eq!(ask(), dropped(&before));
    assert_eq!(ask(), dropped(&before));
    exporter.line_with("cannot read what the kernel dropped");
    limit_open_files(&exporter, open_files(&exporter) + 20);
    assert_eq!(ask(), dropped(&before));
    exporter.signal(Signal::SIGTERM);
    let (status, said) = exporter.ended();
    assert!(status.success(), "{said}");
    assert_eq!(said.matches("cannot read what").count(), 1, "{said}");
}

#[test]
fn without_threads_it_does_not_start() {
    // A user of its own, whose only thread is the exporter's first.
    let run = assert_cmd::Command::from_std(command("setpriv"))
        .args(["--reuid=61234", "--regid=61234", "--clear-groups"])
        .args(["prlimit", "--nproc=1", PROGRAM, "--listen-port", "0"])
        .args(["--publish-port", "0", "--log-level", "error"])
        .assert()
        .code(1);
    let said = std::str::from_utf8(&run.get_output().stderr).unwrap();
    assert_snapshot!(said, @"error: cannot start a thread: Resource temporarily unavailable (os error 11); allow more with TasksMax= in systemd, or with ulimit -u");
}

#[test]
fn without_threads_files_are_read_one_after_the_other() {
    let analyze = ["analyze", "--jobs", "3"];
    let captures = [
        "protocols.pcap",
        "linux_cooked_v1_vlan.pcap",
        "packets_of_one_flow_merge.pcap",
    ];
    let captures = captures.map(|name| testdata().join(name));
    let run = assert_cmd::Command::from_std(command("setpriv"))
        .args(["--reuid=61236", "--regid=61236", "--clear-groups"])
        .args(["prlimit", "--nproc=1", PROGRAM])
        .args(analyze)
        .args(&captures)
        .assert()
        .success();
    let with_threads = program().args(analyze).args(&captures).output().unwrap();
    assert_eq!(*run.get_output(), with_threads);
    let scrape = Scrape::parse(std::str::from_utf8(&with_threads.stdout).unwrap());
    let alone = captures
        .iter()
        .map(|capture| received(&support::analyze(capture)));
    assert_eq!(received(&scrape), alone.sum::<f64>());
}

#[test]
fn without_more_threads_it_goes_on() {
    // A user of its own, who may lower his own limits.
    let user = [
        "setpriv",
        "--reuid=61235",
        "--regid=61235",
        "--clear-groups",
    ];
    let place = Place {
        through: &user,
        ..Place::default()
    };
    let mut exporter = Exporter::start_at(&place, &["--listen-port", "0"]);
    let port = exporter.udp_port();
    let pid = format!("--pid={}", exporter.pid());
    let [setpriv, user @ ..] = user;
    let mut lower = Command::new(setpriv);
    tool(lower.args(user).args(["prlimit", &pid, "--nproc=1:1"]));
    let metrics = exporter.url("/metrics");
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| ureq::get(&metrics).call().unwrap());
        }
    });
    send(port, &DATAGRAM);
    exporter.scrape_until("the datagram", |scrape| received(scrape) == 1.0);
}

#[test]
fn a_clock_that_is_set_disturbs_nothing() {
    const DAY: f64 = 86_400.0;

    let directory = TempDir::new().unwrap();
    let path = |name| directory.path().join(name);
    let set = |offset: &str| {
        // Never half written.
        fs::write(path("new"), offset).unwrap();
        fs::rename(path("new"), path("clock")).unwrap();
    };
    set("+0");
    // Under faketime itself, the exporter would be a child that outlives it.
    let library = tool(Command::new("faketime").args(["-f", "+0", "printenv", "LD_PRELOAD"]));
    let clock = path("clock");
    let place = Place {
        environment: &[
            ("LD_PRELOAD", library.trim()),
            ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ],
        ..Place::default()
    };
    let mut exporter = Exporter::start_at(&place, &["--listen-port", "0"]);
    let port = exporter.udp_port();
    let offsets = [("+0", 0.0), ("-10d", -10.0), ("+10d", 10.0)];
    for ((offset, days), frames) in offsets.into_iter().zip([1.0, 2.0, 3.0]) {
        set(offset);
        send(port, &DATAGRAM);
        let scrape = exporter.scrape_until("the datagram", |scrape| received(scrape) == frames);
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        let newest = scrape.value("tzsp_capture_last_frame_timestamp_seconds");
        let off = newest - now - days * DAY;
        assert!((-60.0..60.0).contains(&off), "{offset}: off by {off} s");
        // No time has passed: flows stay, and nothing was lost.
        assert_eq!(scrape.value("tzsp_flows"), 1.0);
        let lost = "tzsp_data_lost_between_iterations_seconds_total";
        assert_eq!(scrape.value(lost), 0.0);
    }
}

/// What is said under a limit of 100 MiB, and with which status.
#[track_caller]
fn under_100_mib(arguments: &[&str]) -> (Option<i32>, String) {
    let output = command("prlimit")
        .args(["--as=104857600", PROGRAM])
        .args(arguments)
        .current_dir(testdata())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}

#[test]
fn more_flows_than_fit_into_memory_are_refused() {
    let live = ["--listen-port", "0", "--publish-port", "0"];
    // 16 MiB, 500,000 * 224 bytes, 5,000,000 * 128 bytes.
    let (status, said) = under_100_mib(&[&live[..], &["--max-flows", "500000"]].concat());
    assert_eq!(status, Some(1));
    assert_snapshot!(said, @"error: --max-flows 500000 with --max-idle-flows 5000000 may take 734 MiB of memory, and ulimit -v allows 100 MiB: lower --max-flows or --max-idle-flows, or allow more");
    // 16 MiB, 100 * 224 bytes, 1,000,000 * 128 bytes.
    let idle = ["--max-flows", "100", "--max-idle-flows", "1000000"];
    let (status, said) = under_100_mib(&[&live[..], &idle].concat());
    assert_eq!(status, Some(1));
    assert_snapshot!(said, @"error: --max-flows 100 with --max-idle-flows 1000000 may take 139 MiB of memory, and ulimit -v allows 100 MiB: lower --max-flows or --max-idle-flows, or allow more");

    // In a capture there may be few, so what nobody asked for is a warning.
    let (status, said) = under_100_mib(&["analyze", "--max-flows", "500000", "protocols.pcap"]);
    assert_eq!(status, Some(1));
    assert_snapshot!(said, @"error: --max-flows 500000 may take 123 MiB of memory, and ulimit -v allows 100 MiB: lower --max-flows, or allow more");
    let (status, said) = under_100_mib(&["analyze", "protocols.pcap"]);
    assert_eq!(status, Some(0));
    assert_snapshot!(said, @"warning: --max-flows 1000000 may take 230 MiB of memory, and ulimit -v allows 100 MiB: lower --max-flows, or allow more");
    let (status, said) = under_100_mib(&["analyze", "--max-flows", "300000", "protocols.pcap"]);
    assert_eq!((status, said.as_str()), (Some(0), ""));
}
