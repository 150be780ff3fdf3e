//! Batches of frames: decoded, but not yet counted.

use std::net::IpAddr;
use std::time::Duration;

use super::FrameCounts;
use crate::capture::Frame;
use crate::flow::{PacketBatch, SensorRuns};
use crate::names::{Lesson, Protocols};
use crate::wire::{self, Captured, Datagram, DecodeOptions, Ip, ListenPorts, Observation, Skipped};

/// Source and destination port of a mirrored UDP datagram.
type Ports = (u16, u16);

/// A batch of frames that are decoded but not yet counted.
///
/// Each thread that reads frames has a batch of its own. Decoding and hashing, which are most of
/// the work, thus need no lock. The lock on the [`Aggregator`] is taken once for each batch.
#[derive(Debug)]
pub struct FrameBatch {
    pub(super) decode: DecodeOptions,
    pub(super) packets: PacketBatch,
    pub(super) sensors: SensorRuns,
    pub(super) frames: FrameCounts,
    /// Which messages are read.
    pub(super) protocols: Protocols,
    /// What they say about names. At most one for each frame.
    pub(super) lessons: Vec<Lesson>,
    /// When the last of them arrived, in the time of the flow table.
    pub(super) learnt_at: Duration,
}

impl FrameBatch {
    /// Adds a captured frame. `now` is the time for the flow table; its zero may be any moment.
    #[inline]
    pub fn frame(&mut self, now: Duration, frame: &Frame<'_>) {
        self.add_frame::<true>(now, frame);
    }

    /// Adds a captured frame without counting it for its sensor: one-shot runs show no sensors.
    #[expect(clippy::inline_always, reason = "saves a call for each frame")]
    #[inline(always)]
    pub fn frame_without_sensor(&mut self, now: Duration, frame: &Frame<'_>) {
        self.add_frame::<false>(now, frame);
    }

    #[expect(clippy::inline_always, reason = "saves a call for each frame")]
    #[inline(always)]
    fn add_frame<const WITH_SENSOR: bool>(&mut self, now: Duration, frame: &Frame<'_>) {
        self.frames.arrive(frame.at);
        match wire::decode_fast(frame.link, frame.captured(), &self.decode) {
            Some(seen) => {
                if WITH_SENSOR {
                    self.sensors.push(seen.sensor, seen.listen_port, frame.at);
                }
                if let Some(ports) = self.count(now, &seen) {
                    self.read_frame(now, ports, frame);
                }
            }
            None => self.add_frame_full::<WITH_SENSOR>(now, frame),
        }
    }

    // Not inlined: the fast path stays small.
    #[inline(never)]
    fn add_frame_full<const WITH_SENSOR: bool>(&mut self, now: Duration, frame: &Frame<'_>) {
        match wire::decode_full(frame.link, frame.captured(), &self.decode) {
            Ok(seen) => {
                if WITH_SENSOR {
                    self.sensors.push(seen.sensor, seen.listen_port, frame.at);
                }
                if let Some(ports) = self.count(now, &seen) {
                    self.read_frame(now, ports, frame);
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
                if let Some(ports) = self.count(now, &seen) {
                    self.read_datagram(now, ports, &datagram);
                }
            }
            None => self.datagram_full(now, &datagram),
        }
    }

    #[inline(never)]
    fn datagram_full(&mut self, now: Duration, datagram: &Datagram<'_>) {
        match wire::decode_datagram_full(datagram, &self.decode) {
            Ok(seen) => {
                if let Some(ports) = self.count(now, &seen) {
                    self.read_datagram(now, ports, datagram);
                }
            }
            Err(reason) => self.frames.skip(reason),
        }
    }

    /// Counts a packet in its flow. Returns its ports if it is to be read further, because it may say
    /// something about names.
    #[expect(
        clippy::inline_always,
        reason = "an observation is larger than the registers"
    )]
    #[inline(always)]
    fn count(&mut self, now: Duration, seen: &Observation) -> Option<Ports> {
        if let Some(cause) = seen.truncated {
            self.frames.truncate(cause);
        }
        self.packets.push(now, seen);
        // Copies, so that the observation itself stays in registers.
        let (ports, sensor) = (seen.udp_ports()?, seen.sensor);
        self.count_datagram(ports, sensor).then_some(ports)
    }

    /// Accounts for a mirrored UDP datagram. Returns whether it may say something about names.
    // Not inlined: the fast path tests only once whether a packet is UDP.
    #[inline(never)]
    fn count_datagram(&mut self, ports: Ports, sensor: Ip) -> bool {
        if self.is_own_stream(ports) {
            self.frames.capture_itself(sensor);
        }
        self.protocols.include(ports)
    }

    /// Whether a mirrored datagram is part of the sensor's own stream: the sensor mirrors the link
    /// over which it streams, so every mirrored packet is mirrored again. Without listen ports, the
    /// answer is always no.
    fn is_own_stream(&self, (_, to): Ports) -> bool {
        match &self.decode.listen_ports {
            ListenPorts::Only(listen_ports) => listen_ports.contains(&to),
            ListenPorts::Any | ListenPorts::Plain => false,
        }
    }

    #[cold]
    fn read_frame(&mut self, now: Duration, ports: Ports, frame: &Frame<'_>) {
        let payload = wire::mirrored_payload(frame.link, frame.captured(), &self.decode);
        self.read(now, ports, payload);
    }

    #[cold]
    fn read_datagram(&mut self, now: Duration, ports: Ports, datagram: &Datagram<'_>) {
        let payload = wire::payload_in_datagram(datagram, &self.decode);
        self.read(now, ports, payload);
    }

    fn read(&mut self, now: Duration, ports: Ports, payload: Option<&[u8]>) {
        // A packet that is cut short in its UDP header is read as an empty message.
        let payload = payload.unwrap_or_default();
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
