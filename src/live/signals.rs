//! Waits for what asks the daemon to end: SIGINT, SIGTERM and SIGHUP, or the events of a console on
//! Windows.

#[cfg(unix)]
#[path = "signals/unix.rs"]
mod system;
#[cfg(windows)]
mod system {
    pub(in crate::live) use crate::console_events::ConsoleEvents as Signals;
}

pub(super) use system::Signals;
