//! Finds and installs the external programs that tests and benchmarks run.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::project::succeed;

/// An external program.
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    /// The argument with which it prints its version, or does nothing, and exits with 0.
    version: &'static str,
    /// The Debian package that contains it.
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

/// Installs the missing `tools` with apt-get.
///
/// # Errors
/// Some are missing and cannot be installed, because this is not Debian or the user is not root. The
/// error names the packages.
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

/// Returns the tools that cannot be run.
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

/// Keeps Debian from starting the services of packages that are being installed, until this is
/// dropped. The package `prometheus`, which is installed for promtool, would start a server. See
/// invoke-rc.d(8).
struct NoServices {
    /// Whether this program created the policy file, and has to remove it.
    is_ours: bool,
}

const SERVICE_POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn start() -> anyhow::Result<Self> {
        let is_ours = !Path::new(SERVICE_POLICY).exists();
        if is_ours {
            fs::write(SERVICE_POLICY, "#!/bin/sh\nexit 101\n")
                .with_context(|| format!("writing {SERVICE_POLICY}"))?;
            succeed(Command::new("chmod").args(["755", SERVICE_POLICY]))?;
        }
        Ok(Self { is_ours })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.is_ours && fs::remove_file(SERVICE_POLICY).is_err() {
            eprintln!("please remove {SERVICE_POLICY}: it prevents new services from starting");
        }
    }
}
