use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use super::history::History;
use super::process;
use super::recent::RecentFrames;
use crate::aggregator::{Aggregator, FrameCounts, Settings};
use crate::capture::DropCounter;
use crate::flow::Sensors;
use crate::http::Pages;
use crate::metrics::{self, WebState};
use crate::report::Overview;
use crate::wire::Skipped;

/// What the capture threads write and the scrapes read.
pub(super) struct Exporter {
    /// The time of the flow table counts from here.
    began: Instant,
    state: Mutex<State>,
    drops: Mutex<Drops>,
    recent: Mutex<RecentFrames>,
    /// Whether a capture runs. Readiness is asked for on the runtime's thread, which must not wait
    /// while a scrape copies all flows under the lock.
    is_up: Arc<AtomicBool>,
    /// When the newest scrape was made that reached its client, in nanoseconds on the flow table's
    /// clock; 0 before the first. The runtime's thread sets it, which must not wait for the lock;
    /// whoever takes the lock next hands it on.
    delivered: AtomicU64,
    /// What is captured, and how, once that is known.
    source: OnceLock<String>,
}

/// What the kernel drops.
#[derive(Default)]
struct Drops {
    counters: Vec<Box<dyn DropCounter>>,
    /// What was dropped according to counters that are no longer watched.
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
        let history = History::default();
        Self {
            began: Instant::now(),
            is_up: history.up_now(),
            delivered: AtomicU64::new(0),
            state: Mutex::new(State {
                aggregator: Aggregator::new(settings),
                history,
            }),
            drops: Mutex::default(),
            recent: Mutex::default(),
            source: OnceLock::new(),
        }
    }

    /// Says in words what is captured, and how.
    pub(super) fn describe(&self, source: &str) {
        self.source.get_or_init(|| source.to_owned());
    }

    /// Remembers, for the landing page, what was counted until now.
    pub(super) fn checkpoint_flows(&self) {
        let now = self.now();
        self.lock().aggregator.checkpoint(now);
    }

    /// Remembers what became of the frames until now, and returns what became of those of the last
    /// minute.
    pub(super) fn checkpoint(&self, frames: &FrameCounts) -> FrameCounts {
        let mut recent = self.recent.lock().expect(NO_PANIC);
        recent.checkpoint(self.now(), frames.clone());
        recent.of(frames)
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

    /// From now on, sensors are told apart, up to this many, and these listen ports are shown.
    pub(super) fn watch_sensors(&self, listen_ports: &[u16], limit: u32) {
        let sensors = Sensors::new(listen_ports, limit);
        self.lock().aggregator.watch_sensors(sensors);
    }

    /// From now on, what the kernel drops according to these counters counts. What it dropped
    /// according to those before them still does.
    pub(super) fn watch_drops(&self, counters: Vec<Box<dyn DropCounter>>) {
        let mut drops = self.drops.lock().expect(NO_PANIC);
        drops.earlier = drops.total();
        drops.counters = counters;
    }

    /// Says once, at the end, what there was.
    pub(super) fn log_totals(&self) {
        // The sockets are closed: their drops were read for the last time before that.
        let dropped = self.drops.lock().expect(NO_PANIC).total();
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
            dropped = capture.dropped + dropped,
            lost_seconds = capture.lost.as_secs(),
            "stopped"
        );
    }

    /// Asks the kernel what it dropped until now, and returns all that it ever dropped.
    ///
    /// A scrape calls this after it has read what was received, not before. Datagrams come out of a
    /// socket in the order in which they went in. So whatever was sent before the newest frame that
    /// counts as received has been received as well, or its drop is in the number that is read
    /// afterwards. Read the other way round, a drop between the two readings would be missing on
    /// both sides, although a later frame counts.
    pub(super) fn read_drops(&self) -> u64 {
        let mut drops = self.drops.lock().expect(NO_PANIC);
        drops.read();
        drops.total()
    }
}

impl Drops {
    fn read(&mut self) {
        let outcomes = self.counters.iter_mut().map(|counter| counter.read());
        let failure = outcomes.filter_map(Result::err).last();
        let was_unknown = std::mem::replace(&mut self.is_unknown, failure.is_some());
        if let Some(error) = failure.filter(|_| !was_unknown) {
            warn!(
                "cannot read what the kernel dropped: {error}; \
                 tzsp_capture_dropped_total stays what it was until it can be read"
            );
        }
    }

    fn total(&self) -> u64 {
        let now: u64 = self.counters.iter().map(|counter| counter.total()).sum();
        self.earlier + now
    }
}

const NO_PANIC: &str = "no thread panics while it holds the lock";

