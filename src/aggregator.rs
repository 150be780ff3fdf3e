//! From frames to counters: joins decoding, flows and sensors, and accounts for every frame.

mod batch;
mod counts;

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use crate::flow::{
    Changes, Counters, FlowLimits, FlowTable, Recent, SensorRuns, Sensors, Series, Shape, Snapshot,
};
use crate::geo::Databases;
use crate::names::Names;
use crate::wire::DecodeOptions;
pub use batch::FrameBatch;
pub use counts::FrameCounts;

/// How frames are decoded, and how flows are counted.
#[derive(Debug)]
pub struct Settings {
    pub decode: DecodeOptions,
    pub shape: Shape,
    pub limits: FlowLimits,
}

/// Counts frames from any source in flows, and accounts for every frame.
///
/// At any time, `frames().received` equals the packets of all flows ever counted plus the sum of
/// `frames().skipped`.
#[derive(Debug)]
pub struct Aggregator {
    decode: DecodeOptions,
    flows: FlowTable,
    sensors: Sensors,
    frames: FrameCounts,
    /// Learn names from messages in the traffic, if any sources of names need that.
    names: Option<Arc<Names>>,
}

impl Aggregator {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            decode: settings.decode,
            flows: FlowTable::new(settings.shape, settings.limits),
            sensors: Sensors::default(),
            frames: FrameCounts::default(),
            names: None,
        }
    }

    /// Has names learnt from the batches that are created afterwards.
    pub fn learn_names(&mut self, names: Arc<Names>) {
        self.names = Some(names);
    }

    /// Creates an empty batch of 256 packets. Counting so few does not hold the lock for long, even
    /// if all their flows are new.
    #[must_use]
    pub fn batch(&self) -> FrameBatch {
        self.batch_of(256)
    }

    /// Creates an empty batch that is full with so many packets.
    #[must_use]
    pub fn batch_of(&self, packets: usize) -> FrameBatch {
        FrameBatch {
            decode: self.decode.clone(),
            packets: self.flows.packets(packets),
            sensors: SensorRuns::default(),
            frames: FrameCounts::default(),
            protocols: self
                .names
                .as_ref()
                .map(|names| names.protocols())
                .unwrap_or_default(),
            lessons: Vec::new(),
            learnt_at: Duration::ZERO,
        }
    }

    /// Replaces the databases of countries and network operators.
    pub fn set_databases(&mut self, databases: Arc<Databases>) {
        self.flows.set_databases(databases);
    }

    /// Discards the flows and frames counted so far. Existing batches stay valid.
    pub fn start_over(&mut self) {
        self.flows.clear();
        self.frames = FrameCounts::default();
    }

    /// Counts the frames of a batch, and empties it.
    pub fn record_batch(&mut self, batch: &mut FrameBatch) {
        self.flows.record(&mut batch.packets);
        self.sensors.record(&mut batch.sensors);
        self.frames.add(&mem::take(&mut batch.frames));
        self.learn(batch);
    }

    fn learn(&self, batch: &mut FrameBatch) {
        if let Some(names) = &self.names
            && !batch.lessons.is_empty()
        {
            let shape = self.flows.shape();
            let lessons = batch.lessons.drain(..);
            names.learn(batch.learnt_at, lessons, |address| shape.is_host(address));
        }
    }

    /// Does the same as [`record_batch`](Self::record_batch), and adds the packets to `changes`.
    /// Returns the counts of the frames in the batch.
    pub fn record_batch_with(
        &mut self,
        batch: &mut FrameBatch,
        changes: &mut Changes,
    ) -> FrameCounts {
        self.flows.record_with(&mut batch.packets, changes);
        self.sensors.record(&mut batch.sensors);
        let frames = mem::take(&mut batch.frames);
        self.frames.add(&frames);
        self.learn(batch);
        frames
    }

    /// Takes what packets have added to each series of flows, hosts and traffic since changes were last
    /// taken: see [`FlowTable::take_changes`].
    pub fn take_changes(&mut self, changes: &mut Changes, visit: impl FnMut(Series, Counters)) {
        self.flows.take_changes(changes, visit);
    }

    /// Replaces the account of sensors.
    pub fn watch_sensors(&mut self, sensors: Sensors) {
        self.sensors = sensors;
    }

    #[must_use]
    pub fn sensors(&self) -> &Sensors {
        &self.sensors
    }

    /// Returns what a scrape at `now` shows of the flows.
    pub fn scrape(&mut self, now: Duration) -> Snapshot {
        self.flows.scrape(now)
    }

    /// Notes that the scrape of time `at` has reached its client.
    pub fn delivered(&mut self, at: Duration) {
        self.flows.delivered(at);
    }

    /// Makes a checkpoint for [`recent`](Self::recent). Call it every
    /// [`flow::CHECKPOINT_INTERVAL`](crate::flow::CHECKPOINT_INTERVAL).
    pub fn checkpoint(&mut self, now: Duration) {
        self.flows.checkpoint(now);
    }

    /// Returns the traffic of the last minute, and the `top` flows with the most bytes in it.
    pub fn recent(&mut self, now: Duration, top: usize) -> Recent {
        self.flows.recent(now, top)
    }

    #[must_use]
    pub fn flows(&self) -> &FlowTable {
        &self.flows
    }

    #[must_use]
    pub fn frames(&self) -> &FrameCounts {
        &self.frames
    }
}
