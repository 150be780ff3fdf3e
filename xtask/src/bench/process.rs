//! What one run of a program takes.

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

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Usage {
    /// In seconds, of this process and those that it waited for.
    pub(super) wall: f64,
    pub(super) cpu: f64,
    pub(super) peak_mib: f64,
}

/// Runs `command` with its output thrown away.
///
/// The system tells only of all children together what they took, and a child's peak memory
/// counts from before it became another program. So a small process of our own starts each.
pub(super) fn measure(command: &Command) -> anyhow::Result<Usage> {
    let output = Command::new(release::programs()?.xtask)
        .arg("probe")
        .arg("--")
        .arg(command.get_program())
        .args(command.get_args())
        .stderr(Stdio::piped())
        .output()
        .context("cannot start a process of our own")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    serde_json::from_slice(&output.stdout).context("what the probe says")
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
        let words = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{command:?} ended with {}: {}",
            output.status,
            words.trim_end()
        );
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("asking what it took")?;
    let cpu = duration(usage.user_time()) + duration(usage.system_time());
    // Linux gives KiB.
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
