//! Builds tarballs, zip archives, Debian packages and container images. The same program always gives
//! the same bytes.

mod build;
mod check;
mod foreign;
mod image;
mod pack;
mod targets;
mod zip;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;

use crate::project::{host, root, succeed, target};
use crate::release;
use build::Profile;
use targets::{System, Target};

const NAME: &str = "tzsp_packetstream_exporter";

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
    #[arg(long, value_name = "FILE", conflicts_with_all = ["targets", "all"])]
    program: Option<PathBuf>,

    /// Package a static program for this target; may be given several times [default: a program for
    /// this machine, linked to its C library]
    #[arg(long = "target", value_name = "TRIPLE", value_parser = targets::TRIPLES)]
    targets: Vec<String>,

    /// Package static programs for all targets
    #[arg(long, conflicts_with = "targets")]
    all: bool,

    /// Also write a container image for each target with Linux, or for a static program for this
    /// machine. With --program, that program must be static
    #[arg(long)]
    image: bool,

    /// Build the packages twice and compare them; then install, run, upgrade, remove and purge the
    /// Debian package in a temporary copy of this system; with --image, also check and run the image;
    /// needs Debian, root and overlayfs. With --target or --all, check a fast build for each target
    /// instead, in an emulator if it has another processor or system: packages and image, all
    /// captures in testdata/, where results must be those of this machine, a live run, the unit tests
    #[arg(long)]
    check: bool,
}

impl Options {
    fn targets(&self) -> Vec<&'static Target> {
        if self.all {
            return targets::ALL.iter().collect();
        }
        let triples = self.targets.iter();
        triples.filter_map(|triple| Target::named(triple)).collect()
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let targets = options.targets();
    if options.check && !targets.is_empty() {
        return targets.into_iter().try_for_each(foreign::check);
    }
    let programs = if targets.is_empty() {
        vec![match &options.program {
            Some(program) => Program::of_this_machine(program.clone())?,
            None => Program::of_this_machine(release::build(&["--package", NAME])?.exporter)?,
        }]
    } else {
        let programs = targets
            .iter()
            .map(|target| Program::built_for(target, Profile::Release));
        programs.collect::<Result<_, _>>()?
    };
    let built_for_image = if options.image && targets.is_empty() && options.program.is_none() {
        let this = Target::of_this_machine()?;
        Some(Program::built_for(this, Profile::Release)?)
    } else {
        None
    };
    let images: Vec<_> = match (&built_for_image, options.image) {
        (_, false) => Vec::new(),
        (Some(program), true) => vec![program],
        (None, true) => programs
            .iter()
            .filter(|program| program.is_for_linux())
            .collect(),
    };
    if options.check {
        for program in images {
            image::check(program, None, &root().join(IMAGE_CHECK))?;
        }
        return check::run(&programs);
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).context("reading Cargo.toml")?;
    check_maintainer(&tags()?, &manifest)?;
    let out = root().join(&options.out);
    for package in pack::pack(&programs, &images, &out, None)? {
        println!("{}", package.display());
    }
    Ok(())
}

/// A program to package.
struct Program {
    path: PathBuf,
    triple: String,
    system: System,
    /// The command that removes symbols from it.
    strip: String,
}

impl Program {
    fn of_this_machine(path: PathBuf) -> anyhow::Result<Self> {
        Ok(Self {
            path,
            triple: host()?,
            system: System::Linux,
            strip: "strip".to_owned(),
        })
    }

    fn built_for(target: &Target, profile: Profile) -> anyhow::Result<Self> {
        Ok(Self {
            path: target.build(profile)?,
            triple: target.triple.to_owned(),
            system: target.system,
            strip: target.tool("strip"),
        })
    }

    fn is_for_linux(&self) -> bool {
        self.system == System::Linux
    }

    /// Writes the program without symbols to a directory, and returns its path.
    fn stripped(&self, directory: &Path) -> anyhow::Result<PathBuf> {
        let stripped = directory.join(self.system.program());
        let mut strip = Command::new(&self.strip);
        // Programs for Windows contain a time: the one of the linker, not that of this command.
        strip.args(["--preserve-dates", "-o"]);
        succeed(strip.arg(&stripped).arg(&self.path))?;
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
    let program = Program::built_for(Target::of_this_machine()?, Profile::Dev)?;
    image::check(&program, None, &root().join(IMAGE_CHECK))
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
