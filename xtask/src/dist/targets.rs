//! The systems that static programs are built for, and how.
//!
//! For another processor than that of this machine, Debian's Rust builds the standard library from
//! source: rustup's targets may be out of reach, and so is Debian's library for some processors.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::NAME;
use crate::project::{cargo, host, root, succeed};
use crate::tools::{self, Tool};

/// A system that a static program is built for.
pub(super) struct Target {
    pub(super) triple: &'static str,
    cross: Option<Cross>,
}

/// What a build for another processor needs.
struct Cross {
    /// The names of the C compiler and of the other tools begin with this.
    prefix: &'static str,
    tools: [Tool; 6],
    emulator: &'static str,
}

/// A way to compile: for users, or fast.
#[derive(Clone, Copy)]
pub(super) enum Profile {
    Release,
    Dev,
}

static ALL: [Target; 3] = [
    Target {
        triple: "x86_64-unknown-linux-gnu",
        cross: None,
    },
    Target {
        triple: "aarch64-unknown-linux-gnu",
        cross: Some(Cross {
            prefix: "aarch64-linux-gnu-",
            tools: [
                CARGO,
                STANDARD_LIBRARY,
                LINKER,
                Tool::new(
                    "aarch64-linux-gnu-gcc",
                    "--version",
                    "gcc-aarch64-linux-gnu",
                ),
                Tool::new(
                    "ls",
                    "/usr/aarch64-linux-gnu/lib/libc.a",
                    "libc6-dev-arm64-cross",
                ),
                Tool::new("qemu-aarch64-static", "--version", "qemu-user-static"),
            ],
            emulator: "qemu-aarch64-static",
        }),
    },
    Target {
        triple: "armv7-unknown-linux-gnueabihf",
        cross: Some(Cross {
            prefix: "arm-linux-gnueabihf-",
            tools: [
                CARGO,
                STANDARD_LIBRARY,
                LINKER,
                Tool::new(
                    "arm-linux-gnueabihf-gcc",
                    "--version",
                    "gcc-arm-linux-gnueabihf",
                ),
                Tool::new(
                    "ls",
                    "/usr/arm-linux-gnueabihf/lib/libc.a",
                    "libc6-dev-armhf-cross",
                ),
                Tool::new("qemu-arm-static", "--version", "qemu-user-static"),
            ],
            emulator: "qemu-arm-static",
        }),
    },
];

/// The names of the targets.
pub(super) const TRIPLES: [&str; 3] = [ALL[0].triple, ALL[1].triple, ALL[2].triple];

/// Debian's cargo, which is newer in this package than in `cargo`.
const CARGO: Tool = Tool::new("/usr/bin/cargo", "--version", "cargo-web");
/// The source of the standard library for that cargo.
const STANDARD_LIBRARY: Tool = Tool::new("ls", "/usr/lib/rustlib/src/rust/library", "rust-web-src");

/// LLVM's linker. In static programs for ARM, that of Debian's binutils 2.40 forgets that the function
/// which chooses memcpy is in Thumb code, so they crash at their start.
const LINKER: Tool = Tool::new("ld.lld", "--version", "lld");

impl Target {
    /// Returns the target of this name, if programs are built for it.
    pub(super) fn named(triple: &str) -> Option<&'static Self> {
        ALL.iter().find(|target| target.triple == triple)
    }

    /// Returns the target of this machine.
    ///
    /// # Errors
    /// No static programs are built for it.
    pub(super) fn of_this_machine() -> anyhow::Result<&'static Self> {
        let host = host()?;
        Self::named(&host).with_context(|| {
            format!(
                "no static programs are built for {host}: use one of {}",
                TRIPLES.join(", ")
            )
        })
    }

    /// Builds the program, statically linked, and returns its path.
    ///
    /// # Errors
    /// Tools are missing and cannot be installed, or the build fails.
    pub(super) fn build(&self, profile: Profile) -> anyhow::Result<PathBuf> {
        self.cargo(&["build", "--bin", NAME], profile)?;
        Ok(self.directory(profile).join(NAME))
    }

    /// Runs a subcommand of cargo that compiles.
    fn cargo(&self, arguments: &[&str], profile: Profile) -> anyhow::Result<()> {
        let mut command = match &self.cross {
            None => self.native_cargo()?,
            Some(cross) => self.cross_cargo(cross)?,
        };
        command
            .args(arguments)
            .args(["--locked", "--target", self.triple, "--target-dir"])
            .arg(target_directory())
            .args(["--profile", profile.name()])
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags()?.join("\x1f"));
        succeed(&mut command)
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
        tools::ensure(&cross.tools)?;
        let mut cargo = Command::new("/usr/bin/cargo");
        let triple = self.triple.replace('-', "_");
        let compiler = format!("{}gcc", cross.prefix);
        cargo
            .current_dir(root())
            .env("RUSTC", "/usr/bin/rustc")
            // Allows -Z, which builds the standard library.
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("RUSTUP_TOOLCHAIN")
            .env(format!("CC_{triple}"), &compiler)
            .env(
                format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase()),
                &compiler,
            )
            .args(["-Z", "build-std=std,panic_abort"]);
        Ok(cargo)
    }

    /// Returns flags for rustc. They link statically, and keep this machine's directories out of the
    /// program, so that the same sources give the same bytes in any directory.
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
        if self.cross.is_some() {
            let linker = linker_directory()?;
            flags.push(format!("-Clink-arg=-B{}", linker.display()));
        }
        Ok(flags)
    }

    /// Returns the directory with the programs of a profile.
    fn directory(&self, profile: Profile) -> PathBuf {
        let name = match profile {
            Profile::Release => "release",
            Profile::Dev => "debug",
        };
        target_directory().join(self.triple).join(name)
    }

    /// Returns the program that removes symbols from programs for this target.
    pub(super) fn strip(&self) -> String {
        let prefix = self.cross.as_ref().map_or("", |cross| cross.prefix);
        format!("{prefix}strip")
    }

    /// Returns a command that runs a program for this target.
    pub(super) fn command(&self, program: &Path) -> Command {
        match &self.cross {
            None => Command::new(program),
            Some(cross) => {
                let mut command = Command::new(cross.emulator);
                command.arg(program);
                command
            }
        }
    }
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "dev",
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
fn linker_directory() -> anyhow::Result<PathBuf> {
    let directory = target_directory().join("linker");
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    let link = directory.join("ld");
    if !link.exists() {
        symlink("/usr/bin/ld.lld", &link)
            .with_context(|| format!("creating {}", link.display()))?;
    }
    Ok(directory)
}
