//! Measures the time and memory of one run of a program.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

use crate::release;

#[derive(Args)]
pub(crate) struct Options {
    program: PathBuf,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<std::ffi::OsString>,
}

/// The resources that one run used. Includes the processes that the program waited for.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Usage {
    /// In seconds.
    pub(super) wall: f64,
    /// In seconds.
    pub(super) cpu: f64,
    pub(super) peak_mib: f64,
}

/// Runs `command`, discards its output, and measures it.
///
/// getrusage(2) reports all children of a process together, and the peak memory of a child includes
/// that of the process that forked it. So each run has a small parent process of its own: `xtask
/// probe`.
pub(super) fn measure(command: &Command) -> anyhow::Result<Usage> {
    let output = Command::new(release::programs()?.xtask)
        .arg("probe")
        .arg("--")
        .arg(command.get_program())
        .args(command.get_args())
        .stderr(Stdio::piped())
        .output()
        .context("cannot run xtask probe")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    serde_json::from_slice(&output.stdout).context("parsing the output of xtask probe")
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut command = Command::new(&options.program);
    command
        .args(&options.arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let begin = Instant::now();
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    let wall = begin.elapsed().as_secs_f64();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{command:?} ended with {}: {}",
            output.status,
            stderr.trim_end()
        );
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("reading the resource usage")?;
    let cpu = duration(usage.user_time()) + duration(usage.system_time());
    // Linux reports KiB.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let peak_mib = usage.max_rss() as f64 / 1024.0;
    let usage = Usage {
        wall,
        cpu: cpu.as_secs_f64(),
        peak_mib,
    };
    println!("{}", serde_json::to_string(&usage)?);
    Ok(())
}

pub(super) fn duration(time: TimeVal) -> Duration {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or_default();
    let micros = u64::try_from(time.tv_usec()).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}
