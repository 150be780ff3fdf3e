//! Fuzzing: builds the targets in fuzz/ with the checkpoints that libFuzzer needs, and runs each.
//!
//! cargo-fuzz is not needed for that, nor a nightly toolchain: no memory is handled by hand here,
//! so there is nothing for a sanitizer to see, and the checkpoints are an option of the stable compiler.

mod seeds;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;

use crate::project::{cargo, host, root, succeed};

pub(crate) const TARGETS: [&str; 4] = ["frame", "capture", "analyze", "web_config"];

/// What cargo-fuzz gives the compiler, without a sanitizer.
const FLAGS: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg",
    "fuzzing",
];

#[derive(Args)]
pub(crate) struct Options {
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub(crate) seconds: u32,

    /// Run these alone
    #[arg(value_parser = TARGETS)]
    pub(crate) targets: Vec<String>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let directory = root().join("target/fuzz");
    let programs = build(&directory)?;
    for target in TARGETS {
        if options.targets.is_empty() || options.targets.iter().any(|name| name == target) {
            fuzz(&directory, &programs.join(target), target, options.seconds)?;
        }
    }
    Ok(())
}

/// Returns where the programs are.
fn build(directory: &Path) -> anyhow::Result<PathBuf> {
    let host = host()?;
    succeed(
        cargo()
            .args(["build", "--release", "--locked", "--bins"])
            .args(["--manifest-path", "fuzz/Cargo.toml"])
            // Named, or the flags would hold for build scripts as well.
            .args(["--target", &host, "--target-dir"])
            .arg(directory)
            .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}")),
    )?;
    Ok(directory.join(host).join("release"))
}

/// Starts from the fixtures, and from what runs before this one found.
fn fuzz(directory: &Path, program: &Path, target: &str, seconds: u32) -> anyhow::Result<()> {
    let [seeds, corpus] = ["seeds", "corpus"].map(|name| directory.join(name).join(target));
    for folder in [&seeds, &corpus] {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    for (name, seed) in seeds::of(target) {
        fs::write(seeds.join(name), seed)
            .with_context(|| format!("writing {}", seeds.display()))?;
    }
    let artifacts = format!("{}/artifacts-{target}-", directory.display());
    let output = Command::new(program)
        .args([&corpus, &seeds])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={artifacts}"))
        .args(["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"])
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = said.lines().collect();
    if !output.status.success() {
        let last = lines.len().saturating_sub(60);
        bail!(
            "{target}: {}\n{}\nagain with: {} FILE",
            output.status,
            lines[last..].join("\n"),
            program.display()
        );
    }
    let done = lines.iter().rev().find(|line| line.contains("DONE"));
    println!("{target}: {}", done.context("it said nothing at its end")?);
    Ok(())
}
