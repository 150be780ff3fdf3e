//! Starts child processes whose life is tied to ours (`PR_SET_PDEATHSIG`): they end when this
//! process ends, even if it is killed.
//!
//! On Linux the child first runs this executable again, with [`SUBCOMMAND`]. It asks the kernel for
//! a signal at its parent's death and then becomes the program (execve(2)). The detour is needed
//! because code that runs between fork and exec in our own process would be `unsafe`. On other
//! systems a child ends at its next write to the closed pipe.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::Command;

/// The first argument with which `main` calls [`exec`]. It is internal and in no help.
pub const SUBCOMMAND: &str = "run-child";

/// The exit status by which shells report that a program was not found.
pub const STATUS_NOT_FOUND: u8 = 127;
/// The exit status by which shells report that a program was found and cannot be run.
pub const STATUS_NOT_RUNNABLE: u8 = 126;

/// Returns a command that runs `program` as a tied child, in a process group of its own.
#[must_use]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    in_own_group(start_tied(program.as_ref()))
}

#[cfg(target_os = "linux")]
fn start_tied(program: &OsStr) -> Command {
    // Not std::env::current_exe(): that path no longer exists once an update has replaced the
    // executable.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg(SUBCOMMAND)
        .arg(std::process::id().to_string())
        .arg(program);
    command
}

#[cfg(not(target_os = "linux"))]
fn start_tied(program: &OsStr) -> Command {
    Command::new(program)
}

#[cfg(unix)]
fn in_own_group(mut command: Command) -> Command {
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}

/// A group of its own also means that Ctrl-C in the console does not reach the child.
#[cfg(windows)]
fn in_own_group(mut command: Command) -> Command {
    /// `CREATE_NEW_PROCESS_GROUP` of winbase.h.
    const NEW_GROUP: u32 = 0x200;

    std::os::windows::process::CommandExt::creation_flags(&mut command, NEW_GROUP);
    command
}

/// Replaces this process with `program`, which gets SIGTERM when the process `parent` ends.
/// Returns only if that fails.
#[cfg(target_os = "linux")]
#[must_use]
pub fn exec(parent: u32, program: &OsString, arguments: &[OsString]) -> io::Error {
    use nix::sys::prctl::set_pdeathsig;
    use nix::sys::signal::Signal;
    use nix::unistd::getppid;
    use std::os::unix::process::CommandExt;

    if let Err(error) = set_pdeathsig(Signal::SIGTERM) {
        return error.into();
    }
    // The parent may have ended before the request: then there will be no signal.
    if i64::from(getppid().as_raw()) != i64::from(parent) {
        return io::Error::other("the exporter has ended already");
    }
    Command::new(program).args(arguments).exec()
}

/// Always fails: on this system [`command`] starts programs directly.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn exec(_parent: u32, _program: &OsString, _arguments: &[OsString]) -> io::Error {
    io::ErrorKind::Unsupported.into()
}
