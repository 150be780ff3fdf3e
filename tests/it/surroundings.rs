//! The daemon in restricted environments: without a reader of its log, without a terminal, without
//! privileges.

use std::fs;
use std::io::{BufRead, BufReader, Read, pipe};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::live::{DATAGRAM, send};
use crate::namespace::{COLLECTOR_LINK, Network};
use crate::network::{capture_through, received, stream, wait_for};
use crate::scrape::Scrape;
use crate::support::{Exporter, LaunchOptions, PROGRAM, command, eventually, testdata};

#[test]
fn an_exporter_whose_log_cannot_be_written_works() {
    let full = || {
        Stdio::from(
            fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .unwrap(),
        )
    };
    let gone = || Stdio::from(pipe().unwrap().1);
    check_works_without_log(&[PROGRAM], full());
    check_works_without_log(&[PROGRAM], gone());
    let closed = ["sh", "-c", "exec \"$0\" \"$@\" 2>&-", PROGRAM];
    check_works_without_log(&closed, Stdio::null());

    // A truncated capture causes a warning.
    let capture = fs::read(testdata().join("protocols.pcap")).unwrap();
    let directory = TempDir::new().unwrap();
    let cut = directory.path().join("cut.pcap");
    fs::write(&cut, &capture[..capture.len() - 1]).unwrap();
    for stderr in [full(), gone()] {
        let mut command = command(PROGRAM);
        let output = command.arg("analyze").arg(&cut).stderr(stderr).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(0));
        let scrape = Scrape::parse(std::str::from_utf8(&output.stdout).unwrap());
        assert_eq!(received(&scrape), 13.0);
    }
}

/// Checks that an exporter whose log cannot be written counts and exits as usual.
#[track_caller]
fn check_works_without_log(words: &[&str], stderr: Stdio) {
    // The log cannot be read, so the test must choose the ports.
    let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
    let tcp = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = udp.local_addr().unwrap().port();
    let publish = tcp.local_addr().unwrap().port();
    drop((udp, tcp));
    let mut child = command(words[0])
        .args(&words[1..])
        .args(["--listen-port", &port.to_string()])
        .args(["--publish-port", &publish.to_string()])
        .args(["--log-level", "debug"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let scrape = || {
        let url = format!("http://localhost:{publish}/metrics");
        let mut response = ureq::get(url).call().ok()?;
        Some(Scrape::parse(&response.body_mut().read_to_string().ok()?))
    };
    eventually("it serves", scrape);
    send(port, &DATAGRAM);
    eventually("the datagram", || {
        scrape().filter(|scrape| received(scrape) == 1.0)
    });
    kill(pid, Signal::SIGTERM).unwrap();
    let status = eventually("its end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn sighup_without_a_terminal_is_ignored() {
    let launch = LaunchOptions {
        wrapper: &["setsid"],
        ..LaunchOptions::default()
    };
    let mut exporter = Exporter::start_with(&launch, &["--listen-port", "0"]);
    exporter.signal(Signal::SIGHUP);
    exporter.wait_for_line("ignoring SIGHUP");
    assert_eq!(exporter.get("/-/healthy").0, 200);
    exporter.signal(Signal::SIGTERM);
    let (status, log) = exporter.wait_for_exit();
    assert!(status.success(), "{log}");
}

/// The log of an exporter on a terminal that is closed once the exporter serves.
fn log_when_the_terminal_closes(wrapper: &[&str], then: impl FnOnce(Pid)) -> String {
    // Close-on-exec: a process that another test starts must not keep the terminal open.
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let terminal = posix_openpt(flags).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let end = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits())
        .open(ptsname_r(&terminal).unwrap())
        .unwrap();
    let mut child = command("setsid")
        .arg("--ctty")
        .args(wrapper)
        .args([PROGRAM, "--listen-port", "0", "--publish-port", "0"])
        .stdin(Stdio::from(end))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut log = String::new();
    while !log.contains("metrics are at") {
        assert_ne!(stderr.read_line(&mut log).unwrap(), 0, "{log}");
    }
    drop(terminal);
    then(Pid::from_raw(i32::try_from(child.id()).unwrap()));
    let status = eventually("its end", || child.try_wait().unwrap());
    stderr.read_to_string(&mut log).unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    log
}

#[test]
fn sighup_from_a_closed_terminal_ends_the_program() {
    let log = log_when_the_terminal_closes(&[], |_| {});
    assert!(
        log.contains("stopping on SIGHUP: the terminal is gone"),
        "{log}"
    );
}

#[test]
fn sighup_under_nohup_is_ignored() {
    let log = log_when_the_terminal_closes(&["nohup"], |pid| {
        kill(pid, Signal::SIGTERM).unwrap();
    });
    assert!(log.contains("stopping on SIGTERM"), "{log}");
}

/// Runs a command as an unprivileged user without capabilities.
const NOBODY: [&str; 4] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
];

#[test]
fn sockets_need_no_capabilities() {
    let nothing = ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"];
    let launch = LaunchOptions {
        wrapper: &[&NOBODY[..], &nothing].concat(),
        ..LaunchOptions::default()
    };
    let mut exporter = Exporter::start_with(&launch, &["--listen-port", "0"]);
    assert_eq!(capabilities(&exporter), "0000000000000000");
    let port = exporter.udp_port();
    send(port, &DATAGRAM);
    exporter.scrape_until("the datagram", |scrape| received(scrape) == 1.0);
}

#[test]
fn a_capture_needs_only_the_capabilities_of_its_unit() {
    let unit = "contrib/systemd/tzsp-packetstream-capture.service";
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join(unit);
    let unit = fs::read_to_string(unit).unwrap();
    for setting in ["AmbientCapabilities", "CapabilityBoundingSet"] {
        let line = format!("\n{setting}=CAP_NET_RAW CAP_NET_ADMIN\n");
        assert!(unit.contains(&line), "{line}");
    }
    let these = [
        "--inh-caps=-all,+net_raw,+net_admin",
        "--ambient-caps=-all,+net_raw,+net_admin",
        "--bounding-set=-all,+net_raw,+net_admin",
        "--no-new-privs",
    ];
    let network = Network::new();
    let exporter = capture_through(&network, &[&NOBODY[..], &these].concat(), COLLECTOR_LINK);
    // CAP_NET_ADMIN is number 12 and CAP_NET_RAW 13: capabilities(7).
    assert_eq!(capabilities(&exporter), "0000000000003000");
    stream(&network, 100);
    let scrape = wait_for(&exporter, 100.0);
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 4000.0);
}

/// The effective capabilities of an exporter, in hexadecimal.
fn capabilities(exporter: &Exporter<'_>) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", exporter.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.unwrap().trim().to_owned()
}
