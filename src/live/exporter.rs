use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use super::history::History;
use crate::aggregator::{Aggregator, Settings};
use crate::capture::DropCounter;
use crate::http::Pages;
use crate::metrics::{self, Overview, WebState};
use crate::wire::Skipped;

/// What the capture threads write and the scrapes read.
pub(super) struct Exporter {
    /// The time of the flow table counts from here.
    began: Instant,
    state: Mutex<State>,
    sockets: Mutex<Sockets>,
    /// What is captured, and how, once that is known.
    source: OnceLock<String>,
}

/// What the kernel drops at the sockets.
#[derive(Default)]
struct Sockets {
    drops: Vec<Box<dyn DropCounter>>,
    /// What was dropped at sockets that are no longer watched.
    earlier: u64,
    /// The kernel did not tell when it was last asked. This is logged once.
    is_unknown: bool,
}

pub(super) struct State {
    pub(super) aggregator: Aggregator,
    pub(super) history: History,
}

impl Exporter {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            began: Instant::now(),
            state: Mutex::new(State {
                aggregator: Aggregator::new(settings),
                history: History::default(),
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
        self.state.lock().expect(NO_PANIC)
    }

    /// From now on, what the kernel drops according to these counters counts. What it dropped
    /// according to those before them still does.
    pub(super) fn watch_drops(&self, counters: Vec<Box<dyn DropCounter>>) {
        let mut sockets = self.sockets.lock().expect(NO_PANIC);
        sockets.earlier = sockets.total();
        sockets.drops = counters;
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

    /// Asks the kernel what it dropped until now, and returns all that it ever dropped.
    pub(super) fn dropped_at_sockets(&self) -> u64 {
        let mut sockets = self.sockets.lock().expect(NO_PANIC);
        let readings = sockets.drops.iter_mut().map(|counter| counter.read());
        let failure = readings.filter_map(Result::err).last();
        let was_unknown = std::mem::replace(&mut sockets.is_unknown, failure.is_some());
        if let Some(error) = failure.filter(|_| !was_unknown) {
            warn!(
                "cannot read what the kernel dropped: {error}; \
                 tzsp_capture_dropped_total stays what it was until it can be read"
            );
        }
        sockets.total()
    }
}

impl Sockets {
    fn total(&self) -> u64 {
        let now: u64 = self.drops.iter().map(|counter| counter.total()).sum();
        self.earlier + now
    }
}

const NO_PANIC: &str = "no thread panics while it holds the lock";

impl Pages for Exporter {
    fn metrics(&self, web: &WebState, out: &mut dyn Write) -> io::Result<()> {
        // Dropped is read first: a frame is never missing on both sides.
        let dropped_at_sockets = self.dropped_at_sockets();
        // Only the copying happens under the lock; sorting and text do not.
        let (flows, mut frames, last_frame, mut capture) = {
            let mut state = self.lock();
            (
                state.aggregator.scrape(self.now()),
                state.aggregator.frames().clone(),
                state.history.last_frame(),
                state.history.state(Instant::now()),
            )
        };
        capture.dropped += dropped_at_sockets;
        frames.newest = last_frame;
        metrics::write_scrape(&mut { out }, flows, &frames, &capture, web)
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
        self.lock().history.is_up()
    }
}
