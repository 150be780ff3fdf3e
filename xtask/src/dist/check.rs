//! Checks that packages are reproducible and that the Debian package works.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use super::pack;
use crate::project::{root, succeed};

/// Builds the packages of a program twice and compares them. Then installs, runs, upgrades, removes
/// and purges the Debian package: see life.sh.
pub(crate) fn run(program: &Path) -> anyhow::Result<()> {
    let directory = root().join("target/dist-check");
    let first = pack(program, &directory.join("first"), None)?;
    let again = pack(program, &directory.join("again"), None)?;
    for (left, right) in first.all().into_iter().zip(again.all()) {
        let read =
            |path: &Path| fs::read(path).with_context(|| format!("reading {}", path.display()));
        if read(left)? != read(right)? {
            bail!("{} and {} differ", left.display(), right.display());
        }
    }
    let next = pack(program, &directory.join("next"), Some("999.0.0-1"))?;
    let sandbox = directory.join("sandbox");
    fs::create_dir_all(&sandbox).with_context(|| format!("creating {}", sandbox.display()))?;
    succeed(
        Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "sh"])
            .arg(root().join("xtask/src/dist/life.sh"))
            .args([&first.debian, &next.debian, &sandbox]),
    )
}
