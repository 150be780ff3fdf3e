//! Checks that packages are reproducible and that the Debian package works.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::Program;
use super::pack::pack;
use crate::project::{root, succeed};

/// Builds the packages twice and compares them. Then installs, runs, upgrades, removes
/// and purges the Debian package: see life.sh.
pub(super) fn run(programs: &[Program]) -> anyhow::Result<()> {
    let directory = root().join("target/dist-check");
    let first = packed_twice(programs, &[], &directory)?;
    let next = pack(programs, &[], &directory.join("next"), Some("999.0.0-1"))?;
    let sandbox = directory.join("sandbox");
    fs::create_dir_all(&sandbox).with_context(|| format!("creating {}", sandbox.display()))?;
    succeed(
        Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "sh"])
            .arg(root().join("xtask/src/dist/life.sh"))
            .args([debian(&first)?, debian(&next)?, &sandbox]),
    )
}

/// Builds packages and container images twice, in a directory, and compares them. Returns the paths
/// of the first ones.
pub(super) fn packed_twice(
    programs: &[Program],
    images: &[&Program],
    directory: &Path,
) -> anyhow::Result<Vec<PathBuf>> {
    let first = pack(programs, images, &directory.join("first"), None)?;
    let again = pack(programs, images, &directory.join("again"), None)?;
    for (left, right) in first.iter().zip(&again) {
        let read =
            |path: &Path| fs::read(path).with_context(|| format!("reading {}", path.display()));
        if read(left)? != read(right)? {
            bail!("{} and {} differ", left.display(), right.display());
        }
    }
    Ok(first)
}

fn debian(packages: &[PathBuf]) -> anyhow::Result<&PathBuf> {
    let is_debian = |path: &&PathBuf| path.extension().is_some_and(|own| own == "deb");
    packages.iter().find(is_debian).context("no Debian package")
}
