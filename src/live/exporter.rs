//! What the capture threads write and the scrapes read.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use super::history::History;
use super::hour::LastHour;
use super::process;
use super::recent::RecentFrames;
use crate::aggregator::{Aggregator, FrameCounts, Settings};
use crate::capture::DropCounter;
use crate::flow::Sensors;
use crate::geo;
use crate::http::Pages;
use crate::metrics::{self, Format, WallClock, WebState};
use crate::names::Names;
use crate::report::Overview;
use crate::wire::Skipped;

/// The state that all threads of the daemon share.
pub(super) struct Exporter {
    /// The zero of the flow table's clock. In wall time, it is a whole number of milliseconds.
    began: Instant,
    /// Whether OpenMetrics has a `_created` series for the start of each counter.
    created_series: bool,
    state: Mutex<ExporterState>,
    drops: Mutex<DropCounters>,
    recent: Mutex<RecentFrames>,
    last_hour: Mutex<LastHour>,
    /// Whether a capture runs. Outside of the lock, because the runtime's thread answers readiness
    /// checks and must not wait while a scrape copies all flows under the lock.
    is_up: Arc<AtomicBool>,
    /// The time of the newest scrape that reached its client, in nanoseconds on the flow table's
    /// clock; 0 before the first. The runtime's thread sets it and must not wait for the lock, so
    /// [`lock`](Self::lock) passes it on to the aggregator.
    delivered: AtomicU64,
    /// The description of the source of frames, once it is known.
    source: OnceLock<String>,
    /// The names of addresses, if any source of names was chosen.
    names: Option<Arc<Names>>,
    /// The databases of countries and network operators.
    databases: Arc<geo::Files>,
}

/// Counters of the frames that the kernel dropped.
#[derive(Default)]
struct DropCounters {
    counters: Vec<Box<dyn DropCounter>>,
    /// The totals of earlier counters, whose sockets are closed.
    earlier: u64,
    /// Whether this system does not count the frames that it drops.
    are_unsupported: bool,
    /// Whether the last read failed. A failure is logged only after a success.
    is_unknown: bool,
}

/// The part of the exporter that is under the lock.
pub(super) struct ExporterState {
    pub(super) aggregator: Aggregator,
    pub(super) history: History,
    clock: WallClock,
}

impl Exporter {
    pub(super) fn new(
        settings: Settings,
        names: Option<Arc<Names>>,
        databases: Arc<geo::Files>,
        created_series: bool,
    ) -> Self {
        let history = History::default();
        let mut aggregator = Aggregator::new(settings);
        aggregator.set_databases(Arc::new(databases.databases()));
        if let Some(names) = &names {
            aggregator.learn_names(Arc::clone(names));
        }
        let now = Instant::now();
        let wall = wall_time();
        let beyond_millis = Duration::from_nanos((wall.subsec_nanos() % 1_000_000).into());
        Self {
            began: now.checked_sub(beyond_millis).unwrap_or(now),
            created_series,
            is_up: history.up_now(),
            delivered: AtomicU64::new(0),
            state: Mutex::new(ExporterState {
                aggregator,
                history,
                clock: WallClock::new(wall.saturating_sub(beyond_millis)),
            }),
            drops: Mutex::default(),
            recent: Mutex::default(),
            last_hour: Mutex::default(),
            source: OnceLock::new(),
            names,
            databases,
        }
    }

    /// Replaces the databases of countries and network operators.
    pub(super) fn set_databases(&self, databases: geo::Databases) {
        self.lock().aggregator.set_databases(Arc::new(databases));
    }

    /// Sets the description of the source of frames, which the landing page shows.
    pub(super) fn set_source(&self, source: &str) {
        self.source.get_or_init(|| source.to_owned());
    }

    /// Takes a checkpoint of the counters of flows and hosts, from which the landing page computes
    /// recent rates.
    pub(super) fn checkpoint_flows(&self) {
        let now = self.now();
        let hosts = {
            let mut state = self.lock();
            state.aggregator.checkpoint(now);
            state.aggregator.flows().host_totals()
        };
        self.last_hour
            .lock()
            .expect(NO_PANIC)
            .checkpoint(now, hosts);
    }

