//! Builds static programs.
//!
//! For another processor or system than that of this machine, Debian's Rust builds the standard
//! library from source: rustup's targets may be out of reach, and so is Debian's library for some
//! processors.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::NAME;
use super::targets::{Cross, System, Target};
use crate::project::{cargo, host, root, succeed};
use crate::tools;

/// A way to compile.
#[derive(Clone, Copy)]
pub(super) enum Profile {
    /// For users.
    Release,
    /// Fast to build.
    Dev,
    /// Slower to build, and faster in an emulator. See Cargo.toml.
    Emulator,
}

impl Target {
    /// Builds the program, statically linked, and returns its path.
    ///
    /// # Errors
    /// Tools are missing and cannot be installed, or the build fails.
    pub(super) fn build(&self, profile: Profile) -> anyhow::Result<PathBuf> {
        let mut build = self.cargo("build", &["--profile", profile.name(), "--bin", NAME])?;
        succeed(&mut build)?;
        let directory = target_directory().join(self.triple);
        let directory = directory.join(profile.directory());
        Ok(directory.join(self.system.program()))
    }

    /// Returns a command that compiles for this target, with a subcommand of cargo.
    pub(super) fn cargo(&self, subcommand: &str, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = match &self.cross {
            None => self.native_cargo()?,
            Some(cross) => self.cross_cargo(cross)?,
        };
        command
            .arg(subcommand)
            .args(["--locked", "--target", self.triple, "--target-dir"])
            .arg(target_directory())
            .args(arguments)
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags()?.join("\x1f"));
        Ok(command)
    }

    /// Returns the name of the variable that configures cargo for this target.
    pub(super) fn cargo_variable(&self, key: &str) -> String {
        let triple = self.triple.replace('-', "_").to_uppercase();
        format!("CARGO_TARGET_{triple}_{key}")
    }

    fn native_cargo(&self) -> anyhow::Result<Command> {
        let host = host()?;
        if host != self.triple {
            bail!(
                "a program for {} is built on such a machine alone; this one is {host}",
                self.triple
            );
        }
        Ok(cargo())
    }

    fn cross_cargo(&self, cross: &Cross) -> anyhow::Result<Command> {
        tools::ensure(cross.tools)?;
        let mut cargo = Command::new("/usr/bin/cargo");
        let triple = self.triple.replace('-', "_");
        let compiler = self.tool("gcc");
        cargo
            .current_dir(root())
            .env("RUSTC", "/usr/bin/rustc")
            // Allows -Z, which builds the standard library.
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("RUSTUP_TOOLCHAIN")
            .env(format!("CC_{triple}"), &compiler)
            .env(format!("AR_{triple}"), self.tool("ar"))
            .env(self.cargo_variable("LINKER"), &compiler)
            .args(["-Z", "build-std=std,panic_abort"]);
        Ok(cargo)
    }

    /// Returns flags for rustc. They link statically, and keep this machine's directories and the
    /// time out of the program, so that the same sources give the same bytes in any directory.
    fn flags(&self) -> anyhow::Result<Vec<String>> {
        let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
        let mut flags = vec![
            "-Ctarget-feature=+crt-static".to_owned(),
            remap(&root(), "."),
        ];
        let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
        if let Some(home) = cargo_home.or_else(|| Some(env::home_dir()?.join(".cargo"))) {
            flags.push(remap(&home, "cargo"));
        }
        match (self.system, &self.cross) {
            (System::Windows, _) => flags.push("-Clink-arg=-Wl,--no-insert-timestamp".to_owned()),
            (System::Linux, Some(_)) => {
                flags.push(format!("-Clink-arg=-B{}", linker_directory()?));
            }
            (System::Linux, None) => {}
        }
        Ok(flags)
    }
}

impl Profile {
    /// Returns the name by which cargo knows it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "dev",
            Self::Emulator => "emulator",
        }
    }

    /// Returns the name of the directory in which cargo puts its programs.
    fn directory(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "debug",
            Self::Emulator => "emulator",
        }
    }
}

/// Returns the directory of the builds, apart from those for this machine: another compiler builds
/// here.
fn target_directory() -> PathBuf {
    root().join("target/static")
}

/// Makes LLVM's linker the one that gcc finds first in a directory, which is returned. A gcc for
/// another processor does not find it by itself.
///
/// The path is relative to the project's root directory, in which rustc links: flags must not depend
/// on where that is.
fn linker_directory() -> anyhow::Result<&'static str> {
    let directory = "target/static/linker";
    let path = root().join(directory);
    fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
    let link = path.join("ld");
    if !link.exists() {
        symlink("/usr/bin/ld.lld", &link)
            .with_context(|| format!("creating {}", link.display()))?;
    }
    Ok(directory)
}
