//! Another build of the exporter, to compare with.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::project::{cargo, root, succeed, target};

pub(super) struct Build {
    /// What the user called it.
    pub(super) name: String,
    pub(super) exporter: PathBuf,
}

impl Build {
    /// Returns the build with this path. If there is no such file, builds the git revision with this
    /// name.
    pub(super) fn of(name: &str) -> anyhow::Result<Self> {
        let path = Path::new(name);
        let exporter = if path.is_file() {
            std::path::absolute(path)?
        } else {
            build_revision(name)?
        };
        Ok(Self {
            name: name.to_owned(),
            exporter,
        })
    }
}

/// Builds the exporter of a revision in release mode, and returns its path.
///
/// The sources are a git worktree in the target directory. It is kept together with its own target
/// directory, so that the next build compiles only what differs.
fn build_revision(revision: &str) -> anyhow::Result<PathBuf> {
    let commit = commit(revision)?;
    let sources = target()?.join("compare");
    if sources.join(".git").exists() {
        let mut checkout = git(&sources);
        checkout.args(["checkout", "--quiet", "--force", "--detach", &commit]);
        succeed(&mut checkout)?;
    } else {
        let mut add = git(&root());
        // With --force also if the directory was deleted while git still lists it.
        add.args(["worktree", "add", "--quiet", "--force", "--detach"]);
        succeed(add.arg(&sources).arg(&commit))?;
    }
    let target = sources.join("target");
    eprintln!("building {revision} in {} ...", sources.display());
    succeed(
        cargo()
            .current_dir(&sources)
            .args(["build", "--release", "--locked"])
            .args(["--bin", EXPORTER, "--target-dir"])
            .arg(&target),
    )?;
    Ok(target.join("release").join(EXPORTER))
}

const EXPORTER: &str = "tzsp_packetstream_exporter";

/// Returns the hash of a revision's commit.
fn commit(revision: &str) -> anyhow::Result<String> {
    let output = git(&root())
        .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
        .arg(format!("{revision}^{{commit}}"))
        .output()
        .context("cannot run git")?;
    if !output.status.success() {
        bail!("{revision} is neither a program nor a git revision");
    }
    let hash = String::from_utf8(output.stdout).context("git prints a hash")?;
    Ok(hash.trim_end().to_owned())
}

fn git(directory: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(directory);
    git
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_used_as_it_is() {
        let this = std::env::current_exe().expect("the path of the tests");
        let name = this.to_str().expect("the path is text");
        let build = Build::of(name).expect("it exists");
        assert_eq!((build.name.as_str(), build.exporter), (name, this.clone()));
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        let error = Build::of("--no/such revision")
            .err()
            .expect("it is unknown");
        assert_eq!(
            error.to_string(),
            "--no/such revision is neither a program nor a git revision"
        );
    }
}
