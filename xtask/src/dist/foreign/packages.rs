//! Checks the packages of a target, and unpacks one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::slice;

use anyhow::{Context, ensure};

use super::runner::Runner;
use crate::dist::pack::{CHECKSUMS, version};
use crate::dist::targets::{System, Target};
use crate::dist::{NAME, Program, check, create, image, stdout_of};
use crate::project::{root, succeed};

/// Packs a program twice, compares both, and checks names, checksums, the Debian package and the
/// container image. Returns the path of the program in the unpacked tarball or zip archive.
pub(super) fn check(
    target: &Target,
    runner: &Runner,
    program: &Program,
) -> anyhow::Result<PathBuf> {
    let directory = root().join("target/dist-check").join(target.triple);
    let images: &[&Program] = match target.system {
        System::Linux => &[program],
        System::Windows => &[],
    };
    let packed = check::packed_twice(slice::from_ref(program), images, &directory)?;
    let version = version()?;
    let expected = target.packages(&version);
    let names = packed.iter().filter_map(|path| path.file_name()?.to_str());
    let written: Vec<_> = names.filter(|name| *name != CHECKSUMS).collect();
    ensure!(written == expected, "{written:?}");

    let first = packed[0].parent().context("packages are in a directory")?;
    check_sums(first, &expected)?;
    if target.system == System::Linux {
        let emulator = match runner {
            Runner::Qemu(name) => Some(*name),
            Runner::Direct | Runner::Wine(_) => None,
        };
        image::check(program, emulator, &directory.join("image"))?;
    }
    let archive = packed
        .iter()
        .find(|path| has_extension(path, "gz") || has_extension(path, "zip"))
        .context("there is a tarball or a zip archive")?;
    let unpacked = unpack(archive, &directory.join("unpacked"))?;
    let unpacked = unpacked.join(format!("{NAME}-{version}-{}", target.triple));
    for file in ["LICENSE", "README.md", "docs/operating.md"] {
        let same = fs::read(unpacked.join(file))? == fs::read(root().join(file))?;
        ensure!(same, "{file} differs in {}", archive.display());
    }
    let program = unpacked.join(target.system.program());
    if let Some(package) = packed.iter().find(|path| has_extension(path, "deb")) {
        check_debian(package, target.debian, &program)?;
    }
    Ok(program)
}

/// Checks that the file of checksums names these packages, and that the checksums are theirs.
fn check_sums(directory: &Path, packages: &[String]) -> anyhow::Result<()> {
    let sums = fs::read_to_string(directory.join(CHECKSUMS)).context("reading the checksums")?;
    // Such as `e3b0...  name`.
    let named: Vec<_> = sums.lines().filter_map(|line| line.get(66..)).collect();
    ensure!(named == packages, "{sums}");
    let mut sha256sum = Command::new("sha256sum");
    sha256sum.args(["--check", "--strict", "--quiet", CHECKSUMS]);
    succeed(sha256sum.current_dir(directory))
}

/// Checks that a Debian package is for this architecture and has this program.
fn check_debian(package: &Path, architecture: &str, program: &Path) -> anyhow::Result<()> {
    let mut field = Command::new("dpkg-deb");
    field.arg("--field").arg(package).arg("Architecture");
    let own = stdout_of(&mut field)?;
    ensure!(own.trim() == architecture, "{}: {own}", package.display());

    let directory = package.with_extension("unpacked");
    let mut extract = Command::new("dpkg-deb");
    succeed(extract.arg("--extract").arg(package).arg(&directory))?;
    let same = fs::read(directory.join("usr/bin").join(NAME))? == fs::read(program)?;
    ensure!(same, "{} has another program", package.display());
    Ok(())
}

/// Unpacks a tarball or zip archive into a new directory, which is returned.
fn unpack(archive: &Path, directory: &Path) -> anyhow::Result<PathBuf> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    create(directory)?;
    let mut command = if has_extension(archive, "zip") {
        let mut unzip = Command::new("unzip");
        unzip.arg("-q").arg(archive).arg("-d").arg(directory);
        unzip
    } else {
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--file"]).arg(archive);
        tar.arg("--directory").arg(directory);
        tar
    };
    succeed(&mut command)?;
    Ok(directory.to_owned())
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|own| own == extension)
}
