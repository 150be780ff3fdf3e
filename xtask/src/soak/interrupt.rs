use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

use anyhow::Context;
use nix::sys::signal::{SigSet, Signal};

/// A wish to stop early: SIGINT, SIGTERM or SIGHUP. It must not end this process at once, or
/// namespaces and the exporter would stay behind.
pub(super) struct Interrupt {
    signals: Receiver<Signal>,
}

impl Interrupt {
    /// To be called while there is one thread only: those to come inherit what it blocks.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let wishes = wishes();
        wishes.thread_block().context("cannot block signals")?;
        let (sender, signals) = channel();
        thread::spawn(move || {
            while let Ok(signal) = wishes.wait() {
                let _ = sender.send(signal);
            }
        });
        Ok(Self { signals })
    }

    /// Waits until `deadline`, or until there is a wish to stop.
    pub(super) fn came_before(&self, deadline: Instant) -> bool {
        let patience = deadline.saturating_duration_since(Instant::now());
        self.signals.recv_timeout(patience) != Err(RecvTimeoutError::Timeout)
    }
}

/// Lets signals through to what this thread starts: processes inherit what is blocked.
pub(super) fn unblock_for_children() -> anyhow::Result<()> {
    wishes().thread_unblock().context("cannot unblock signals")
}

fn wishes() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .collect()
}
