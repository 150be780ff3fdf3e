//! Wine, with a directory of its own for what a user of Windows would have on drive C.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::dist::create;
use crate::dist::targets::{Target, WINE};
use crate::project::{root, succeed};

/// Keeps Wine's services running between the programs. Without them, each program would start and
/// end them, and sometimes fail.
const SERVER: &str = "/usr/lib/wine/wineserver";

/// A running Wine. It ends when this is dropped.
pub(super) struct Wine {
    prefix: PathBuf,
}

impl Wine {
    /// Runs a program for Windows, its first argument.
    pub(super) const PROGRAM: &str = WINE;

    /// Starts Wine as Windows 10, in a new directory.
    pub(super) fn start(target: &Target) -> anyhow::Result<Self> {
        let wine = Self {
            prefix: root().join("target/wine"),
        };
        wine.remove();
        create(&wine.prefix)?;
        // It ends an hour after the last program, should this one be killed.
        succeed(wine.command(SERVER).arg("-p3600"))?;
        succeed(wine.command(WINE).args(["wineboot", "--init"]))?;
        let key = r"HKEY_CURRENT_USER\Software\Wine";
        let version = ["/v", "Version", "/d", "win10"];
        succeed(wine.command(WINE).args(["reg", "add", key]).args(version))?;
        wine.add_missing_library(target)?;
        Ok(wine)
    }

    /// Sets the variables that select this Wine.
    pub(super) fn prepare(&self, command: &mut Command) {
        command
            .env("WINEPREFIX", &self.prefix)
            .env("WINEARCH", "win64")
            .env("WINEDEBUG", "-all")
            .env_remove("DISPLAY");
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        self.prepare(&mut command);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // Wine complains about what a new directory lacks.
            .stderr(Stdio::null());
        command
    }

    /// Ends a Wine that uses the directory, and removes the directory: it takes 700 MB.
    fn remove(&self) {
        if self.prefix.exists() {
            let _ = self.command(SERVER).arg("--kill").status();
            let _ = self.command(SERVER).arg("--wait").status();
            let _ = fs::remove_dir_all(&self.prefix);
        }
    }

    /// Adds the library that Wine 8 lacks.
    fn add_missing_library(&self, target: &Target) -> anyhow::Result<()> {
        let system = self.prefix.join("drive_c/windows/system32");
        let library = system.join("bcryptprimitives.dll");
        if library.exists() {
            return Ok(());
        }
        println!("this Wine lacks bcryptprimitives.dll: building a substitute");
        let source = Path::new("xtask/src/dist/foreign/wine/bcryptprimitives.c");
        let mut compile = Command::new(target.tool("gcc"));
        compile
            .args(["-shared", "-O2", "-Wall", "-Werror", "-o"])
            .arg(&library)
            .arg(root().join(source))
            .arg("-ladvapi32");
        succeed(&mut compile).context("building bcryptprimitives.dll")
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        self.remove();
    }
}
