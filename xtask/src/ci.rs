//! Everything that must pass, in the order in which it fails fastest.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};

#[cfg(target_os = "linux")]
use crate::dist;
use crate::release::cargo;
use crate::{fixtures, fuzz};

/// How long each fuzz target runs: enough to find what the fixtures nearly show.
const FUZZ_SECONDS: u32 = 15;

pub(crate) fn run() -> anyhow::Result<()> {
    step("tools that the tests run", || ensure(&TOOLS))?;
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
    step("packages", dist::check_debug_build)?;
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

fn step(name: &str, check: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    println!("== {name}");
    let started = Instant::now();
    check().with_context(|| format!("{name}: failed"))?;
    println!("== {name}: {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Runs a program that must end with success.
pub(crate) fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

/// A program that tests run, how it tells that it is there, and Debian's package for it.
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    version: &'static str,
    package: &'static str,
}

impl Tool {
    pub(crate) const fn new(
        program: &'static str,
        version: &'static str,
        package: &'static str,
    ) -> Self {
        Self {
            program,
            version,
            package,
        }
    }
}

const TOOLS: [Tool; 10] = [
    Tool::new("tshark", "--version", "tshark"),
    Tool::new("promtool", "--version", "prometheus"),
    Tool::new("jq", "--version", "jq"),
    Tool::new("curl", "--version", "curl"),
    Tool::new("ip", "-V", "iproute2"),
    Tool::new("faketime", "--version", "faketime"),
    Tool::new("chromium", "--version", "chromium"),
    Tool::new("man", "--version", "man-db"),
    Tool::new("dpkg-shlibdeps", "--version", "dpkg-dev"),
    Tool::new("systemd-analyze", "--version", "systemd"),
];

/// Installs what is missing of `tools`, where that can be done.
pub(crate) fn ensure(tools: &[Tool]) -> anyhow::Result<()> {
    let packages: Vec<_> = missing(tools).map(|tool| tool.package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    if !is_debian() || !is_root() {
        bail!(
            "missing: {}\non Debian or Ubuntu: sudo apt-get install --no-install-recommends {}",
            missing_programs(tools).join(", "),
            packages.join(" ")
        );
    }
    install(&packages)?;
    let still_missing = missing_programs(tools);
    if !still_missing.is_empty() {
        bail!(
            "installed {}, but not found: {}",
            packages.join(" "),
            still_missing.join(", ")
        );
    }
    Ok(())
}

fn missing_programs(tools: &[Tool]) -> Vec<&'static str> {
    missing(tools).map(|tool| tool.program).collect()
}

pub(crate) fn missing(tools: &[Tool]) -> impl Iterator<Item = &Tool> {
    tools.iter().filter(|tool| {
        let mut command = Command::new(tool.program);
        command
            .arg(tool.version)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        !command.status().is_ok_and(|status| status.success())
    })
}

fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists()
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout == b"0\n")
}

fn install(packages: &[&str]) -> anyhow::Result<()> {
    let _no_services = NoServices::start()?;
    succeed(apt_get().arg("update"))?;
    succeed(
        apt_get()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(packages),
    )
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .arg("--quiet");
    command
}

/// While this lives, Debian starts no service that it installs: only promtool is wanted of
/// Prometheus. See invoke-rc.d(8).
struct NoServices {
    /// Whether the policy is ours to remove.
    ours: bool,
}

const SERVICE_POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn start() -> anyhow::Result<Self> {
        let ours = !Path::new(SERVICE_POLICY).exists();
        if ours {
            fs::write(SERVICE_POLICY, "#!/bin/sh\nexit 101\n")
                .with_context(|| format!("writing {SERVICE_POLICY}"))?;
            succeed(Command::new("chmod").args(["755", SERVICE_POLICY]))?;
        }
        Ok(Self { ours })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours && fs::remove_file(SERVICE_POLICY).is_err() {
            eprintln!("please remove {SERVICE_POLICY}: it keeps new services from starting");
        }
    }
}
