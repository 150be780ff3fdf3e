use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use super::history::History;
use crate::aggregator::{Aggregator, Settings};
use crate::capture::udp;
use crate::http::Pages;
use crate::metrics::{self, Overview, WebState};
use crate::wire::Skipped;

/// What the capture threads write and the scrapes read.
pub(super) struct Exporter {
    /// The time of the flow table counts from here.
    began: Instant,
    state: Mutex<State>,
    /// Whether a capture runs. Readiness is asked for on the runtime's thread, which must not wait
    /// while a scrape copies all flows under the lock.
    is_up: Arc<AtomicBool>,
    /// When the newest scrape was made that reached its client, in nanoseconds on the flow table's
    /// clock; 0 before the first. The runtime's thread sets it, which must not wait for the lock;
    /// whoever takes the lock next hands it on.
    delivered: AtomicU64,
    sockets: Mutex<Sockets>,
    /// What is captured, and how, once that is known.
    source: OnceLock<String>,
}

/// What the kernel drops at the sockets.
#[derive(Default)]
struct Sockets {
    drops: Vec<udp::Drops>,
    /// The kernel did not tell when it was last asked. This is logged once.
    is_unknown: bool,
}

pub(super) struct State {
    pub(super) aggregator: Aggregator,
    pub(super) history: History,
}

impl Exporter {
    pub(super) fn new(settings: Settings) -> Self {
        let history = History::default();
        Self {
            began: Instant::now(),
            is_up: history.up_now(),
            delivered: AtomicU64::new(0),
            state: Mutex::new(State {
                aggregator: Aggregator::new(settings),
                history,
            }),
            sockets: Mutex::default(),
            source: OnceLock::new(),
        }
    }

    /// Says in words what is captured, and how.
    pub(super) fn describe(&self, source: &str) {
        self.source.get_or_init(|| source.to_owned());
    }

    /// Remembers, for the landing page, what was counted until now.
    pub(super) fn mark(&self) {
        let now = self.now();
        self.lock().aggregator.mark(now);
    }

    /// The time by which flows come and go.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().expect(NO_PANIC);
        let delivered = self.delivered.load(Ordering::Relaxed);
        if delivered > 0 {
            state.aggregator.delivered(Duration::from_nanos(delivered));
        }
        state
    }

    /// From now on, what the kernel drops at these sockets counts.
    pub(super) fn watch_drops(&self, sockets: Vec<udp::Drops>) {
        self.sockets.lock().expect(NO_PANIC).drops = sockets;
    }

    /// Says once, at the end, what there was.
    pub(super) fn log_totals(&self) {
        let dropped_at_sockets = self.dropped_at_sockets();
        let state = self.lock();
        let frames = state.aggregator.frames();
        let skipped: u64 = Skipped::ALL
            .map(|reason| frames.skipped(reason))
            .iter()
            .sum();
        let capture = state.history.state(Instant::now());
        info!(
            frames = frames.received,
            counted = frames.received - skipped,
            skipped,
            dropped = capture.dropped + dropped_at_sockets,
            lost_seconds = capture.lost.as_secs(),
            "stopped"
        );
    }

    fn dropped_at_sockets(&self) -> u64 {
        let mut sockets = self.sockets.lock().expect(NO_PANIC);
        let readings = sockets.drops.iter_mut().map(udp::Drops::read);
        let failure = readings.filter_map(Result::err).last();
        let was_unknown = std::mem::replace(&mut sockets.is_unknown, failure.is_some());
        if let Some(error) = failure.filter(|_| !was_unknown) {
            warn!(
                "cannot read what the kernel dropped: /proc/self/net/udp6: {error}; \
                 tzsp_capture_dropped_total stays what it was until it can be read"
            );
        }
        sockets.drops.iter().map(udp::Drops::total).sum()
    }
}

const NO_PANIC: &str = "no thread panics while it holds the lock";

impl Pages for Exporter {
    fn metrics(&self, web: &WebState, out: &mut dyn Write) -> io::Result<Duration> {
        // Dropped is read first: a frame is never missing on both sides.
        let dropped_at_sockets = self.dropped_at_sockets();
        // Only the copying happens under the lock; sorting and text do not.
        let (at, flows, mut frames, last_frame, mut capture) = {
            let mut state = self.lock();
            let at = self.now();
            (
                at,
                state.aggregator.scrape(at),
                state.aggregator.frames().clone(),
                state.history.last_frame(),
                state.history.state(Instant::now()),
            )
        };
        capture.dropped += dropped_at_sockets;
        frames.newest = last_frame;
        metrics::write_scrape(&mut { out }, flows, &frames, &capture, web)?;
        Ok(at)
    }

    fn delivered(&self, at: Duration) {
        let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        self.delivered.fetch_max(at, Ordering::Relaxed);
    }

    fn overview(&self, top: usize) -> Overview {
        let dropped_at_sockets = self.dropped_at_sockets();
        let mut state = self.lock();
        let now = self.now();
        let recent = state.aggregator.recent(now, top);
        let mut capture = state.history.state(Instant::now());
        capture.dropped += dropped_at_sockets;
        let mut frames = state.aggregator.frames().clone();
        frames.newest = state.history.last_frame();
        Overview {
            at: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
            source: self.source.get().cloned().unwrap_or_default(),
            capture,
            frames,
            occupancy: state.aggregator.flows().occupancy(),
            recent,
        }
    }

    fn is_ready(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;
    use crate::flow::{Limits, Shape};
    use crate::wire::{ListenPorts, Reading};

    fn exporter() -> Exporter {
        Exporter::new(Settings {
            reading: Reading {
                listen_ports: ListenPorts::Any,
                ipv6: false,
            },
            shape: Shape::default(),
            limits: Limits {
                flows: 1,
                idle_flows: 0,
                idle_timeout: Duration::ZERO,
                hold: Duration::ZERO,
                leave_unseen: false,
            },
        })
    }

    #[test]
    fn readiness_is_told_while_a_scrape_holds_the_lock() {
        let exporter = Arc::new(exporter());
        {
            let history = &mut exporter.lock().history;
            let run = history.new_run(Instant::now());
            history.started(run, Instant::now());
        }
        let scrape = exporter.lock();
        let (answer, answered) = channel();
        let asked = Arc::clone(&exporter);
        thread::spawn(move || answer.send(asked.is_ready()));
        let is_ready = answered.recv_timeout(Duration::from_secs(10));
        drop(scrape);
        assert_eq!(is_ready, Ok(true));
    }
}
