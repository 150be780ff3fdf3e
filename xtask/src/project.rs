//! The project's directories, cargo, and running commands.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// Returns the project's root directory.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a member of the workspace")
        .to_owned()
}

/// Returns the target directory that this program was built in.
pub(crate) fn target() -> anyhow::Result<PathBuf> {
    let this = env::current_exe().context("cannot find the path of this program")?;
    let target = this.ancestors().nth(2);
    target
        .map(Path::to_owned)
        .with_context(|| format!("{} is not in a target directory", this.display()))
}

/// A cargo command in the project's root directory.
pub(crate) fn cargo() -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(root());
    command
}

/// Returns the target triple that rustc builds for by default.
pub(crate) fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output();
    let text = String::from_utf8(output.context("cannot run rustc")?.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

/// Runs a command.
///
/// # Errors
/// It cannot be started, or its exit status is not 0.
pub(crate) fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}
