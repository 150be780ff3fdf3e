//! The stream of datagrams.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::replay::Datagrams;

use super::exporter::LISTEN_PORT;
use super::network::Namespace;

/// A thread on the sensor that streams to the collector.
pub(crate) struct Load {
    thread: JoinHandle<anyhow::Result<Duration>>,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Progress {
    sent: AtomicU64,
    stop: AtomicBool,
}

impl Load {
    /// Streams `datagrams` to this address in a loop, until `wanted` are sent.
    pub(crate) fn start(
        sensor: &Namespace,
        collector: &str,
        datagrams: Datagrams,
        pps: u32,
        wanted: u64,
    ) -> Self {
        let progress = Arc::new(Progress::default());
        let thread = thread::spawn({
            let progress = Arc::clone(&progress);
            let handle = sensor.handle();
            let to = format!("{collector}:{LISTEN_PORT}");
            move || {
                handle.enter()?;
                datagrams.stream(&to, pps, |sent| {
                    progress.sent.store(sent, Ordering::Relaxed);
                    sent < wanted && !progress.stop.load(Ordering::Relaxed)
                })
            }
        });
        Self { thread, progress }
    }

    pub(crate) fn sent(&self) -> u64 {
        self.progress.sent.load(Ordering::Relaxed)
    }

    /// Whether all datagrams are sent, or sending has failed.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until all datagrams are sent. Returns their number, and how long it took.
    pub(crate) fn finish(self) -> anyhow::Result<(u64, Duration)> {
        let duration = self
            .thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((self.progress.sent.load(Ordering::Relaxed), duration))
    }

    /// Stops sending.
    pub(crate) fn stop(&self) {
        self.progress.stop.store(true, Ordering::Relaxed);
    }
}
