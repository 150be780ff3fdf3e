//! From frames to counters: joins decoding, flows and sensors, and accounts for every frame.

use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use etherparse::IpNumber;

use crate::capture::Frame;
use crate::flow::{
    Changes, FlowLimits, FlowTable, PacketBatch, Recent, SensorRuns, Sensors, Shape, Snapshot,
};
use crate::names::{Lesson, Names, Protocols};
use crate::wire::{
    self, Captured, Datagram, DecodeOptions, ListenPorts, Observation, Skipped, Truncated,
};

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

/// A batch of frames that are decoded but not yet counted.
///
/// Each thread that reads frames has a batch of its own. Decoding and hashing, which are most of
/// the work, thus need no lock. The lock on the [`Aggregator`] is taken once for each batch.
#[derive(Debug)]
pub struct FrameBatch {
    decode: DecodeOptions,
    packets: PacketBatch,
    sensors: SensorRuns,
    frames: FrameCounts,
    /// Which messages are read.
    protocols: Protocols,
    /// What they say about names. At most one for each frame.
    lessons: Vec<Lesson>,
    /// When the last of them arrived, in the time of the flow table.
    learnt_at: Duration,
}

/// Frames by outcome: counted in a flow, or skipped for a reason.
#[derive(Debug, Clone, Default)]
pub struct FrameCounts {
    pub received: u64,
    skipped: [u64; Skipped::ALL.len()],
    truncated: [u64; Truncated::ALL.len()],
    /// When the oldest frame arrived, since the Unix epoch. Frames without a time are left out.
    pub oldest: Option<Duration>,
    /// When the newest frame arrived, since the Unix epoch.
    pub newest: Option<Duration>,
    /// Frames that are counted in a flow although their inner packet is itself UDP to a listen
    /// port.
    pub self_captured: u64,
    /// The sensor of the last such frame.
    pub self_capturing_sensor: Option<IpAddr>,
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

impl FrameBatch {
    /// Adds a captured frame. `now` is the time for the flow table; its zero may be any moment.
    #[inline]
    pub fn frame(&mut self, now: Duration, frame: &Frame<'_>) {
        self.add_frame::<true>(now, frame);
    }

    /// Adds a captured frame without counting it for its sensor: one-shot runs show no sensors.
    #[inline]
    pub fn frame_without_sensor(&mut self, now: Duration, frame: &Frame<'_>) {
        self.add_frame::<false>(now, frame);
    }

    #[inline]
    fn add_frame<const WITH_SENSOR: bool>(&mut self, now: Duration, frame: &Frame<'_>) {
        self.frames.arrive(frame.at);
        match wire::decode_fast(frame.link, frame.captured(), &self.decode) {
            Some(seen) => {
                if WITH_SENSOR {
                    self.sensors.push(seen.sensor, seen.listen_port, frame.at);
                }
                self.count(now, &seen);
                if self.is_message(&seen) {
                    self.read_frame(now, &seen, frame);
                }
            }
            None => self.add_frame_full::<WITH_SENSOR>(now, frame),
        }
    }

    // Not inlined: the fast path stays small enough to be inlined into the reading loop.
    #[inline(never)]
    fn add_frame_full<const WITH_SENSOR: bool>(&mut self, now: Duration, frame: &Frame<'_>) {
        match wire::decode_full(frame.link, frame.captured(), &self.decode) {
            Ok(seen) => {
                if WITH_SENSOR {
                    self.sensors.push(seen.sensor, seen.listen_port, frame.at);
                }
                self.count(now, &seen);
                if self.is_message(&seen) {
                    self.read_frame(now, &seen, frame);
                }
            }
            Err(reason) => {
                self.frames.skip(reason);
                if WITH_SENSOR {
                    self.sensor_of_skipped(reason, frame);
                }
            }
        }
    }

    /// Counts a skipped frame for its sensor: a sensor that sends only keepalives, for example, is
    /// alive.
    #[inline(never)]
    fn sensor_of_skipped(&mut self, reason: Skipped, frame: &Frame<'_>) {
        if !reason.has_sensor() {
            return;
        }
        if let Ok(datagram) = wire::datagram(frame.link, frame.captured()) {
            let Datagram {
                source,
                destination_port,
                ..
            } = datagram;
            self.sensors.push(source, destination_port, frame.at);
        }
    }

    /// Adds the payload of a datagram from `sensor` that a socket on `listen_port` received at
    /// `at`, since the Unix epoch. `now` is the time for the flow table.
    pub fn datagram(
        &mut self,
        now: Duration,
        at: Duration,
        sensor: IpAddr,
        listen_port: u16,
        payload: &[u8],
    ) {
        let sensor = sensor.into();
        self.frames.arrive(at);
        self.sensors.push(sensor, listen_port, at);
        let datagram = Datagram {
            source: sensor,
            destination_port: listen_port,
            payload: Captured::whole(payload),
            first_fragment: false,
        };
        match wire::decode_datagram_fast(&datagram) {
            Some(seen) => {
                self.count(now, &seen);
                if self.is_message(&seen) {
                    self.read_datagram(now, &seen, &datagram);
                }
            }
            None => self.datagram_full(now, &datagram),
        }
    }