impl Pages for Exporter {
    fn metrics(&self, web: &WebState, out: &mut dyn Write) -> io::Result<Duration> {
        // Only the copying happens under the lock; sorting and text do not.
        let (at, flows, sensors, mut frames, last_frame, mut capture) = {
            let mut state = self.lock();
            let at = self.now();
            (
                at,
                state.aggregator.scrape(at),
                state.aggregator.sensors().snapshot(),
                state.aggregator.frames().clone(),
                state.history.last_frame(),
                state.history.state(Instant::now()),
            )
        };
        capture.dropped += self.read_drops();
        frames.newest = last_frame;
        let own = metrics::OwnState {
            frames: &frames,
            sensors: &sensors,
            capture: &capture,
            web,
            process: &process::state(),
        };
        metrics::write_scrape(&mut { out }, flows, &own)?;
        Ok(at)
    }

    fn delivered(&self, at: Duration) {
        let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        self.delivered.fetch_max(at, Ordering::Relaxed);
    }

    fn overview(&self, top: usize) -> Overview {
        let mut overview = {
            let mut state = self.lock();
            let now = self.now();
            let recent = state.aggregator.recent(now, top);
            let mut frames = state.aggregator.frames().clone();
            frames.newest = state.history.last_frame();
            let recent_frames = self.recent.lock().expect(NO_PANIC).of(&frames);
            Overview {
                at: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
                source: self.source.get().cloned().unwrap_or_default(),
                capture: state.history.state(Instant::now()),
                frames,
                recent_frames,
                sensors: state.aggregator.sensors().snapshot(),
                occupancy: state.aggregator.flows().occupancy(),
                recent,
            }
        };
        overview.capture.dropped += self.read_drops();
        overview
    }

    fn is_ready(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::mpsc::channel;
    use std::sync::{Arc, Weak};
    use std::thread;

    use super::*;
    use crate::flow::{FlowLimits, Shape};
    use crate::metrics::Refused;
    use crate::wire::{DecodeOptions, ListenPorts};

    /// A kernel that drops a datagram and lets the next one through, right behind each reading of
    /// its drops. So the even ones are received and the odd ones are dropped.
    #[derive(Debug)]
    struct Kernel {
        exporter: Weak<Exporter>,
        dropped: u64,
        told: u64,
    }

    impl DropCounter for Kernel {
        fn read(&mut self) -> io::Result<()> {
            self.told = self.dropped;
            self.dropped += 1;
            if let Some(exporter) = self.exporter.upgrade() {
                exporter.receive();
            }
            Ok(())
        }

        fn total(&self) -> u64 {
            self.told
        }
    }

    impl std::fmt::Debug for Exporter {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("Exporter").finish_non_exhaustive()
        }
    }

    impl Exporter {
        fn receive(&self) {
            let mut state = self.lock();
            let mut batch = state.aggregator.batch();
            let sensor = Ipv4Addr::LOCALHOST.into();
            batch.datagram(Duration::ZERO, Duration::ZERO, sensor, 1, b"");
            state.aggregator.record_batch(&mut batch);
        }
    }

    /// How many were received and dropped, according to the metrics.
    fn scraped(exporter: &Exporter) -> (u64, u64) {
        let mut text = Vec::new();
        let web = WebState::new([0; Refused::ALL.len()], 0, true);
        exporter.metrics(&web, &mut text).expect("memory takes it");
        let text = String::from_utf8(text).expect("metrics are text");
        let value = |name| {
            let value = text.lines().find_map(|line| line.strip_prefix(name));
            value.and_then(|value| value.parse().ok()).expect(name)
        };
        (
            value("tzsp_frames_received_total "),
            value("tzsp_capture_dropped_total "),
        )
    }

    /// The same, according to the landing page.
    fn shown(exporter: &Exporter) -> (u64, u64) {
        let overview = exporter.overview(1);
        (overview.frames.received, overview.capture.dropped)
    }

    fn exporter() -> Exporter {
        Exporter::new(Settings {
            decode: DecodeOptions {
                listen_ports: ListenPorts::Any,
                ipv6: false,
            },
            shape: Shape::default(),
            limits: FlowLimits {
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

    #[test]
    fn no_datagram_before_one_that_counts_is_missing_on_both_sides() {
        let exporter = Arc::new(exporter());
        exporter.watch_drops(vec![Box::new(Kernel {
            exporter: Arc::downgrade(&exporter),
            dropped: 0,
            told: 0,
        })]);
        for look in [scraped, shown, scraped, shown] {
            let (received, dropped) = look(&exporter);
            // The number of the newest datagram that counts as received.
            let newest = 2 * received;
            assert!(received + dropped >= newest, "{received} + {dropped}");
        }
        assert_eq!(scraped(&exporter), (4, 4));
    }
}
