//! Signals during `analyze`, and its progress on a terminal.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;

use nix::fcntl::OFlag;
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use tempfile::TempDir;

use crate::scrape::Scrape;
use crate::support::{PROGRAM, PipedRun, command, eventually, testdata};

/// 5,000 copies of two packets: more than a pipe and a buffer hold.
fn long_capture() -> Vec<u8> {
    let capture = fs::read(testdata().join("pcap_little_endian_microseconds.pcap")).unwrap();
    let (header, records) = capture.split_at(24);
    [header, &records.repeat(5000)].concat()
}

#[test]
fn a_signal_prints_what_was_counted_so_far() {
    for (signal, jobs) in [
        (Signal::SIGINT, "1"),
        (Signal::SIGTERM, "2"),
        (Signal::SIGINT, "4"),
    ] {
        let fed = PipedRun::start(&["analyze", "--jobs", jobs, "-"]).feed(&long_capture());
        let output = fed.signal(signal).wait_for_exit();
        assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
        assert_eq!(
            output.stderr,
            "warning: interrupted: the output is of what was read until then\n"
        );
        let scrape = output.scrape();
        scrape.assert_every_frame_is_accounted_for();
        // All frames except those in the 64 KiB of the pipe.
        let frames = scrape.value("tzsp_frames_received_total");
        assert!(frames > 9000.0, "{frames}");
    }
}

#[test]
fn a_signal_ends_the_wait_for_the_writer_of_a_fifo() {
    let directory = TempDir::new().unwrap();
    let fifo = directory.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let child = command(PROGRAM)
        .arg("analyze")
        .arg(&fifo)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let writer = eventually("a reader", || {
        let mut options = OpenOptions::new();
        let options = options.write(true);
        let options = options.custom_flags(OFlag::O_NONBLOCK.bits());
        options.open(&fifo).ok()
    });
    kill(
        Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    let output = child.wait_with_output().unwrap();
    drop(writer);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"");
}

#[test]
fn a_terminal_shows_progress_and_the_output_is_the_same() {
    let (status, progress, output) = on_a_terminal(&[]);
    assert!(status, "{progress}");
    assert!(progress.contains("/s"), "{progress}");
    let (status, progress, quiet_output) = on_a_terminal(&["--quiet"]);
    assert!(status, "{progress}");
    assert_eq!(progress, "");
    assert_eq!(output, quiet_output);
    assert_eq!(
        Scrape::parse(&output).value("tzsp_frames_received_total"),
        10_000.0
    );
}

/// Returns whether the run succeeded, what the terminal showed, and the standard output.
fn on_a_terminal(options: &[&str]) -> (bool, String, String) {
    let terminal = openpty(None, None).unwrap();
    let mut child = command(PROGRAM)
        .arg("analyze")
        .args(options)
        .arg("-")
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(File::from(terminal.slave))
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&long_capture()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let mut shown = Vec::new();
    // On Linux, reading ends with an error once the other side is closed.
    let _ = File::from(terminal.master).read_to_end(&mut shown);
    (
        output.status.success(),
        String::from_utf8(shown).unwrap(),
        String::from_utf8(output.stdout).unwrap(),
    )
}
