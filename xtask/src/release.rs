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

/// Returns the paths of the release builds, whether they exist or not.
pub(crate) fn programs() -> anyhow::Result<Programs> {
    let directory = target()?.join("release");
    Ok(Programs {
        exporter: directory.join(NAME),
        xtask: directory.join("xtask"),
    })
}
