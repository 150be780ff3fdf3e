use std::net::IpAddr;
use std::time::Duration;

use etherparse::IpNumber;

use crate::capture::Frame;
use crate::flow::{FlowTable, Limits, Shape, Snapshot};
use crate::wire::{self, Datagram, ListenPorts, Observation, Part, Reading, Skipped, Truncated};

/// What is counted, and how.
#[derive(Debug)]
pub struct Settings {
    pub reading: Reading,
    pub shape: Shape,
    pub limits: Limits,
}

/// The core: takes frames from any source, keeps the flows and accounts for every frame.
///
/// At any time `frames().received` equals the packets of all flows ever counted plus the sum of
/// `frames().skipped`.
///
/// `now` is the time by which flows come and go; it may count from anywhere.
#[derive(Debug)]
pub struct Aggregator {
    reading: Reading,
    flows: FlowTable,
    frames: FrameCounts,
}

/// What became of the frames.
#[derive(Debug, Clone, Default)]
pub struct FrameCounts {
    pub received: u64,
    skipped: [u64; Skipped::ALL.len()],
    truncated: [u64; Truncated::ALL.len()],
    /// When the oldest frame with a time arrived, since the Unix epoch.
    pub oldest: Option<Duration>,
    /// When the newest frame arrived, since the Unix epoch.
    pub newest: Option<Duration>,
    /// Those counted in a flow whose inner packet is itself UDP to a listen port.
    pub self_captured: u64,
    /// Who sent the last of them.
    pub self_capturing_sensor: Option<IpAddr>,
}

impl Aggregator {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            reading: settings.reading,
            flows: FlowTable::new(settings.shape, settings.limits),
            frames: FrameCounts::default(),
        }
    }

    /// Takes a frame as a capture holds it.
    pub fn frame(&mut self, now: Duration, frame: &Frame<'_>) {
        let outcome = wire::decode_frame(frame.link, frame.bytes, &self.reading);
        self.account(now, frame.at, outcome);
    }

    /// Takes a frame, and tells what became of it and whether its flow found a place.
    pub fn frame_noted(
        &mut self,
        now: Duration,
        frame: &Frame<'_>,
        note: impl FnOnce(&Result<Observation, Skipped>, bool),
    ) {
        let outcome = wire::decode_frame(frame.link, frame.bytes, &self.reading);
        let overflow_packets = self.flows.overflow_packets();
        self.account(now, frame.at, outcome);
        note(&outcome, self.flows.overflow_packets() == overflow_packets);
    }

    /// Takes the payload of a datagram from `sensor` that a socket on `listen_port` received at
    /// `at`, since the Unix epoch.
    pub fn datagram(
        &mut self,
        now: Duration,
        at: Duration,
        sensor: IpAddr,
        listen_port: u16,
        payload: &[u8],
    ) {
        let datagram = Datagram {
            source: sensor,
            destination_port: listen_port,
            payload: Part::whole(payload),
            first_fragment: false,
        };
        let outcome = wire::decode_datagram(&datagram, &self.reading);
        self.account(now, at, outcome);
    }

    /// What is to be seen of the flows.
    pub fn scrape(&mut self, now: Duration) -> Snapshot {
        self.flows.scrape(now)
    }

    #[must_use]
    pub fn flows(&self) -> &FlowTable {
        &self.flows
    }

    #[must_use]
    pub fn frames(&self) -> &FrameCounts {
        &self.frames
    }

    fn account(&mut self, now: Duration, at: Duration, outcome: Result<Observation, Skipped>) {
        self.frames.received += 1;
        self.frames.newest = self.frames.newest.max(Some(at));
        // Simple packet blocks of pcapng have no time.
        if !at.is_zero() {
            self.frames.oldest = Some(self.frames.oldest.map_or(at, |oldest| oldest.min(at)));
        }
        match outcome {
            Ok(observation) => {
                self.flows.record(now, &observation);
                if self.is_own_stream(&observation) {
                    self.frames.self_captured += 1;
                    self.frames.self_capturing_sensor = Some(observation.sensor);
                }
                if let Some(cause) = observation.truncated {
                    self.frames.truncated[cause as usize] += 1;
                }
            }
            Err(reason) => self.frames.skipped[reason as usize] += 1,
        }
    }

    /// Whether a sensor mirrors the link through which it streams: its stream then comes wrapped
    /// in itself, again and again. Without listen ports, any stream may be meant.
    fn is_own_stream(&self, observation: &Observation) -> bool {
        let ListenPorts::Only(listen_ports) = &self.reading.listen_ports else {
            return false;
        };
        observation.protocol == IpNumber::UDP
            && observation
                .ports
                .is_some_and(|(_, to)| listen_ports.contains(&to))
    }
}

impl FrameCounts {
    /// Frames that count in a flow.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.received - self.skipped.iter().sum::<u64>()
    }

    /// The time from the oldest frame to the newest.
    #[must_use]
    pub fn span(&self) -> Option<Duration> {
        Some(self.newest?.saturating_sub(self.oldest?))
    }

    #[must_use]
    pub fn skipped(&self, reason: Skipped) -> u64 {
        self.skipped[reason as usize]
    }

    #[must_use]
    pub fn truncated(&self, cause: Truncated) -> u64 {
        self.truncated[cause as usize]
    }
}
