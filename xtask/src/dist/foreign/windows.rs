//! What is different on Windows: names of files, standard input, and Ctrl-C.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::captures::difference;
use super::runner::Runner;
use crate::dist::create;
use crate::project::root;

/// The directory in which the program runs. It is emptied first.
const DIRECTORY: &str = "target/dist-check/windows";

const CAPTURE: &str = "five_minutes_of_an_office.pcap";

/// Compares the reading of inputs with that on this machine, and interrupts it.
pub(super) fn check(runner: &Runner, program: &Path, native: &Path) -> anyhow::Result<()> {
    let directory = root().join(DIRECTORY);
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    create(&directory)?;
    compare_inputs(runner, program, native, &directory)?;
    ctrl_c_ends_an_analysis(runner, program)
}

/// What standard input is. A file that is also named as an argument is not tried: Wine does not find out
/// that both are the same.
#[derive(Clone, Copy)]
enum Input {
    Nothing,
    File,
    Pipe,
}

fn compare_inputs(
    runner: &Runner,
    program: &Path,
    native: &Path,
    directory: &Path,
) -> anyhow::Result<()> {
    let captures = root().join("testdata");
    for (from, to) in [(CAPTURE, "a.pcap"), ("type_transmit.pcap", "c.pcap")] {
        fs::copy(captures.join(from), directory.join(to)).with_context(|| from.to_owned())?;
    }
    fs::hard_link(directory.join("a.pcap"), directory.join("b.pcap"))?;

    for (here, there, input) in [
        // Two names of one file: it counts once.
        (
            &["a.pcap", "b.pcap"][..],
            &["a.pcap", "b.pcap"][..],
            Input::Nothing,
        ),
        (&["a.pcap", "b.pcap", "c.pcap"], &["*.PCAP"], Input::Nothing),
        (&["-"], &["-"], Input::File),
        (&["-"], &["-"], Input::Pipe),
        (&["-"], &["-"], Input::Nothing),
        (&["/dev/null"], &["NUL"], Input::Nothing),
    ] {
        let mut expected = analyze(Command::new(native), here, input, directory)?;
        let found = analyze(runner.command(program), there, input, directory)?;
        let messages = String::from_utf8_lossy(&expected.stderr);
        expected.stderr = messages.replace("/dev/null", "NUL").into_bytes();
        if let Some(difference) = difference(&expected, &found) {
            bail!("analyze {}: {difference}", there.join(" "));
        }
    }
    Ok(())
}

fn analyze(
    mut command: Command,
    files: &[&str],
    input: Input,
    directory: &Path,
) -> anyhow::Result<Output> {
    let capture = directory.join("a.pcap");
    let mut cat = None;
    let input = match input {
        Input::Nothing => Stdio::null(),
        Input::File => File::open(&capture)?.into(),
        Input::Pipe => {
            let mut child = Command::new("cat");
            let child = child.arg(&capture).stdout(Stdio::piped()).spawn()?;
            let child = cat.insert(child);
            child.stdout.take().context("it is piped")?.into()
        }
    };
    command
        .arg("analyze")
        .args(files)
        .current_dir(directory)
        .stdin(input);
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    if let Some(mut cat) = cat {
        cat.wait()?;
    }
    Ok(output)
}

/// Checks that `analyze` prints what it has counted when Ctrl-C ends it.
fn ctrl_c_ends_an_analysis(runner: &Runner, program: &Path) -> anyhow::Result<()> {
    let capture = fs::read(root().join("testdata").join(CAPTURE))?;
    let mut analysis = runner
        .command(program)
        .args(["analyze", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // A pipe holds 64 KiB, so once all is written, the program is reading.
    let mut input = analysis.stdin.take().context("it is piped")?;
    for _ in 0..2_000_000 / capture.len() {
        input.write_all(&capture)?;
    }
    ctrl_c(&analysis)?;
    let output = analysis.wait_with_output()?;
    // It stays open until here: the input has not ended.
    drop(input);
    let metrics = String::from_utf8(output.stdout)?;
    let messages = String::from_utf8(output.stderr)?;
    ensure!(
        output.status.success()
            && metrics.contains("\ntzsp_observed_packets_total{")
            && messages == "warning: interrupted: the output is of what was read until then\n",
        "after Ctrl-C, `analyze -` ended with {}: {messages}{metrics}",
        output.status
    );
    Ok(())
}

/// Sends a program in Wine SIGINT, for which Wine calls the handlers of Ctrl-C.
///
/// Ctrl-Break and the closing of the console, which the program handles like Ctrl-C, are not tried:
/// without a display, Wine 8 has no console. `GenerateConsoleCtrlEvent` fails with
/// `ERROR_INVALID_HANDLE`, and closing the terminal kills the program without an event.
pub(super) fn ctrl_c(program: &Child) -> anyhow::Result<()> {
    let pid = i32::try_from(program.id()).context("a process id fits")?;
    kill(Pid::from_raw(pid), Signal::SIGINT).context("cannot send SIGINT")
}
