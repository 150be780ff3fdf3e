//! The environment of all processes that tests start. It does not depend on who starts the tests,
//! or how.

use std::ffi::OsStr;
use std::fs;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use signal_hook::flag;

/// Environment variables and their values; `None` removes the variable.
const ENVIRONMENT: [(&str, Option<&str>); 8] = [
    ("LC_ALL", Some("C.UTF-8")),
    ("LANGUAGE", None),
    ("TZ", Some("UTC0")),
    ("COLUMNS", None),
    ("NO_COLOR", None),
    ("CLICOLOR", None),
    ("CLICOLOR_FORCE", None),
    ("NOTIFY_SOCKET", None),
];

/// Signals that tests send, or that terminate the processes they start.
const SIGNALS: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// More than all concurrently running tests need for their connections.
const OPEN_FILES: rlim_t = 16_384;

/// Sets locale, time zone and the like for a command, except for variables that the test has set
/// already. Signals and limits are inherited, so they are set once, for the test process itself.
pub(crate) fn normalize(command: &mut Command) {
    static PROCESS: LazyLock<()> = LazyLock::new(normalize_this_process);
    LazyLock::force(&PROCESS);
    for (name, value) in ENVIRONMENT {
        let is_chosen = command
            .get_envs()
            .any(|(other, _)| other == OsStr::new(name));
        match value {
            _ if is_chosen => {}
            Some(value) => {
                command.env(name, value);
            }
            None => {
                command.env_remove(name);
            }
        }
    }
}

fn normalize_this_process() {
    umask(Mode::from_bits_truncate(0o022));
    raise(Resource::RLIMIT_NOFILE, OPEN_FILES);
    for resource in [
        Resource::RLIMIT_AS,
        Resource::RLIMIT_DATA,
        Resource::RLIMIT_FSIZE,
    ] {
        raise(resource, RLIM_INFINITY);
    }
    // Children inherit ignored signals, whereas a signal with a handler gets its default action.
    let is_set = Arc::new(AtomicBool::new(false));
    for signal in SIGNALS.into_iter().filter(|signal| is_ignored(*signal)) {
        flag::register(signal as i32, Arc::clone(&is_set)).unwrap();
    }
}

/// Raises a resource limit. To exceed the hard limit takes a capability that even root may lack;
/// then the hard limit is used.
fn raise(resource: Resource, wanted: rlim_t) {
    let (_, hard) = getrlimit(resource).unwrap();
    if setrlimit(resource, wanted, hard.max(wanted)).is_err() {
        setrlimit(resource, hard.min(wanted), hard).unwrap();
    }
}

/// Whether this process ignores a signal: signal N is bit N - 1 of the mask in proc_pid_status(5).
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
    mask >> (signal as i32 - 1) & 1 == 1
}
