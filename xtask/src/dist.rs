//! What is handed out: a tarball and a Debian package, the same bytes for the same program.

mod check;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;

use crate::project::{cargo, host, root, succeed, target};
use crate::release;

const NAME: &str = "tzsp_packetstream_exporter";

/// Makes the Debian package, as Cargo.toml says.
const CARGO_DEB: &str = "3.8.0";

/// What the tarball holds beside the program.
const PARTS: [&str; 4] = ["LICENSE", "README.md", "SECURITY.md", "contrib"];

/// Stands in for the maintainer's address until a distributor sets one.
const PLACEHOLDER: &str = "@example.org>";

#[derive(Args)]
pub(crate) struct Options {
    /// Where to put what is made
    #[arg(long, value_name = "DIRECTORY", default_value = "target/dist")]
    out: PathBuf,

    /// Pack this program instead of a release build
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,

    /// Pack twice and compare; then install, run, upgrade, remove and purge the Debian package in
    /// a copy of this system that is thrown away; needs Debian, root and overlayfs
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let program = match &options.program {
        Some(program) => program.clone(),
        None => release::build(&["--package", NAME])?.exporter,
    };
    if options.check {
        return check::run(&program);
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).context("reading Cargo.toml")?;
    check_maintainer(&tags()?, &manifest)?;
    let out = root().join(&options.out);
    for made in pack(&program, &out, None)?.all() {
        println!("{}", made.display());
    }
    Ok(())
}

/// Refuses to pack a tagged commit, which is a release, for a maintainer who cannot be reached.
fn check_maintainer(tags: &str, manifest: &str) -> anyhow::Result<()> {
    let release = tags.lines().find(|tag| tag.starts_with('v'));
    if let Some(release) = release
        && manifest.contains(PLACEHOLDER)
    {
        bail!(
            "{release} is a release, but its package has no maintainer: set `maintainer` under \
             [package.metadata.deb] in Cargo.toml"
        );
    }
    Ok(())
}

/// The tags of the commit that is checked out; none in a source archive.
fn tags() -> anyhow::Result<String> {
    let output = Command::new("git")
        .current_dir(root())
        .args(["tag", "--points-at", "HEAD"])
        .output()
        .context("cannot run git")?;
    String::from_utf8(output.stdout).context("git prints text")
}

/// A release build would take long, and its packages are the same but for the program in them.
pub(crate) fn check_debug_build() -> anyhow::Result<()> {
    check::run(&target()?.join("debug").join(NAME))
}

/// What was made.
struct Packages {
    tarball: PathBuf,
    debian: PathBuf,
    checksums: PathBuf,
}

impl Packages {
    fn all(&self) -> [&Path; 3] {
        [&self.tarball, &self.debian, &self.checksums]
    }
}

/// Packs a program into an empty directory. Without a version of its own, the Debian package has
/// that of the program.
fn pack(program: &Path, out: &Path, debian_version: Option<&str>) -> anyhow::Result<Packages> {
    let cargo_deb = cargo_deb()?;
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("emptying {}", out.display()))?;
    }
    let stage = out.join("stage");
    let time = source_date()?;
    let stripped = stage.join("release").join(NAME);
    create(&stage.join("release"))?;
    succeed(Command::new("strip").arg("-o").arg(&stripped).arg(program))?;

    let tarball = tarball(&stripped, out, &stage, &time)?;
    let mut command = Command::new(cargo_deb);
    command
        .current_dir(root())
        .args([
            "--no-build",
            "--no-strip",
            "--no-dbgsym",
            "--quiet",
            "--output",
        ])
        .arg(out)
        // Where it looks for the program.
        .env("CARGO_TARGET_DIR", &stage)
        .env("SOURCE_DATE_EPOCH", &time);
    if let Some(version) = debian_version {
        command.args(["--deb-version", version]);
    }
    succeed(&mut command)?;
    let debian = only_file(out, "deb")?;
    fs::remove_dir_all(&stage).with_context(|| format!("removing {}", stage.display()))?;

    let checksums = out.join("SHA256SUMS");
    let output = Command::new("sha256sum")
        .current_dir(out)
        .args([&tarball, &debian].map(|path| path.file_name().unwrap_or_default()))
        .output()
        .context("cannot run sha256sum")?;
    if !output.status.success() {
        bail!("sha256sum: {}", String::from_utf8_lossy(&output.stderr));
    }
    fs::write(&checksums, output.stdout).context("writing SHA256SUMS")?;
    Ok(Packages {
        tarball,
        debian,
        checksums,
    })
}

