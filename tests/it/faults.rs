//! Faults of the system and of tshark. The table lists each fault with the test that covers it:
//!
//! | fault | test |
//! |---|---|
//! | tshark missing | `supervision::without_tshark_the_error_states_what_to_install` |
//! | tshark or dumpcap killed | `network::killed_capture_processes_are_restarted` |
//! | tshark stopped | `network::a_tshark_that_was_stopped_and_continued_loses_nothing` |
//! | dumpcap stopped | `faults::a_stopped_dumpcap_is_visible_in_the_last_frame_timestamp` |
//! | tshark replaced by another version | `faults::a_replaced_tshark_is_used_at_the_next_start` |
//! | tshark prints garbage at once | `supervision::a_failure_to_start_quotes_tshark_and_states_the_remedy` |
//! | tshark prints garbage later | `supervision::garbage_in_the_stream_ends_the_run_and_earlier_packets_count` |
//! | tshark closes its output and lives on | `faults::a_tshark_that_closes_its_output_is_replaced` |
//! | tshark does not end | `supervision::a_tshark_that_ignores_sigterm_is_killed` |
//! | interface gone | `network::an_interface_that_disappears_and_returns_is_captured_again` |
//! | temporary directory full, root read-only: live | `faults::a_capture_needs_no_disk_space` |
//! | temporary directory full: `--every` | `faults::a_full_temporary_directory_is_an_error` |
//! | temporary directory missing: `--every` | `timeline::without_a_temporary_directory_nothing_is_written` |
//! | disk full: `--write-inner` | `faults::on_a_full_disk_the_frames_that_fit_are_kept_and_all_count` |
//! | file descriptors exhausted: clients | `clients::without_file_descriptors_the_exporter_waits_and_warns_once` |
//! | file descriptors exhausted: tshark | `faults::without_file_descriptors_a_capture_starts_later` |
//! | file descriptors exhausted: what the kernel dropped | `faults::the_count_of_kernel_drops_never_decreases` |
//! | no threads: at the start | `faults::without_threads_the_exporter_does_not_start` |
//! | no threads: captures | `faults::without_threads_files_are_read_one_after_the_other` |
//! | no threads: later | `faults::a_running_exporter_continues_without_new_threads` |
//! | memory limit | `faults::more_flows_than_fit_into_memory_are_refused` |
//! | clock set back and forward | `faults::setting_the_clock_affects_no_flows_and_no_losses` |
//! | output closed | `analyze::a_closed_output_pipe_is_not_an_error` |
//! | standard error closed, gone, full | `surroundings::an_exporter_whose_log_cannot_be_written_works` |
//! | SIGHUP without a terminal | `surroundings::sighup_without_a_terminal_is_ignored` |
//! | SIGHUP from the terminal | `surroundings::sighup_from_a_closed_terminal_ends_the_program` |
//! | SIGHUP under nohup | `surroundings::sighup_under_nohup_is_ignored` |
//! | no capabilities | `surroundings::sockets_need_no_capabilities` |
//! | no more capabilities than its unit names | `surroundings::a_capture_needs_only_the_capabilities_of_its_unit` |
//! | exporter killed | `network::child_processes_end_with_a_killed_exporter` |
//!
//! Other changes of the clock are tested in `src/live/supervisor.rs` and `src/live/history.rs`,
//! which take the time as an argument. Panics are tested in `src/panics.rs`.

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
    self, Exporter, LaunchOptions, PROGRAM, command, eventually, fake_tshark, is_running, program,
    testdata, tool,
};

const FAKE: [&str; 4] = ["--interface", "eth0", "--listen-port", "37008"];

#[test]
fn every_test_in_the_table_exists() {
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
    let launch = LaunchOptions {
        tools: Some(tools.path()),
        ..LaunchOptions::default()
    };
    Exporter::start_with(&launch, &FAKE)
}

#[test]
fn a_tshark_that_closes_its_output_is_replaced() {
    let tools = fake_tshark("echo run >> runs; cat capture; exec >&-; exec sleep 60");
    fs::write(tools.path().join("capture"), capture()).unwrap();
    let mut exporter = start_fake(&tools);
    let first = eventually("the first", || {
        exporter.descendants("sleep").first().copied()
    });
    exporter.wait_for_line("the capture ended and is started again");
    let scrape = exporter.scrape_until("a second run", |scrape| received(scrape) == 4.0);
    assert_eq!(scrape.value("tzsp_capture_iterations_total"), 2.0);
    assert!(!is_running(first));
}

