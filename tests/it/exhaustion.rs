//! Resources that run out: disk space, file descriptors, threads, memory.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::Command;
use std::thread;

use insta::assert_snapshot;
use nix::sys::signal::{Signal, kill};
use tempfile::TempDir;

use crate::faults::{capture, start_fake};
use crate::live::{DATAGRAM, send};
use crate::namespace::{COLLECTOR_LINK, Network};
use crate::native::native_on_cable;
use crate::network::{capture_through, received, stream, wait_for};
use crate::scrape::Scrape;
use crate::support::{
    self, Exporter, LaunchOptions, PROGRAM, command, eventually, fake_tshark, program, testdata,
    tool,
};

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
    assert_snapshot!(stderr, @r"
    warning: the limit of 1000 hosts was reached: further hosts were counted as `other`: raise --max-hosts
    error: cannot use a temporary file in ., which TMPDIR chooses: No space left on device (os error 28)
    ");
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
    assert_snapshot!(stderr, @r"
    warning: the limit of 1000 hosts was reached: further hosts were counted as `other`: raise --max-hosts
    error: cannot write inner.pcap: No space left on device (os error 28); the file is incomplete
    ");
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

/// Requests a metric on an open connection, which needs no new file descriptor.
fn value_on(client: &mut TcpStream, metric: &str) -> f64 {
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
    let mut values = text.lines().filter_map(|line| line.strip_prefix(metric));
    let value = values.find_map(|value| value.strip_prefix(' '));
    value.unwrap().parse().unwrap()
}

/// Looking up an interface opens a socket. A capture that works must not end because that fails.
#[test]
fn without_file_descriptors_a_packet_capture_goes_on() {
    let network = Network::new();
    let exporter = native_on_cable(&network);
    stream(&network, 10);
    wait_for(&exporter, 10.0);
    let connect = || TcpStream::connect(("localhost", exporter.port)).unwrap();
    let mut client = network.collector.run(connect);
    assert_eq!(value_on(&mut client, "tzsp_frames_received_total"), 10.0);
    limit_open_files(&exporter, 4);
    // When the interface goes down, it is looked up before anything else is read.
    for state in ["down", "up"] {
        network
            .collector
            .ip(&["link", "set", COLLECTOR_LINK, state]);
    }
    stream(&network, 10);
    eventually("the packets after it", || {
        (value_on(&mut client, "tzsp_frames_received_total") == 20.0).then_some(())
    });
    assert_eq!(value_on(&mut client, "tzsp_capture_iterations_total"), 1.0);
    assert_eq!(value_on(&mut client, "tzsp_capture_up"), 1.0);
}

#[test]
fn without_file_descriptors_a_packet_capture_starts_later() {
    let network = Network::new();
    let mut exporter = native_on_cable(&network);
    network.pull_out();
    exporter.scrape_until("the capture is down", |scrape| {
        scrape.value("tzsp_capture_up") == 0.0
    });
    limit_open_files(&exporter, 4);
    network.plug_in();
    exporter.wait_for_line(
        "cannot start again: cannot open a packet socket: Too many open files (os error 24)",
    );
    limit_open_files(&exporter, 1024);
    exporter.wait_for_line("capturing on cable0 again");
    stream(&network, 10);
    wait_for(&exporter, 10.0);
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

    // Reading the drops from /proc needs a file descriptor, too.
    let mut client = TcpStream::connect(("localhost", exporter.port)).unwrap();
    let mut ask = || value_on(&mut client, "tzsp_capture_dropped_total");
    assert_eq!(ask(), dropped(&before));
    limit_open_files(&exporter, 4);
    assert_eq!(ask(), dropped(&before));
    assert_eq!(ask(), dropped(&before));
    exporter.wait_for_line("cannot read the kernel's drop counters");
    limit_open_files(&exporter, open_files(&exporter) + 20);
    assert_eq!(ask(), dropped(&before));
    exporter.signal(Signal::SIGTERM);
    let (status, stderr) = exporter.wait_for_exit();
    assert!(status.success(), "{stderr}");
    assert_eq!(
        stderr.matches("cannot read the kernel").count(),
        1,
        "{stderr}"
    );
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
    // 16 MiB, 500,000 * 248 bytes, 5,000,000 * 128 bytes, and 1000 * 1376 bytes for hosts.
    let (status, stderr) = run_with_100_mib(&[&live[..], &["--max-flows", "500000"]].concat());
    assert_eq!(status, Some(1));
    assert_snapshot!(stderr, @"error: --max-flows 500000 with --max-idle-flows 5000000 may take 746 MiB of memory, and ulimit -v allows 100 MiB: lower --max-flows or --max-idle-flows, or allow more");
    // 16 MiB, 100 * 248 bytes, 1,000,000 * 128 bytes, and the same for hosts.
    let idle = ["--max-flows", "100", "--max-idle-flows", "1000000"];
    let (status, stderr) = run_with_100_mib(&[&live[..], &idle].concat());
    assert_eq!(status, Some(1));
    assert_snapshot!(stderr, @"error: --max-flows 100 with --max-idle-flows 1000000 may take 140 MiB of memory, and ulimit -v allows 100 MiB: lower --max-flows or --max-idle-flows, or allow more");

    // A capture may have few flows, so the default limit causes only a warning.
    let (status, stderr) =
        run_with_100_mib(&["analyze", "--max-flows", "500000", "protocols.pcap"]);
    assert_eq!(status, Some(1));
    assert_snapshot!(stderr, @"error: --max-flows 500000 may take 136 MiB of memory, and ulimit -v allows 100 MiB: lower --max-flows, or allow more");
    let (status, stderr) = run_with_100_mib(&["analyze", "protocols.pcap"]);
    assert_eq!(status, Some(0));
    assert_snapshot!(stderr, @"warning: --max-flows 1000000 may take 254 MiB of memory, and ulimit -v allows 100 MiB: lower --max-flows, or allow more");
    let (status, stderr) =
        run_with_100_mib(&["analyze", "--max-flows", "300000", "protocols.pcap"]);
    assert_eq!((status, stderr.as_str()), (Some(0), ""));
}
