//! Runs the program for another processor in an emulator.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::Instant;

use anyhow::{Context, ensure};

use super::targets::{Profile, Target};
use super::{NAME, files};
use crate::project::{cargo, root, succeed, target};

/// The formats in which results are compared.
const FORMATS: [&str; 2] = ["openmetrics", "json"];

/// Builds the program for a target, and compares it with the debug build for this machine on all
/// captures in testdata/.
///
/// It is not run live: qemu shortens the answer to `SO_MEMINFO`, which tells how many datagrams a
/// socket has dropped, so the program would end.
pub(super) fn check(target: &Target) -> anyhow::Result<()> {
    let program = target.build(Profile::Dev)?;
    let started = Instant::now();
    let captures = compare(target, &program)?;
    println!(
        "{}: {captures} captures in {} formats give the same as on this machine: {:.1} s",
        target.triple,
        FORMATS.len(),
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Analyzes all captures with both programs. Returns the number of captures.
fn compare(other: &Target, program: &Path) -> anyhow::Result<usize> {
    succeed(cargo().args(["build", "--quiet", "--locked", "--package", NAME]))?;
    let native = target()?.join("debug").join(NAME);
    let captures = files(&root().join("testdata"))?;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = captures.len().div_ceil(threads);
    thread::scope(|scope| {
        let shares = captures.chunks(share).map(|captures| {
            scope.spawn(|| {
                let mut runs = captures
                    .iter()
                    .flat_map(|capture| FORMATS.map(|format| (capture, format)));
                runs.try_for_each(|(capture, format)| {
                    let expected = analyze(Command::new(&native), capture, format)?;
                    let found = analyze(other.command(program), capture, format)?;
                    ensure!(
                        found == expected,
                        "{}: {} as {format} gives {found:?}, and {expected:?} on this machine",
                        other.triple,
                        capture.display()
                    );
                    anyhow::Ok(())
                })
            })
        });
        let shares: Vec<_> = shares.collect();
        shares.into_iter().try_for_each(|share| {
            let result = share.join();
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    Ok(captures.len())
}

fn analyze(mut command: Command, capture: &PathBuf, format: &str) -> anyhow::Result<Output> {
    command
        .args(["analyze", "--format", format])
        .arg(capture)
        .output()
        .with_context(|| format!("cannot run {command:?}"))
}
