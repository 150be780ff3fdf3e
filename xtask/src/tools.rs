//! Finds and installs the external programs that tests and benchmarks run.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::project::{root, succeed};

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

/// Unpacks Prometheus 3 from Debian unstable into `target/tools/prometheus`, unless it is there.
/// Nothing is installed: apt works in a directory of its own.
///
/// # Errors
/// This is not Debian, or the package cannot be downloaded or does not run here.
pub(crate) fn unpack_newer_prometheus() -> anyhow::Result<()> {
    let tools = root().join("target/tools");
    let unpacked = tools.join("prometheus");
    let program = unpacked.join("usr/bin/prometheus");
    let runs = || {
        succeed(
            Command::new(&program)
                .arg("--version")
                .stderr(Stdio::null()),
        )
    };
    if program.exists() {
        return runs();
    }
    if !is_debian() {
        bail!("this is not Debian");
    }
    let apt = tools.join("apt");
    for directory in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(apt.join(directory))?;
    }
    fs::write(apt.join("status"), "")?;
    fs::write(
        apt.join("sources.list"),
        format!(
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {} unstable main\n",
            debian_mirror()?
        ),
    )?;
    let path = |name: &str| apt.join(name).display().to_string();
    fs::write(
        apt.join("apt.conf"),
        format!(
            "Dir::Etc::sourcelist {:?};\nDir::Etc::sourceparts \"-\";\nDir::State::lists {:?};\n\
             Dir::State::status {:?};\nDir::Cache {:?};\nAPT::Sandbox::User \"root\";\n",
            path("sources.list"),
            path("lists"),
            path("status"),
            path("cache")
        ),
    )?;
    let apart = |command: &mut Command| {
        let command = command.env("APT_CONFIG", apt.join("apt.conf"));
        succeed(command.current_dir(&apt))
    };
    apart(apt_get().arg("update"))?;
    apart(apt_get().args(["download", "prometheus"]))?;
    let package = fs::read_dir(&apt)?.find_map(|entry| {
        let path = entry.ok()?.path();
        (path.extension()? == "deb").then_some(path)
    });
    let package = package.context("apt-get downloaded no package")?;
    succeed(Command::new("dpkg").arg("-x").arg(package).arg(&unpacked))?;
    fs::remove_dir_all(&apt)?;
    runs()
}

/// Returns the address of the mirror from which this system gets Debian's packages.
fn debian_mirror() -> anyhow::Result<String> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(ORIGIN) $(REPO_URI)"])
        .arg("Created-By: Packages")
        .output()
        .context("cannot run apt-get")?;
    let text = String::from_utf8(output.stdout)?;
    let mirror = text.lines().find_map(|line| line.strip_prefix("Debian "));
    Ok(mirror
        .context("apt has no list of Debian's packages")?
        .to_owned())
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
