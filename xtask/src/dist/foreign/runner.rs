//! Runs programs of a target on this machine.

use std::path::Path;
use std::process::Command;

use super::wine::Wine;
use crate::dist::targets::{Emulator, Target};
use crate::tools;

/// A way to run programs of a target.
pub(super) enum Runner {
    /// This machine runs them itself.
    Direct,
    /// The name of the emulator.
    Qemu(&'static str),
    Wine(Wine),
}

impl Runner {
    /// # Errors
    /// Tools are missing and cannot be installed.
    pub(super) fn of(target: &Target) -> anyhow::Result<Self> {
        let Some(cross) = &target.cross else {
            return Ok(Self::Direct);
        };
        tools::ensure(cross.tools)?;
        tools::ensure(cross.check_tools)?;
        Ok(match cross.emulator {
            Emulator::Qemu(name) => Self::Qemu(name),
            Emulator::Wine => Self::Wine(Wine::start(target)?),
        })
    }

    /// Returns a command that runs a program.
    pub(super) fn command(&self, program: &Path) -> Command {
        let Some(emulator) = self.program() else {
            return Command::new(program);
        };
        let mut command = Command::new(emulator);
        self.prepare(&mut command);
        command.arg(program);
        command
    }

    /// Makes cargo run the programs that it builds for a target.
    pub(super) fn configure(&self, target: &Target, cargo: &mut Command) {
        if let Some(emulator) = self.program() {
            cargo.env(target.cargo_variable("RUNNER"), emulator);
            self.prepare(cargo);
        }
    }

    /// Returns the program whose first argument is the program to run.
    fn program(&self) -> Option<&'static str> {
        match self {
            Self::Direct => None,
            Self::Qemu(name) => Some(name),
            Self::Wine(_) => Some(Wine::PROGRAM),
        }
    }

    fn prepare(&self, command: &mut Command) {
        if let Self::Wine(wine) = self {
            wine.prepare(command);
        }
    }
}
