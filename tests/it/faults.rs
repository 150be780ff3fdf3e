//! Faults of the system and of tshark. The table lists each fault with the test that covers it:
//!
//! | fault | test |
//! |---|---|
//! | tshark missing | `tshark_start::without_tshark_the_error_states_what_to_install` |
//! | tshark or dumpcap killed | `network::killed_capture_processes_are_restarted` |
//! | tshark stopped | `network::a_tshark_that_was_stopped_and_continued_loses_nothing` |
//! | dumpcap stopped | `faults::a_stopped_dumpcap_is_visible_in_the_last_frame_timestamp` |
//! | tshark replaced by another version | `faults::a_replaced_tshark_is_used_at_the_next_start` |
//! | tshark prints garbage at once | `tshark_start::a_failure_to_start_quotes_tshark_and_states_the_remedy` |
//! | tshark prints garbage later | `supervision::garbage_in_the_stream_ends_the_run_and_earlier_packets_count` |
//! | tshark closes its output and lives on | `faults::a_tshark_that_closes_its_output_is_replaced` |
//! | tshark does not end | `supervision::a_tshark_that_ignores_sigterm_is_killed` |
//! | interface gone | `network::an_interface_that_disappears_and_returns_is_captured_again` |
//! | temporary directory full, root read-only: live | `exhaustion::a_capture_needs_no_disk_space` |
//! | temporary directory full: `--every` | `exhaustion::a_full_temporary_directory_is_an_error` |
//! | temporary directory missing: `--every` | `timeline::without_a_temporary_directory_nothing_is_written` |
//! | disk full: `--write-inner` | `exhaustion::on_a_full_disk_the_frames_that_fit_are_kept_and_all_count` |
//! | file descriptors exhausted: clients | `clients::without_file_descriptors_the_exporter_waits_and_warns_once` |
//! | file descriptors exhausted: tshark | `exhaustion::without_file_descriptors_a_capture_starts_later` |
//! | file descriptors exhausted: what the kernel dropped | `exhaustion::the_count_of_kernel_drops_never_decreases` |
//! | no threads: at the start | `exhaustion::without_threads_the_exporter_does_not_start` |
//! | no threads: captures | `exhaustion::without_threads_files_are_read_one_after_the_other` |
//! | no threads: later | `exhaustion::a_running_exporter_continues_without_new_threads` |
//! | memory limit | `exhaustion::more_flows_than_fit_into_memory_are_refused` |
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
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, kill};
use tempfile::TempDir;

use crate::exposition::{self, PROTOBUF};
use crate::live::{DATAGRAM, send};
use crate::namespace::{COLLECTOR_LINK, Network};
use crate::network::{capture_through, received, stream, wait_for};
use crate::protoc::decoded;
use crate::support::{
    Exporter, LaunchOptions, eventually, fake_tshark, is_running, testdata, tool,
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

pub(crate) fn capture() -> Vec<u8> {
    fs::read(testdata().join("pcapng_little_endian.pcapng")).unwrap()
}

pub(crate) fn start_fake(tools: &TempDir) -> Exporter<'static> {
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
    let mut starts = Vec::new();
    for ((offset, days), frames) in offsets.into_iter().zip([1.0, 2.0, 3.0]) {
        set(offset);
        let mut datagram = DATAGRAM;
        datagram[34] = u8::try_from(starts.len()).unwrap();
        send(port, &datagram);
        let scrape = exporter.scrape_until("the datagram", |scrape| received(scrape) == frames);
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        let newest = scrape.value("tzsp_capture_last_frame_timestamp_seconds");
        let off = newest - now - days * DAY;
        assert!((-60.0..60.0).contains(&off), "{offset}: off by {off} s");
        // By the monotonic clock no time has passed: flows stay, and no lost time is counted.
        assert_eq!(scrape.value("tzsp_flows"), frames);
        let lost = "tzsp_data_lost_between_iterations_seconds_total";
        assert_eq!(scrape.value(lost), 0.0);
        // The starts of the earlier flows stay. The new flow has one by the new clock.
        let (_, body) = exposition::scrape(&exporter, PROTOBUF);
        let families = decoded(&body);
        let mut families = families.into_iter();
        let flows = families.find(|family| family.name == "tzsp_observed_bytes_total");
        let shown = flows.unwrap().samples.into_iter();
        let shown = shown.map(|sample| sample.start.unwrap());
        let shown: Vec<_> = shown
            .map(|(at, nanos)| at as f64 + nanos as f64 / 1e9)
            .collect();
        assert_eq!(shown[..starts.len()], starts);
        let off = shown[starts.len()] - now - days * DAY;
        assert!((-60.0..60.0).contains(&off), "{offset}: off by {off} s");
        starts = shown;
    }
}