    /// Takes a checkpoint of the frame counts and returns the counts of the last minute.
    pub(super) fn checkpoint(&self, frames: &FrameCounts) -> FrameCounts {
        let mut recent = self.recent.lock().expect(NO_PANIC);
        recent.checkpoint(self.now(), frames.clone());
        recent.of(frames)
    }

    /// Returns the time on the flow table's clock.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ExporterState> {
        let mut state = self.state.lock().expect(NO_PANIC);
        let delivered = self.delivered.load(Ordering::Relaxed);
        if delivered > 0 {
            state.aggregator.delivered(Duration::from_nanos(delivered));
        }
        state
    }

    /// Starts to distinguish up to `limit` sensors, and to report these listen ports.
    pub(super) fn watch_sensors(&self, listen_ports: &[u16], limit: u32) {
        let sensors = Sensors::new(listen_ports, limit);
        self.lock().aggregator.watch_sensors(sensors);
    }

    /// Replaces the drop counters. The totals of the previous ones are kept. `None` means that this
    /// system does not count what it drops.
    pub(super) fn watch_drops(&self, counters: Option<Vec<Box<dyn DropCounter>>>) {
        let mut drops = self.drops.lock().expect(NO_PANIC);
        drops.earlier = drops.total().unwrap_or_default();
        drops.are_unsupported = counters.is_none();
        drops.counters = counters.unwrap_or_default();
    }

    /// Logs the totals of the whole run, at shutdown.
    pub(super) fn log_totals(&self) {
        // Not read again: the sockets are closed, and their drops were read just before that.
        let drops = self.drops.lock().expect(NO_PANIC).total();
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
            dropped = sum(capture.dropped, drops),
            lost_seconds = capture.lost.as_secs(),
            "stopped"
        );
    }

    /// Reads the kernel's drop counters and returns the total since the start; `None` if there are
    /// no such counters.
    ///
    /// A scrape must call this after it has copied the received frames, not before. A socket is
    /// first in, first out, so every datagram older than the newest counted one was either counted
    /// as well or dropped before this read. In the other order, a drop between the two reads would
    /// be missing from both numbers although a later frame is counted.
    pub(super) fn read_drops(&self) -> Option<u64> {
        let mut drops = self.drops.lock().expect(NO_PANIC);
        drops.read();
        drops.total()
    }
}

impl DropCounters {
    fn read(&mut self) {
        let outcomes = self.counters.iter_mut().map(|counter| counter.read());
        let failure = outcomes.filter_map(Result::err).last();
        let was_unknown = std::mem::replace(&mut self.is_unknown, failure.is_some());
        if let Some(error) = failure.filter(|_| !was_unknown) {
            warn!(
                "cannot read the kernel's drop counters: {error}; \
                 tzsp_capture_dropped_total keeps its value until they can be read"
            );
        }
    }

    fn total(&self) -> Option<u64> {
        let now: u64 = self.counters.iter().map(|counter| counter.total()).sum();
        (!self.are_unsupported).then_some(self.earlier + now)
    }
}

/// Adds two numbers. If one of them is unknown, the sum is unknown.
fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    Some(one? + other?)
}

/// Returns the time since the Unix epoch.
fn wall_time() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

const NO_PANIC: &str = "no thread panics while it holds the lock";

