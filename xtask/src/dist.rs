//! Builds tarballs, Debian packages and container images. The same program always gives the same
//! bytes.

mod check;
mod emulated;
mod image;
mod targets;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::slice;

use anyhow::{Context, bail};
use clap::Args;

use crate::project::{cargo, host, root, succeed, target};
use crate::release;
use image::Image;
use targets::{Profile, Target};

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
    #[arg(long, value_name = "FILE", conflicts_with = "targets")]
    program: Option<PathBuf>,

    /// Package a static program for this target; may be given several times [default: a program for
    /// this machine, linked to its C library]
    #[arg(long = "target", value_name = "TRIPLE", value_parser = targets::TRIPLES)]
    targets: Vec<String>,

    /// Also write a container image for each --target, or for a static program for this machine.
    /// With --program, that program must be static
    #[arg(long)]
    image: bool,

    /// Build the packages twice and compare them; then install, run, upgrade, remove and purge the
    /// Debian package in a temporary copy of this system; with --image, also check and run the image;
    /// needs Debian, root and overlayfs. With --target, run a fast build for each target, in an
    /// emulator if it has another processor: on all captures in testdata/, where the results must be
    /// those of this machine
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let targets: Vec<_> = options
        .targets
        .iter()
        .filter_map(|triple| Target::named(triple))
        .collect();
    if options.check && !targets.is_empty() {
        return targets.into_iter().try_for_each(emulated::check);
    }
    let programs = if targets.is_empty() {
        vec![match &options.program {
            Some(program) => Program::of_this_machine(program.clone())?,
            None => Program::of_this_machine(release::build(&["--package", NAME])?.exporter)?,
        }]
    } else {
        let programs = targets.iter().copied().map(Program::built_for);
        programs.collect::<Result<_, _>>()?
    };
    let built_for_image = if options.image && targets.is_empty() && options.program.is_none() {
        Some(Program::built_for(Target::of_this_machine()?)?)
    } else {
        None
    };
    let images = if options.image {
        built_for_image
            .as_ref()
            .map_or(&programs[..], slice::from_ref)
    } else {
        &[]
    };
    if options.check {
        for program in images {
            image::check(&program.path, &root().join(IMAGE_CHECK))?;
        }
        return check::run(&programs);
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).context("reading Cargo.toml")?;
    check_maintainer(&tags()?, &manifest)?;
    let out = root().join(&options.out);
    for package in pack(&programs, images, &out, None)? {
        println!("{}", package.display());
    }
    Ok(())
}

/// A program to package.
struct Program {
    path: PathBuf,
    triple: String,
    /// The command that removes symbols from it.
    strip: String,
}

impl Program {
    fn of_this_machine(path: PathBuf) -> anyhow::Result<Self> {
        Ok(Self {
            path,
            triple: host()?,
            strip: "strip".to_owned(),
        })
    }

    fn built_for(target: &Target) -> anyhow::Result<Self> {
        Ok(Self {
            path: target.build(Profile::Release)?,
            triple: target.triple.to_owned(),
            strip: target.strip(),
        })
    }

    /// Writes the program without symbols to a directory, and returns its path.
    fn stripped(&self, directory: &Path) -> anyhow::Result<PathBuf> {
        let stripped = directory.join(NAME);
        let mut strip = Command::new(&self.strip);
        succeed(strip.arg("-o").arg(&stripped).arg(&self.path))?;
        Ok(stripped)
    }
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
    let program = target()?.join("debug").join(NAME);
    check::run(&[Program::of_this_machine(program)?])
}

/// Checks the container image with a static debug build.
pub(crate) fn check_debug_image() -> anyhow::Result<()> {
    let program = Target::of_this_machine()?.build(Profile::Dev)?;
    image::check(&program, &root().join(IMAGE_CHECK))
}

/// Empties the directory `out`, and builds the packages of `programs`, the container images of
/// `images` and the checksums of all in it. Returns the paths. Without `debian_version`, a Debian
/// package has the version of the program.
fn pack(
    programs: &[Program],
    images: &[Program],
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
    let checksums = out.join("SHA256SUMS");
    let names = packages.iter().filter_map(|path| path.file_name());
    let sums = stdout_of(Command::new("sha256sum").current_dir(out).args(names))?;
    fs::write(&checksums, sums).context("writing SHA256SUMS")?;
    packages.push(checksums);
    Ok(packages)
}

fn pack_program(
    program: &Program,
    out: &Path,
    time: &str,
    debian_version: Option<&str>,
) -> anyhow::Result<()> {
    let cargo_deb = cargo_deb()?;
    let stage = out.join("stage");
    let release = stage.join(&program.triple).join("release");
    create(&release)?;
    let stripped = program.stripped(&release)?;

    tarball(&stripped, &program.triple, out, &stage, time)?;
    let mut command = Command::new(cargo_deb);
    command
        .current_dir(root())
        .args([
            "--no-build",
            "--no-strip",
            "--no-dbgsym",
            "--quiet",
            "--target",
            &program.triple,
            "--output",
        ])
        .arg(out)
        // cargo-deb looks for the program here.
        .env("CARGO_TARGET_DIR", &stage)
        .env("SOURCE_DATE_EPOCH", time);
    if let Some(version) = debian_version {
        command.args(["--deb-version", version]);
    }
    succeed(&mut command)?;
    fs::remove_dir_all(&stage).with_context(|| format!("removing {}", stage.display()))
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
fn tarball(
    program: &Path,
    triple: &str,
    out: &Path,
    stage: &Path,
    time: &str,
) -> anyhow::Result<()> {
    let name = format!("{NAME}-{}-{triple}", version()?);
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
    )
}

/// Returns the version of the program.
fn version() -> anyhow::Result<String> {
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

/// Returns the paths of the files in a directory, sorted.
fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = directory
        .read_dir()
        .with_context(|| format!("reading {}", directory.display()))?;
    let mut files: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .collect();
    files.sort();
    Ok(files)
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
