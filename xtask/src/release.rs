//! Release builds, next to this very program.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::ci::succeed;

pub(crate) struct Programs {
    pub(crate) exporter: PathBuf,
    pub(crate) xtask: PathBuf,
}

/// Builds what cargo's `arguments` select.
pub(crate) fn build(arguments: &[&str]) -> anyhow::Result<Programs> {
    succeed(
        cargo()
            .args(["build", "--release", "--locked", "--target-dir"])
            .arg(target()?)
            .args(arguments),
    )?;
    programs()
}

/// Where they are once they are built.
pub(crate) fn programs() -> anyhow::Result<Programs> {
    let directory = target()?.join("release");
    Ok(Programs {
        exporter: directory.join("tzsp_packetstream_exporter"),
        xtask: directory.join("xtask"),
    })
}

/// The target directory that this program was built in.
pub(crate) fn target() -> anyhow::Result<PathBuf> {
    let this = env::current_exe().context("cannot find this very program")?;
    let target = this.ancestors().nth(2);
    target
        .map(Path::to_owned)
        .with_context(|| format!("{} is not in a target directory", this.display()))
}

/// Cargo, in the project's directory.
pub(crate) fn cargo() -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(root());
    command
}

/// The project's directory.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this is a part of the project")
        .to_owned()
}

/// The platform that programs are built for.
pub(crate) fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output();
    let text = String::from_utf8(output.context("cannot run rustc")?.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}
