//! Starts programs that end when this one does, even if it is killed.
//!
//! On Linux the program is started through this very executable, which asks the kernel for a
//! signal at its parent's death and then becomes the program. Elsewhere a program that loses
//! its reader ends at its next write.

use std::ffi::OsString;
use std::io;
use std::process::Command;

/// The first argument that `main` answers with [`become_leashed`]; no help shows it.
pub const SUBCOMMAND: &str = "run-leashed";

/// What a shell ends with when a program is not there.
pub const STATUS_NOT_FOUND: u8 = 127;
/// What a shell ends with when a program is there and cannot be run.
pub const STATUS_NOT_RUNNABLE: u8 = 126;

/// A command that runs `program` on a leash, in a process group of its own.
#[must_use]
pub fn command(program: &str) -> Command {
    #[cfg(target_os = "linux")]
    let mut command = {
        // Not std::env::current_exe(): its path is gone once the executable was replaced.
        let mut command = Command::new("/proc/self/exe");
        command
            .arg(SUBCOMMAND)
            .arg(std::process::id().to_string())
            .arg(program);
        command
    };
    #[cfg(not(target_os = "linux"))]
    let mut command = Command::new(program);
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}

/// Turns this process into `program`, with SIGTERM as its end once `parent` is gone. Returns
/// only if that is impossible.
#[cfg(target_os = "linux")]
#[must_use]
pub fn become_leashed(parent: u32, program: &OsString, arguments: &[OsString]) -> io::Error {
    use nix::sys::prctl::set_pdeathsig;
    use nix::sys::signal::Signal;
    use nix::unistd::getppid;
    use std::os::unix::process::CommandExt;

    if let Err(error) = set_pdeathsig(Signal::SIGTERM) {
        return error.into();
    }
    if i64::from(getppid().as_raw()) != i64::from(parent) {
        // It died before we asked.
        return io::Error::other("the exporter has ended already");
    }
    Command::new(program).args(arguments).exec()
}

/// Never asked for: [`command`] starts programs directly.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn become_leashed(_parent: u32, _program: &OsString, _arguments: &[OsString]) -> io::Error {
    io::ErrorKind::Unsupported.into()
}
