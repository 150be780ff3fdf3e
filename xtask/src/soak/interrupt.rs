//! Signals that ask this program to stop.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

use anyhow::Context;
use nix::sys::signal::{SigSet, Signal};

/// Receives SIGINT, SIGTERM and SIGHUP. They must not end this process at once, because namespaces
/// and the exporter have to be cleaned up.
pub(super) struct Interrupt {
    signals: Receiver<Signal>,
}

impl Interrupt {
    /// Blocks the signals and receives them on a thread of its own. Must be called while the process
    /// has one thread: later threads inherit the blocked signals.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let signals = stop_signals();
        signals.thread_block().context("cannot block signals")?;
        let (sender, receiver) = channel();
        thread::spawn(move || {
            while let Ok(signal) = signals.wait() {
                let _ = sender.send(signal);
            }
        });
        Ok(Self { signals: receiver })
    }

    /// Waits until `deadline` or until a signal arrives. Returns whether one has arrived.
    pub(super) fn wait_until(&self, deadline: Instant) -> bool {
        let timeout = deadline.saturating_duration_since(Instant::now());
        self.signals.recv_timeout(timeout) != Err(RecvTimeoutError::Timeout)
    }
}

/// Unblocks the signals in this thread, so that they reach the processes that it starts: a process
/// inherits the blocked signals of the thread that starts it.
pub(super) fn unblock_for_children() -> anyhow::Result<()> {
    stop_signals()
        .thread_unblock()
        .context("cannot unblock signals")
}

fn stop_signals() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .collect()
}
