//! Writes packages of a built program, and their checksums. The same program always gives the same
//! bytes.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::image::Image;
use super::targets::System;
use super::{NAME, Program, create, files, stdout_of, zip};
use crate::project::{cargo, root, succeed};

/// The version of cargo-deb, which builds the Debian package as described in Cargo.toml.
const CARGO_DEB: &str = "3.8.0";

/// The file of checksums, as sha256sum(1) writes and checks it.
pub(super) const CHECKSUMS: &str = "SHA256SUMS";

/// The files and directories in a tarball or zip archive besides the program.
const PARTS: [&str; 6] = [
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "contrib",
    "docs",
];

/// Empties the directory `out`, and builds the packages of `programs`, the container images of
/// `images` and the checksums of all in it. Returns the paths. Without `debian_version`, a Debian
/// package has the version of the program.
pub(super) fn pack(
    programs: &[Program],
    images: &[&Program],
    out: &Path,
    debian_version: Option<&str>,
) -> anyhow::Result<Vec<PathBuf>> {
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("emptying {}", out.display()))?;
    }
    let time = source_date()?;
    for program in programs {
        pack_program(program, out, &time, debian_version)?;
    }
    for program in images {
        pack_image(program, out, &time)?;
    }
    let mut packages = files(out)?;
    let checksums = out.join(CHECKSUMS);
    let names = packages.iter().filter_map(|path| path.file_name());
    let sums = stdout_of(Command::new("sha256sum").current_dir(out).args(names))?;
    fs::write(&checksums, sums).context("writing SHA256SUMS")?;
    packages.push(checksums);
    Ok(packages)
}

/// Writes the packages of one program: for Linux a tarball and a Debian package, for Windows a zip
/// archive.
fn pack_program(
    program: &Program,
    out: &Path,
    time: &str,
    debian_version: Option<&str>,
) -> anyhow::Result<()> {
    let stage = out.join("stage");
    let release = stage.join(&program.triple).join("release");
    create(&release)?;
    let stripped = program.stripped(&release)?;
    let name = format!("{NAME}-{}-{}", version()?, program.triple);
    collect(&stripped, &stage.join(&name))?;
    match program.system {
        System::Linux => {
            tarball(&stage, &name, out, time)?;
            debian_package(program, &stage, out, time, debian_version)?;
        }
        System::Windows => zip::write(&stage, &name, &out.join(format!("{name}.zip")), time)?,
    }
    fs::remove_dir_all(&stage).with_context(|| format!("removing {}", stage.display()))
}

/// Copies a program and the other files of a package to a new directory.
fn collect(program: &Path, directory: &Path) -> anyhow::Result<()> {
    create(directory)?;
    let mut copy = Command::new("cp");
    copy.arg("-r")
        .arg(program)
        .args(PARTS.map(|part| root().join(part)));
    succeed(copy.arg(directory))
}

/// A command that writes a tar archive. Names are sorted, and times, owners and modes are fixed, so
/// that the bytes are the same on every machine.
pub(super) fn normalized_tar(archive: &Path, time: &str) -> Command {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--format=gnu", "--sort=name", "--numeric-owner"])
        .args(["--owner=0", "--group=0", "--mode=u=rwX,go=rX"])
        .arg(format!("--mtime=@{time}"))
        .arg("--file")
        .arg(archive);
    tar
}

/// Builds the tarball of the directory `name` in `stage`.
fn tarball(stage: &Path, name: &str, out: &Path, time: &str) -> anyhow::Result<()> {
    let tarball = out.join(format!("{name}.tar.gz"));
    succeed(
        normalized_tar(&tarball, time)
            .arg("--use-compress-program=gzip --no-name --best")
            .arg("--directory")
            .arg(stage)
            .arg(name),
    )
}

/// Builds the Debian package. `stage` has the program where cargo would put it.
fn debian_package(
    program: &Program,
    stage: &Path,
    out: &Path,
    time: &str,
    version: Option<&str>,
) -> anyhow::Result<()> {
    let mut command = Command::new(cargo_deb()?);
    command
        .current_dir(root())
        .args(["--no-build", "--no-strip", "--no-dbgsym", "--quiet"])
        .args(["--target", &program.triple, "--output"])
        .arg(out)
        // cargo-deb looks for the program here.
        .env("CARGO_TARGET_DIR", stage)
        .env("SOURCE_DATE_EPOCH", time);
    if let Some(version) = version {
        command.args(["--deb-version", version]);
    }
    succeed(&mut command)
}

/// Writes the container image of a static program to the directory `out`.
fn pack_image(program: &Program, out: &Path, time: &str) -> anyhow::Result<()> {
    let stage = out.join("stage");
    create(&stage)?;
    let image = Image {
        program: &program.stripped(&stage)?,
        version: &version()?,
        time,
    };
    image.write(out, &stage)?;
    fs::remove_dir_all(&stage).with_context(|| format!("removing {}", stage.display()))
}

/// Returns the version of the program.
pub(super) fn version() -> anyhow::Result<String> {
    // Such as `path+file:///source#tzsp_packetstream_exporter@1.2.3`.
    let id = stdout_of(cargo().args(["pkgid", "--package", NAME]))?;
    let version = id.trim().rsplit(['@', '#']).next();
    Ok(version.context("cargo names no version")?.to_owned())
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
