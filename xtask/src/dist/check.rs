//! Checks that packages are reproducible and that the Debian package works.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::{Program, pack};
use crate::project::{root, succeed};

/// Builds the packages twice and compares them. Then installs, runs, upgrades, removes
/// and purges the Debian package: see life.sh.
pub(super) fn run(programs: &[Program]) -> anyhow::Result<()> {
    let directory = root().join("target/dist-check");
    let first = pack(programs, &directory.join("first"), None)?;
    let again = pack(programs, &directory.join("again"), None)?;
    for (left, right) in first.iter().zip(&again) {
        let read =
            |path: &Path| fs::read(path).with_context(|| format!("reading {}", path.display()));
        if read(left)? != read(right)? {
            bail!("{} and {} differ", left.display(), right.display());
        }
    }
    let next = pack(programs, &directory.join("next"), Some("999.0.0-1"))?;
    let sandbox = directory.join("sandbox");
    fs::create_dir_all(&sandbox).with_context(|| format!("creating {}", sandbox.display()))?;
    succeed(
        Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "sh"])
            .arg(root().join("xtask/src/dist/life.sh"))
            .args([debian(&first)?, debian(&next)?, &sandbox]),
    )
}

fn debian(packages: &[PathBuf]) -> anyhow::Result<&PathBuf> {
    let is_debian = |path: &&PathBuf| path.extension().is_some_and(|own| own == "deb");
    packages.iter().find(is_debian).context("no Debian package")
}
