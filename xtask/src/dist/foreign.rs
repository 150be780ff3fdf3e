//! Checks a build for a target: in an emulator, if it has another processor or system.

mod captures;
mod limits;
mod live;
mod packages;
mod runner;
mod tls;
mod unit_tests;
mod windows;
mod wine;

use std::path::Path;
use std::process::Command;

use anyhow::ensure;

use super::build::Profile;
use super::targets::{System, Target};
use super::{NAME, Program, stdout_of};
use crate::ci;
use crate::project::{cargo, succeed, target as native_target};
use runner::Runner;

/// Builds the program for a target, and checks it as users get it: from the unpacked tarball or zip
/// archive.
pub(super) fn check(target: &Target) -> anyhow::Result<()> {
    println!("{}", target.triple);
    let runner = ci::step("tools", || Runner::of(target))?;
    // A build with optimizations takes longer, which qemu makes up for: each instruction costs it
    // several.
    let profile = match runner {
        Runner::Qemu(_) => Profile::Emulator,
        Runner::Direct | Runner::Wine(_) => Profile::Dev,
    };
    let program = ci::step("build", || Program::built_for(target, profile))?;
    let program = ci::step("packages", || packages::check(target, &runner, &program))?;
    // The program for this machine, to which results are compared.
    succeed(cargo().args(["build", "--quiet", "--locked", "--package", NAME]))?;
    let native = native_target()?.join("debug").join(NAME);
    ci::step("version", || compare_versions(&runner, &program, &native))?;
    ci::step("limits", || limits::check(target, &runner, &program))?;
    ci::step("live", || live::check(target, &runner, &program))?;
    ci::step("tls", || tls::check(target, &runner, &program, &native))?;
    if target.system == System::Windows {
        ci::step("inputs", || windows::check(&runner, &program, &native))?;
    }
    ci::step("captures", || captures::compare(&runner, &program, &native))?;
    ci::step("unit tests", || unit_tests::run(target, profile, &runner))
}

fn compare_versions(runner: &Runner, program: &Path, native: &Path) -> anyhow::Result<()> {
    let version = stdout_of(runner.command(program).arg("--version"))?;
    let expected = stdout_of(Command::new(native).arg("--version"))?;
    ensure!(version == expected, "{version:?} instead of {expected:?}");
    Ok(())
}