/// Names are sorted, and times, owners and modes are the same wherever it is made.
fn tarball(program: &Path, out: &Path, stage: &Path, time: &str) -> anyhow::Result<PathBuf> {
    let name = format!("{NAME}-{}-{}", version(program)?, host()?);
    let directory = stage.join(&name);
    create(&directory)?;
    for part in PARTS {
        succeed(
            Command::new("cp")
                .arg("-r")
                .arg(root().join(part))
                .arg(&directory),
        )?;
    }
    succeed(Command::new("cp").arg(program).arg(&directory))?;
    let tarball = out.join(format!("{name}.tar.gz"));
    succeed(
        Command::new("tar")
            .args(["--create", "--format=gnu", "--sort=name", "--numeric-owner"])
            .args(["--owner=0", "--group=0", "--mode=u=rwX,go=rX"])
            .arg(format!("--mtime=@{time}"))
            .arg("--use-compress-program=gzip --no-name --best")
            .arg("--file")
            .arg(&tarball)
            .arg("--directory")
            .arg(stage)
            .arg(&name),
    )?;
    Ok(tarball)
}

fn version(program: &Path) -> anyhow::Result<String> {
    let said = said_by(Command::new(program).arg("--version"))?;
    let version = said.split_whitespace().nth(1);
    Ok(version.context("the program has no version")?.to_owned())
}

/// When the sources were last changed, in seconds since the Unix epoch:
/// <https://reproducible-builds.org/specs/source-date-epoch/>.
fn source_date() -> anyhow::Result<String> {
    if let Ok(time) = env::var("SOURCE_DATE_EPOCH") {
        return Ok(time);
    }
    let mut git = Command::new("git");
    git.current_dir(root()).args(["log", "-1", "--format=%ct"]);
    let time = said_by(&mut git).context("no commit tells the time: set SOURCE_DATE_EPOCH")?;
    Ok(time.trim().to_owned())
}

/// Builds cargo-deb once, in this project's own place for tools.
fn cargo_deb() -> anyhow::Result<PathBuf> {
    let tools = root().join("target/tools");
    let program = tools.join("bin/cargo-deb");
    let version = said_by(Command::new(&program).arg("--version"));
    if version.is_ok_and(|version| version.contains(CARGO_DEB)) {
        return Ok(program);
    }
    succeed(
        cargo()
            .args(["install", "--locked", "--quiet", "cargo-deb", "--version"])
            .arg(CARGO_DEB)
            .arg("--root")
            .arg(&tools)
            .arg("--target-dir")
            .arg(tools.join("build")),
    )?;
    Ok(program)
}

fn said_by(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn create(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))
}

fn only_file(directory: &Path, extension: &str) -> anyhow::Result<PathBuf> {
    let entries = directory
        .read_dir()
        .with_context(|| format!("reading {}", directory.display()))?;
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let mut files = paths.filter(|path| path.extension().is_some_and(|own| own == extension));
    let file = files.next();
    file.with_context(|| format!("no .{extension} in {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(tags: &str, maintainer: &str, is_accepted: bool) {
        let manifest = format!("[package.metadata.deb]\nmaintainer = \"{maintainer}\"\n");
        let accepted = check_maintainer(tags, &manifest);
        assert_eq!(accepted.is_ok(), is_accepted, "{accepted:?}");
    }

    #[test]
    fn a_release_needs_a_maintainer() {
        check("", "Nobody <nobody@example.org>", true);
        check("nightly\n", "Nobody <nobody@example.org>", true);
        check("nightly\nv1.0.0\n", "Nobody <nobody@example.org>", false);
        check("v1.0.0\n", "Packages <packages@distribution.net>", true);
    }
}