    #[inline(never)]
    fn datagram_full(&mut self, now: Duration, datagram: &Datagram<'_>) {
        match wire::decode_datagram_full(datagram, &self.decode) {
            Ok(seen) => {
                self.count(now, &seen);
                if self.is_message(&seen) {
                    self.read_datagram(now, &seen, datagram);
                }
            }
            Err(reason) => self.frames.skip(reason),
        }
    }

    #[inline]
    fn count(&mut self, now: Duration, seen: &Observation) {
        self.frames.count(seen, &self.decode);
        self.packets.push(now, seen);
    }

    /// Whether a packet is to be read further, because it may say something about names.
    #[inline]
    fn is_message(&self, seen: &Observation) -> bool {
        self.protocols.any()
            && seen.protocol == IpNumber::UDP
            && seen
                .ports
                .is_some_and(|ports| self.protocols.include(ports))
    }

    #[cold]
    fn read_frame(&mut self, now: Duration, seen: &Observation, frame: &Frame<'_>) {
        let payload = wire::mirrored_payload(frame.link, frame.captured(), &self.decode);
        self.read(now, seen, payload);
    }

    #[cold]
    fn read_datagram(&mut self, now: Duration, seen: &Observation, datagram: &Datagram<'_>) {
        let payload = wire::payload_in_datagram(datagram, &self.decode);
        self.read(now, seen, payload);
    }

    fn read(&mut self, now: Duration, seen: &Observation, payload: Option<&[u8]>) {
        // Without the whole UDP header there is no payload, which cannot be read either.
        let payload = payload.unwrap_or_default();
        let ports = seen.ports.unwrap_or_default();
        self.lessons.extend(self.protocols.read(ports, payload));
        self.learnt_at = now;
    }

    /// Whether the batch has no frame that counts in a flow.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Whether the batch should be counted now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full_of_packets() || self.sensors.is_full()
    }

    /// The same as [`is_full`](Self::is_full), where frames are added without their sensor.
    #[must_use]
    #[inline]
    pub fn is_full_of_packets(&self) -> bool {
        self.packets.is_full()
    }
}

impl FrameCounts {
    #[inline]
    fn arrive(&mut self, at: Duration) {
        self.received += 1;
        match self.newest {
            Some(newest) if at >= newest => self.newest = Some(at),
            _ => self.arrive_early(at),
        }
    }

    /// Notes the time of the first frame, or of one that is older than the newest. Simple packet
    /// blocks of pcapng have no time: they change nothing.
    #[cold]
    fn arrive_early(&mut self, at: Duration) {
        if at.is_zero() {
            return;
        }
        self.newest.get_or_insert(at);
        self.oldest = Some(self.oldest.map_or(at, |oldest| oldest.min(at)));
    }

    /// Accounts for a frame that counts in a flow.
    #[inline]
    fn count(&mut self, seen: &Observation, options: &DecodeOptions) {
        if is_own_stream(seen, options) {
            self.self_captured += 1;
            self.self_capturing_sensor = Some(seen.sensor.into());
        }
        if let Some(cause) = seen.truncated {
            self.truncated[cause as usize] += 1;
        }
    }

    fn skip(&mut self, reason: Skipped) {
        self.skipped[reason as usize] += 1;
    }

    /// Adds the counts of frames that came later.
    pub(crate) fn add(&mut self, later: &Self) {
        self.received += later.received;
        let skipped = self.skipped.iter_mut().zip(&later.skipped);
        let truncated = self.truncated.iter_mut().zip(&later.truncated);
        for (sum, frames) in skipped.chain(truncated) {
            *sum += frames;
        }
        self.oldest = [self.oldest, later.oldest].into_iter().flatten().min();
        self.newest = self.newest.max(later.newest);
        self.self_captured += later.self_captured;
        self.self_capturing_sensor = later.self_capturing_sensor.or(self.self_capturing_sensor);
    }

    /// Returns the frames received and skipped since `earlier`. All other fields are unchanged.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut later = self.clone();
        later.received -= earlier.received;
        for (frames, before) in later.skipped.iter_mut().zip(&earlier.skipped) {
            *frames -= before;
        }
        later
    }

    /// Returns the number of frames that are counted in a flow.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.received - self.skipped.iter().sum::<u64>()
    }

    /// Returns the time from the oldest frame to the newest.
    #[must_use]
    pub fn span(&self) -> Option<Duration> {
        Some(self.newest?.saturating_sub(self.oldest?))
    }

    #[must_use]
    pub fn skipped(&self, reason: Skipped) -> u64 {
        self.skipped[reason as usize]
    }

    #[cfg(test)]
    pub(crate) fn skipped_by(&mut self, reason: Skipped, frames: u64) {
        self.skipped[reason as usize] += frames;
    }

    #[must_use]
    pub fn truncated(&self, cause: Truncated) -> u64 {
        self.truncated[cause as usize]
    }
}

/// Whether the inner packet is part of the sensor's own stream: the sensor mirrors the link over
/// which it streams, so every mirrored packet is mirrored again. Without listen ports there is no
/// way to tell.
#[inline]
fn is_own_stream(seen: &Observation, options: &DecodeOptions) -> bool {
    let ListenPorts::Only(listen_ports) = &options.listen_ports else {
        return false;
    };
    seen.protocol == IpNumber::UDP && seen.ports.is_some_and(|(_, to)| listen_ports.contains(&to))
}