#[test]
fn a_replaced_tshark_is_used_at_the_next_start() {
    let tools = fake_tshark("cat capture; exec sleep 60");
    let replace = |script: &str| {
        // Package managers replace files by renaming, so running processes keep the old file.
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

    // A version that does not know the options.
    replace("echo \"tshark: invalid option -- 'Q'\" >&2; exit 1");
    end(&exporter);
    exporter
        .wait_for_line("cannot start again: tshark ended (exit status: 1): invalid option -- 'Q'");
    // A version that writes another capture format, also with two packets.
    replace("cat other; exec sleep 60");
    exporter.wait_for_line("capturing on eth0 again");
    let scrape = exporter.scrape_until("the other version", |scrape| received(scrape) == 4.0);
    assert_eq!(scrape.value("tzsp_capture_iterations_total"), 2.0);
    assert_eq!(scrape.value("tzsp_capture_up"), 1.0);
}

#[test]
fn a_stopped_dumpcap_is_visible_in_the_last_frame_timestamp() {
    let network = Network::new();
    let exporter = capture_through(&network, &[], COLLECTOR_LINK);
    stream(&network, 10);
    let before = wait_for(&exporter, 10.0);
    let dumpcap = exporter.descendants("dumpcap")[0];
    kill(dumpcap, Signal::SIGSTOP).unwrap();
    stream(&network, 10);
    // The only sign of the stopped process is that no more frames arrive.
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
    let (status, stderr) = exporter.wait_for_exit();
    assert!(status.success(), "{stderr}");
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    eventually("dumpcap's end", || (!is_running(dumpcap)).then_some(()));
}

#[test]
fn a_capture_needs_no_disk_space() {
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

/// Runs a script in a file system of this size. Returns its status, standard output and standard
/// error.
#[track_caller]
fn analyze_on_disk_of(size: &str, script: &str, stdin: &[u8]) -> (Option<i32>, String, String) {
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

/// A capture of this many flows, with one packet of 52 bytes each.
pub(crate) fn many_flows(flows: u32) -> Vec<u8> {
    let capture = fs::read(testdata().join("packets_of_one_flow_merge.pcap")).unwrap();
    let (header, records) = capture.split_at(24);
    let length = u32::from_le_bytes(records[8..12].try_into().unwrap()) as usize;
    let record = &records[..16 + length];
    let mut stream = header.to_vec();
    for flow in 0..flows {
        let start = stream.len();
        stream.extend(record);
        // The inner source address follows the record header, Ethernet, IPv4, UDP, TZSP, Ethernet
        // and 12 bytes of IPv4.
        let source = start + 16 + 14 + 20 + 8 + 5 + 14 + 12;
        stream[source..][..4].copy_from_slice(&(0x0a00_0000 + flow).to_be_bytes());
    }
    stream
}

#[test]
fn a_full_temporary_directory_is_an_error() {
    let (status, out, stderr) = analyze_on_disk_of(
        "64k",
        "TMPDIR=. exec \"$0\" analyze --format openmetrics --every 1s --labels from -",
        &many_flows(120_000),
    );
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert_snapshot!(stderr, @"error: cannot keep what is counted in a temporary file in ., which TMPDIR chooses: No space left on device (os error 28)");
}

#[test]
fn on_a_full_disk_the_frames_that_fit_are_kept_and_all_count() {
    // 16 pages of 4 KiB fit.
    let (status, out, stderr) = analyze_on_disk_of(
        "64k",
        "\"$0\" analyze - --write-inner inner.pcap; status=$?; \
         [ $(stat -c %s inner.pcap) = 65536 ] || echo unexpected; exit $status",
        &many_flows(10_000),
    );
    assert_eq!(status, Some(1));
    let scrape = Scrape::parse(&out);
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 520_000.0);
    assert_snapshot!(stderr, @"error: cannot write inner.pcap: No space left on device (os error 28); it does not hold all frames");
}

/// The number of file descriptors that the exporter has open.
fn open_files(exporter: &Exporter<'_>) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", exporter.pid()));
    open.unwrap().count()
}

/// Limits the number of file descriptors. Open ones beyond the limit stay open.
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
    exporter.wait_for_line(
        "cannot start again: cannot start tshark: Too many open files (os error 24)",
    );
    limit_open_files(&exporter, 1024);
    exporter.wait_for_line("capturing on eth0 again");
    exporter.scrape_until("a second run", |scrape| received(scrape) == 4.0);
}

#[test]
fn the_count_of_kernel_drops_never_decreases() {
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

    // Requests on an open connection need no new file descriptor. Reading the drops from /proc
    // does.
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
    exporter.wait_for_line("cannot read what the kernel dropped");
    limit_open_files(&exporter, open_files(&exporter) + 20);
    assert_eq!(ask(), dropped(&before));
    exporter.signal(Signal::SIGTERM);
    let (status, stderr) = exporter.wait_for_exit();
    assert!(status.success(), "{stderr}");
    assert_eq!(stderr.matches("cannot read what").count(), 1, "{stderr}");
}

#[test]
fn without_threads_the_exporter_does_not_start() {
    // A user id that no other process has, so the limit allows the exporter's main thread alone.
    let run = assert_cmd::Command::from_std(command("setpriv"))
        .args(["--reuid=61234", "--regid=61234", "--clear-groups"])
        .args(["prlimit", "--nproc=1", PROGRAM, "--listen-port", "0"])
        .args(["--publish-port", "0", "--log-level", "error"])
        .assert()
        .code(1);
    let stderr = std::str::from_utf8(&run.get_output().stderr).unwrap();
    assert_snapshot!(stderr, @"error: cannot start a thread: Resource temporarily unavailable (os error 11); allow more with TasksMax= in systemd, or with ulimit -u");
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
fn a_running_exporter_continues_without_new_threads() {
    // A user id that no other process has, so the limit counts the exporter's threads alone.
    let user = [
        "setpriv",
        "--reuid=61235",
        "--regid=61235",
        "--clear-groups",
    ];
    let launch = LaunchOptions {
        wrapper: &user,
        ..LaunchOptions::default()
    };
    let mut exporter = Exporter::start_with(&launch, &["--listen-port", "0"]);
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
fn setting_the_clock_affects_no_flows_and_no_losses() {
    const DAY: f64 = 86_400.0;

    let directory = TempDir::new().unwrap();
    let path = |name| directory.path().join(name);
    let set = |offset: &str| {
        // Renaming makes the change atomic: no reader sees a file that is half written.
        fs::write(path("new"), offset).unwrap();
        fs::rename(path("new"), path("clock")).unwrap();
    };
    set("+0");
    // `faketime` would start the exporter as a child process, which killing faketime does not end.
    let library = tool(Command::new("faketime").args(["-f", "+0", "printenv", "LD_PRELOAD"]));
    let clock = path("clock");
    let launch = LaunchOptions {
        environment: &[
            ("LD_PRELOAD", library.trim()),
            ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ],
        ..LaunchOptions::default()
    };
    let mut exporter = Exporter::start_with(&launch, &["--listen-port", "0"]);
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
        // By the monotonic clock no time has passed: flows stay, and no lost time is counted.
        assert_eq!(scrape.value("tzsp_flows"), 1.0);
        let lost = "tzsp_data_lost_between_iterations_seconds_total";
        assert_eq!(scrape.value(lost), 0.0);
    }
}

/// Runs the program with at most 100 MiB of address space. Returns its status and standard error.
#[track_caller]
fn run_with_100_mib(arguments: &[&str]) -> (Option<i32>, String) {
    let output = command("prlimit")
        .args(["--as=104857600", PROGRAM])
        .args(arguments)
        .current_dir(testdata())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), stderr)
}

