//! Builds the tarball, the Debian package and the container image. The same program always gives the
//! same bytes.

mod check;
mod image;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;

use crate::project::{cargo, host, root, succeed, target};
use crate::release;
use image::Image;

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

/// The directory in which a container image is checked. It is emptied first.
const IMAGE_CHECK: &str = "target/image-check";

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

    /// Also build a container image, of a program without shared libraries. With --program, that
    /// program must be such a one
    #[arg(long)]
    image: bool,

    /// Build the packages twice and compare them; then install, run, upgrade, remove and purge the
    /// Debian package in a temporary copy of this system; with --image, also check and run the image;
    /// needs Debian, root and overlayfs
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let program = match &options.program {
        Some(program) => program.clone(),
        None => release::build(&["--package", NAME])?.exporter,
    };
    if options.check {
        if options.image {
            image::check(&static_program(options)?, &root().join(IMAGE_CHECK))?;
        }
        return check::run(&program);
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).context("reading Cargo.toml")?;
    check_maintainer(&tags()?, &manifest)?;
    let out = root().join(&options.out);
    let packages = pack(&program, &out, None)?;
    for package in packages.all() {
        println!("{}", package.display());
    }
    if options.image {
        let image = pack_image(&static_program(options)?, &packages, &out)?;
        println!("{}", image.display());
    }
    Ok(())
}

/// Returns the program for the image, which is built if none was given.
fn static_program(options: &Options) -> anyhow::Result<PathBuf> {
    match &options.program {
        Some(program) => Ok(program.clone()),
        None => image::build_static("release"),
    }
}

/// Writes the container image of a static program, and adds its checksum to those of the packages.
fn pack_image(program: &Path, packages: &Packages, out: &Path) -> anyhow::Result<PathBuf> {
    let stage = out.join("stage");
    create(&stage)?;
    let stripped = stage.join(NAME);
    succeed(Command::new("strip").arg("-o").arg(&stripped).arg(program))?;
    let image = Image {
        program: &stripped,
        version: &version(program)?,
        time: &source_date()?,
    };
    let archive = image.write(out, &stage)?;
    fs::remove_dir_all(&stage).with_context(|| format!("removing {}", stage.display()))?;
    write_checksums(
        &packages.checksums,
        &[&packages.tarball, &packages.debian, &archive],
    )?;
    Ok(archive)
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

/// Checks the container image with a static debug build.
pub(crate) fn check_debug_image() -> anyhow::Result<()> {
    let program = image::build_static("dev")?;
    image::check(&program, &root().join(IMAGE_CHECK))
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
    write_checksums(&checksums, &[&tarball, &debian])?;
    Ok(Packages {
        tarball,
        debian,
        checksums,
    })
}

/// Writes the SHA-256 of files in the directory of `checksums`.
fn write_checksums(checksums: &Path, files: &[&Path]) -> anyhow::Result<()> {
    let names = files
        .iter()
        .map(|path| path.file_name().unwrap_or_default());
    let mut sha256sum = Command::new("sha256sum");
    sha256sum.args(names);
    if let Some(directory) = checksums.parent() {
        sha256sum.current_dir(directory);
    }
    fs::write(checksums, stdout_of(&mut sha256sum)?)
        .with_context(|| format!("writing {}", checksums.display()))
}

/// A command that writes a tar archive. Names are sorted, and times, owners and modes are fixed, so
/// that the bytes are the same on every machine.
fn normalized_tar(archive: &Path, time: &str) -> Command {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--format=gnu", "--sort=name", "--numeric-owner"])
        .args(["--owner=0", "--group=0", "--mode=u=rwX,go=rX"])
        .arg(format!("--mtime=@{time}"))
        .arg("--file")
        .arg(archive);
    tar
}

/// Builds the tarball.
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
        normalized_tar(&tarball, time)
            .arg("--use-compress-program=gzip --no-name --best")
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
