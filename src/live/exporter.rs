use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::history::History;
use crate::aggregator::{Aggregator, Settings};
use crate::capture::udp;
use crate::http::Pages;
use crate::metrics::{self, WebState};
use crate::wire::Skipped;

/// What the capture threads write and the scrapes read.
pub(super) struct Exporter {
    /// The time of the flow table counts from here.
    began: Instant,
    state: Mutex<State>,
    sockets: Mutex<Vec<udp::Drops>>,
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
            sockets: Mutex::new(Vec::new()),
        }
    }

    /// The time by which flows come and go.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(NO_PANIC)
    }

    /// From now on, what the kernel drops at these sockets counts.
    pub(super) fn watch_drops(&self, sockets: Vec<udp::Drops>) {
        *self.sockets.lock().expect(NO_PANIC) = sockets;
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
        let totals = sockets.iter_mut().map(udp::Drops::total);
        totals
            .map(|total| {
                total.unwrap_or_else(|error| {
                    warn!("cannot read what the kernel dropped: /proc/self/net/udp6: {error}");
                    0
                })
            })
            .sum()
    }
}

const NO_PANIC: &str = "no thread panics while it holds the lock";

impl Pages for Exporter {
    fn metrics(&self, web: &WebState, out: &mut dyn Write) -> io::Result<()> {
        // Dropped is read first: a frame is never missing on both sides.
        let dropped_at_sockets = self.dropped_at_sockets();
        // Only the copying happens under the lock; sorting and text do not.
        let (flows, frames, mut capture) = {
            let mut state = self.lock();
            (
                state.aggregator.scrape(self.now()),
                state.aggregator.frames().clone(),
                state.history.state(Instant::now()),
            )
        };
        capture.dropped += dropped_at_sockets;
        metrics::write_scrape(&mut { out }, flows, &frames, &capture, web)
    }

    fn is_ready(&self) -> bool {
        self.lock().history.is_up()
    }
}
