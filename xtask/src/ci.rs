//! Every check that must pass, quick ones first.

use std::time::Instant;

use anyhow::Context;

use crate::project::{cargo, succeed};
use crate::tools::{self, Tool};
#[cfg(target_os = "linux")]
use crate::{dist, instructions};
use crate::{fixtures, fuzz};

/// How long each fuzz target runs: long enough to find regressions close to the fixtures.
const FUZZ_SECONDS: u32 = 15;

pub(crate) fn run() -> anyhow::Result<()> {
    step("tools that the tests run", || tools::ensure(&TOOLS))?;
    step("Prometheus 3", || {
        // One test needs it, and says so where it is missing.
        if let Err(error) = tools::unpack_newer_prometheus() {
            println!("not available: {error:#}");
        }
        Ok(())
    })?;
    step("fixtures are fresh", fixtures::check)?;
    step("formatting", || {
        succeed(cargo().args(["fmt", "--all", "--check"]))?;
        succeed(cargo().args(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))
    })?;
    step("lints", || {
        lint(&["--workspace"])?;
        lint(&[
            "--manifest-path",
            "fuzz/Cargo.toml",
            "--target-dir",
            "target",
        ])
    })?;
    step("tests", || {
        succeed(cargo().args(["test", "--workspace", "--locked"]))
    })?;
    #[cfg(target_os = "linux")]
    step("instructions of the fast path", || {
        instructions::run(&instructions::Options { update: false })
    })?;
    #[cfg(target_os = "linux")]
    step("packages", dist::check_debug_build)?;
    #[cfg(target_os = "linux")]
    step("container image", dist::check_debug_image)?;
    step("fuzzing", || {
        fuzz::run(&fuzz::Options {
            seconds: FUZZ_SECONDS,
            targets: Vec::new(),
        })
    })?;
    println!("all passed");
    Ok(())
}

fn lint(packages: &[&str]) -> anyhow::Result<()> {
    let mut clippy = cargo();
    clippy
        .args(["clippy", "--all-targets", "--locked"])
        .args(packages);
    succeed(clippy.args(["--", "-D", "warnings"]))
}

/// Runs a part of the checks, and prints how long it took.
pub(crate) fn step<T>(name: &str, check: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    println!("== {name}");
    let started = Instant::now();
    let result = check().with_context(|| format!("{name}: failed"))?;
    println!("== {name}: {:.1} s", started.elapsed().as_secs_f64());
    Ok(result)
}

/// What the tests run.
const TOOLS: [Tool; 16] = [
    Tool::new("tshark", "--version", "tshark"),
    Tool::new("promtool", "--version", "prometheus"),
    Tool::new("jq", "--version", "jq"),
    Tool::new("curl", "--version", "curl"),
    Tool::new("ip", "-V", "iproute2"),
    Tool::new("dnsmasq", "--version", "dnsmasq-base"),
    Tool::new("busybox", "--help", "busybox"),
    Tool::new("protoc", "--version", "protobuf-compiler"),
    Tool::new(
        "/usr/bin/python3",
        "-cimport prometheus_client",
        "python3-prometheus-client",
    ),
    Tool::new("faketime", "--version", "faketime"),
    Tool::new("chromium", "--version", "chromium"),
    Tool::new("man", "--version", "man-db"),
    Tool::new("fish", "--version", "fish"),
    Tool::new("zsh", "--version", "zsh"),
    Tool::new("dpkg-shlibdeps", "--version", "dpkg-dev"),
    Tool::new("systemd-analyze", "--version", "systemd"),
];
