//! Builds the fuzz targets in fuzz/ with the coverage instrumentation that libFuzzer needs, and runs
//! each.
//!
//! This needs neither cargo-fuzz nor a nightly toolchain. The project has no unsafe code, so a
//! sanitizer, which needs nightly, would find nothing; the instrumentation is available in the stable
//! compiler.

mod seeds;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;

use crate::project::{cargo, host, root, succeed};

pub(crate) const TARGETS: [&str; 6] = ["frame", "capture", "analyze", "names", "geo", "web_config"];

/// The compiler flags that cargo-fuzz uses, except those for a sanitizer.
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
    /// How long to run each target
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub(crate) seconds: u32,

    /// Run only these targets
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

/// Builds all targets. Returns the directory of the programs.
fn build(directory: &Path) -> anyhow::Result<PathBuf> {
    let host = host()?;
    succeed(
        cargo()
            .args(["build", "--release", "--locked", "--bins"])
            .args(["--manifest-path", "fuzz/Cargo.toml"])
            // Without an explicit target, the flags would apply to build scripts as well.
            .args(["--target", &host, "--target-dir"])
            .arg(directory)
            .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}")),
    )?;
    Ok(directory.join(host).join("release"))
}

/// Runs a target. It starts from the fixtures and from the corpus that earlier runs have found.
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
    let log = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = log.lines().collect();
    if !output.status.success() {
        let last = lines.len().saturating_sub(60);
        bail!(
            "{target}: {}\n{}\nto reproduce: {} FILE",
            output.status,
            lines[last..].join("\n"),
            program.display()
        );
    }
    let done = lines.iter().rev().find(|line| line.contains("DONE"));
    println!(
        "{target}: {}",
        done.context("the fuzzer did not report its end")?
    );
    Ok(())
}