#[test]
fn more_flows_than_fit_into_memory_are_refused() {
    let live = ["--listen-port", "0", "--publish-port", "0"];
    // 16 MiB, 500,000 * 224 bytes, 5,000,000 * 128 bytes.
    let (status, stderr) = run_with_100_mib(&[&live[..], &["--max-flows", "500000"]].concat());
    assert_eq!(status, Some(1));
    assert_snapshot!(stderr, @"error: --max-flows 500000 with --max-idle-flows 5000000 may take 734 MiB of memory, and ulimit -v allows 100 MiB: lower --max-flows or --max-idle-flows, or allow more");
    // 16 MiB, 100 * 224 bytes, 1,000,000 * 128 bytes.
    let idle = ["--max-flows", "100", "--max-idle-flows", "1000000"];
    let (status, stderr) = run_with_100_mib(&[&live[..], &idle].concat());
    assert_eq!(status, Some(1));
    assert_snapshot!(stderr, @"error: --max-flows 100 with --max-idle-flows 1000000 may take 139 MiB of memory, and ulimit -v allows 100 MiB: lower --max-flows or --max-idle-flows, or allow more");

    // A capture may have few flows, so the default limit causes only a warning.
    let (status, stderr) =
        run_with_100_mib(&["analyze", "--max-flows", "500000", "protocols.pcap"]);
    assert_eq!(status, Some(1));
    assert_snapshot!(stderr, @"error: --max-flows 500000 may take 123 MiB of memory, and ulimit -v allows 100 MiB: lower --max-flows, or allow more");
    let (status, stderr) = run_with_100_mib(&["analyze", "protocols.pcap"]);
    assert_eq!(status, Some(0));
    assert_snapshot!(stderr, @"warning: --max-flows 1000000 may take 230 MiB of memory, and ulimit -v allows 100 MiB: lower --max-flows, or allow more");
    let (status, stderr) =
        run_with_100_mib(&["analyze", "--max-flows", "300000", "protocols.pcap"]);
    assert_eq!((status, stderr.as_str()), (Some(0), ""));
}
