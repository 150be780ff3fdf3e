//! Release builds of the exporter and of this program.

use std::path::PathBuf;

use crate::project::{cargo, succeed, target};

const NAME: &str = "tzsp_packetstream_exporter";

/// The paths of the programs.
pub(crate) struct Programs {
    pub(crate) exporter: PathBuf,
    pub(crate) xtask: PathBuf,
}

/// Builds the packages that cargo's `arguments` select. Returns the paths of the programs.
pub(crate) fn build(arguments: &[&str]) -> anyhow::Result<Programs> {
    succeed(
        cargo()
            .args(["build", "--release", "--locked", "--target-dir"])
            .arg(target()?)
            .args(arguments),
    )?;
    programs()
}

/// Builds the exporter for `triple` without shared libraries, in cargo's `profile`, and returns its
/// path. It does not change the builds for this machine, whose compiler flags differ.
pub(crate) fn build_static(triple: &str, profile: &str) -> anyhow::Result<PathBuf> {
    let target = target()?;
    let mut cargo = cargo();
    cargo
        .args(["build", "--locked", "--package", NAME, "--profile", profile])
        .args(["--target", triple, "--target-dir"])
        .arg(&target)
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    succeed(&mut cargo)?;
    // Cargo calls the directory of the profile dev `debug`.
    let directory = if profile == "dev" { "debug" } else { profile };
    Ok(target.join(triple).join(directory).join(NAME))
}

/// Returns the paths of the release builds, whether they exist or not.
pub(crate) fn programs() -> anyhow::Result<Programs> {
    let directory = target()?.join("release");
    Ok(Programs {
        exporter: directory.join(NAME),
        xtask: directory.join("xtask"),
    })
}
