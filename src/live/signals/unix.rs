//! Waits for SIGINT, SIGTERM and SIGHUP.

use std::fs::File;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

pub(in crate::live) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if the process was started with SIGHUP ignored, as nohup(1) does.
    hangup: Option<Signal>,
    has_terminal: bool,
}

impl Signals {
    /// Registers handlers, so that the signals no longer end the process by themselves.
    pub(in crate::live) fn new() -> io::Result<Self> {
        let is_ignored = ignores_hangup();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: (!is_ignored)
                .then(|| signal(SignalKind::hangup()))
                .transpose()?,
            // Only a process with a terminal can open this name: tty(4).
            has_terminal: File::open("/dev/tty").is_ok(),
        })
    }

    /// Waits for a signal that asks the process to end, and returns its name.
    ///
    /// For a process on a terminal, SIGHUP means that the terminal was closed. For a daemon it is a
    /// request to reload the configuration, which this one does without a signal.
    pub(in crate::live) async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.terminate.recv() => return "SIGTERM",
                () = next(self.hangup.as_mut()) => {}
            }
            if self.has_terminal {
                return "SIGHUP: the terminal is gone";
            }
            info!("ignoring SIGHUP: the web configuration is reloaded by itself when it changes");
        }
    }
}

async fn next(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether this process was started with SIGHUP ignored.
#[cfg(target_os = "linux")]
fn ignores_hangup() -> bool {
    // The first bit is signal 1: proc_pid_status(5).
    let status = procfs::process::Process::myself().and_then(|process| process.status());
    status.is_ok_and(|status| status.sigign & 1 != 0)
}

/// Returns `false`: to find out would take `unsafe` code on this system.
#[cfg(not(target_os = "linux"))]
fn ignores_hangup() -> bool {
    false
}
