use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use super::pack;
use crate::project::{root, succeed};

/// Packs a program twice and compares, then lets the Debian package live its life.
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
    let scene = directory.join("scene");
    fs::create_dir_all(&scene).with_context(|| format!("creating {}", scene.display()))?;
    succeed(
        Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "sh"])
            .arg(root().join("xtask/src/dist/life.sh"))
            .args([&first.debian, &next.debian, &scene]),
    )
}
