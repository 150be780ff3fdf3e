//! The environment of all processes that tests start: the same, whoever started the tests, and how.

use std::ffi::OsStr;
use std::fs;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use signal_hook::flag;

/// `None` is not set.
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

/// Those that tests send, or that end what they start.
const SIGNALS: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// More than the connections of all tests that run at a time.
const OPEN_FILES: rlim_t = 16_384;

/// Gives a command locale, time zone and the like; what the test has set for it already stays. The
/// rest is inherited, so it is set for the tests themselves, once.
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
    // An ignored signal is ignored in children too. One with a handler has its default there.
    let is_set = Arc::new(AtomicBool::new(false));
    for signal in SIGNALS.into_iter().filter(|signal| is_ignored(*signal)) {
        flag::register(signal as i32, Arc::clone(&is_set)).unwrap();
    }
}

/// Beyond the hard limit, this takes a capability that root may lack: then as far as that allows.
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