impl Pages for Exporter {
    fn metrics(&self, format: Format, web: &WebState, out: &mut dyn Write) -> io::Result<Duration> {
        // Only the copy happens under the lock; sorting and rendering do not block the capture.
        let (at, clock, flows, sensors, mut frames, last_frame, mut capture) = {
            let mut state = self.lock();
            let at = self.now();
            state.clock.compare(at, wall_time(), self.now());
            (
                at,
                state.clock.clone(),
                state.aggregator.scrape(at),
                state.aggregator.sensors().snapshot(),
                state.aggregator.frames().clone(),
                state.history.last_frame(),
                state.history.state(Instant::now()),
            )
        };
        capture.dropped = sum(capture.dropped, self.read_drops());
        frames.newest = last_frame;
        let names = self.names.as_ref();
        let names = names.map(|names| names.of(at, &metrics::addresses(&flows)));
        let own = metrics::OwnState {
            frames: &frames,
            sensors: &sensors,
            capture: &capture,
            web,
            process: &process::state(),
            names: names.as_ref(),
            databases: &self.databases.states(),
            clock: &clock,
            created_series: self.created_series,
        };
        metrics::write_scrape(&mut { out }, format, flows, &own)?;
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
            let hosts = state.aggregator.flows().host_totals();
            let last_hour = self.last_hour.lock().expect(NO_PANIC).samples(now, hosts);
            Overview {
                at: wall_time(),
                source: self.source.get().cloned().unwrap_or_default(),
                capture: state.history.state(Instant::now()),
                frames,
                recent_frames,
                sensors: state.aggregator.sensors().snapshot(),
                occupancy: state.aggregator.flows().occupancy(),
                recent,
                last_hour,
                names: None,
            }
        };
        overview.names = self.names.as_ref().map(|names| {
            let recent = &overview.recent;
            let keys = recent.top.iter().map(|flow| flow.key);
            let hosts = recent.hosts.top.iter().filter_map(|host| host.address);
            let addresses = keys.flat_map(|key| [key.source, key.destination]);
            let addresses: Vec<_> = addresses.chain(hosts).collect();
            names.of(recent.until, &addresses)
        });
        overview.capture.dropped = sum(overview.capture.dropped, self.read_drops());
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

    /// A kernel that, right after each read of its drops, drops one datagram and lets the next one
    /// through. So every second datagram is received, and the others are dropped.
    #[derive(Debug)]
    struct Kernel {
        exporter: Weak<Exporter>,
        dropped: u64,
        reported: u64,
    }

    impl DropCounter for Kernel {
        fn read(&mut self) -> io::Result<()> {
            self.reported = self.dropped;
            self.dropped += 1;
            if let Some(exporter) = self.exporter.upgrade() {
                exporter.receive();
            }
            Ok(())
        }

        fn total(&self) -> u64 {
            self.reported
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

    fn scrape(exporter: &Exporter) -> String {
        let mut text = Vec::new();
        let web = WebState::new([0; Refused::ALL.len()], 0, true);
        exporter
            .metrics(Format::Text, &web, &mut text)
            .expect("memory takes it");
        String::from_utf8(text).expect("metrics are text")
    }

    /// Returns how many frames were received and dropped, according to the metrics.
    fn scraped(exporter: &Exporter) -> (u64, u64) {
        let text = scrape(exporter);
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
        let dropped = overview.capture.dropped.expect("drops are counted");
        (overview.frames.received, dropped)
    }

    fn exporter() -> Exporter {
        let settings = Settings {
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
                hide_unseen: false,
                hosts: 1000,
            },
        };
        Exporter::new(settings, None, Arc::default(), false)
    }

    #[test]
    fn readiness_is_reported_while_a_scrape_holds_the_lock() {
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
    fn every_datagram_before_a_counted_one_is_received_or_dropped() {
        let exporter = Arc::new(exporter());
        exporter.watch_drops(Some(vec![Box::new(Kernel {
            exporter: Arc::downgrade(&exporter),
            dropped: 0,
            reported: 0,
        })]));
        for read in [scraped, shown, scraped, shown] {
            let (received, dropped) = read(&exporter);
            // The number of the newest datagram that counts as received.
            let newest = 2 * received;
            assert!(received + dropped >= newest, "{received} + {dropped}");
        }
        assert_eq!(scraped(&exporter), (4, 4));
    }

    #[test]
    fn drops_that_the_system_does_not_count_are_left_out() {
        let exporter = exporter();
        assert!(scrape(&exporter).contains("\ntzsp_capture_dropped_total 0\n"));
        exporter.watch_drops(None);
        assert!(!scrape(&exporter).contains("tzsp_capture_dropped_total"));
        assert_eq!(exporter.overview(1).capture.dropped, None);
    }
}
