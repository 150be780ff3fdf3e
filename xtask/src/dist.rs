//! Builds the tarball and the Debian package. The same program always gives the same bytes.

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

/// The version of cargo-deb, which builds the Debian package as described in Cargo.toml.
const CARGO_DEB: &str = "3.8.0";

/// The files and directories in the tarball besides the program.
const PARTS: [&str; 6] = [
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "contrib",
    "docs",
];

/// The end of the maintainer's address in Cargo.toml until a distributor replaces it.
const PLACEHOLDER: &str = "@example.org>";

#[derive(Args)]
pub(crate) struct Options {
    /// Directory for the packages; it is emptied first
    #[arg(long, value_name = "DIRECTORY", default_value = "target/dist")]
    out: PathBuf,

    /// Package this program instead of a release build
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,

    /// Build the packages twice and compare them; then install, run, upgrade, remove and purge the
    /// Debian package in a temporary copy of this system; needs Debian, root and overlayfs
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
    for package in pack(&program, &out, None)?.all() {
        println!("{}", package.display());
    }
    Ok(())
}

/// Checks that a release has a maintainer who can be reached. A commit with a version tag is a
/// release.
fn check_maintainer(tags: &str, manifest: &str) -> anyhow::Result<()> {
    let release = tags.lines().find(|tag| tag.starts_with('v'));
    if let Some(release) = release
        && manifest.contains(PLACEHOLDER)
    {
        bail!(
            "{release} is a release, but its maintainer is a placeholder: set `maintainer` under \
             [package.metadata.deb] in Cargo.toml"
        );
    }
    Ok(())
}

/// Returns the tags of the checked-out commit, one per line. A source archive has none.
fn tags() -> anyhow::Result<String> {
    let output = Command::new("git")
        .current_dir(root())
        .args(["tag", "--points-at", "HEAD"])
        .output()
        .context("cannot run git")?;
    String::from_utf8(output.stdout).context("git prints text")
}

/// Checks the packages with a debug build. A release build would take long, and its packages differ
/// only in the program.
pub(crate) fn check_debug_build() -> anyhow::Result<()> {
    check::run(&target()?.join("debug").join(NAME))
}

/// The paths of the packages.
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

/// Empties the directory `out` and builds the packages of a program in it. Without
/// `debian_version`, the Debian package has the version of the program.
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
        // cargo-deb looks for the program here.
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

/// Builds the tarball. Names are sorted, and times, owners and modes are fixed, so that the bytes
/// are the same on every machine.
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
    let output = stdout_of(Command::new(program).arg("--version"))?;
    let version = output.split_whitespace().nth(1);
    Ok(version.context("the program prints no version")?.to_owned())
}

/// Returns the time of the last change to the sources, in seconds since the Unix epoch:
/// <https://reproducible-builds.org/specs/source-date-epoch/>.
fn source_date() -> anyhow::Result<String> {
    if let Ok(time) = env::var("SOURCE_DATE_EPOCH") {
        return Ok(time);
    }
    let mut git = Command::new("git");
    git.current_dir(root()).args(["log", "-1", "--format=%ct"]);
    let time = stdout_of(&mut git)
        .context("cannot read the time of the last commit: set SOURCE_DATE_EPOCH")?;
    Ok(time.trim().to_owned())
}

/// Returns the path of cargo-deb, which is built once, in target/tools.
fn cargo_deb() -> anyhow::Result<PathBuf> {
    let tools = root().join("target/tools");
    let program = tools.join("bin/cargo-deb");
    let version = stdout_of(Command::new(&program).arg("--version"));
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

/// Runs a command and returns its standard output.
fn stdout_of(command: &mut Command) -> anyhow::Result<String> {
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
