use std::time::Duration;

use crate::capture::Frame;
use crate::flow::FlowTable;
use crate::wire::{self, Datagram, ListenPorts, Observation, Part, Skipped, Truncated};

/// The core: takes frames from any source, keeps the flows and accounts for every frame.
///
/// At any time `frames().received` equals the packets of all flows plus the sum of
/// `frames().skipped`.
#[derive(Debug)]
pub struct Aggregator {
    listen_ports: ListenPorts,
    flows: FlowTable,
    frames: FrameCounts,
}

/// What became of the frames.
#[derive(Debug, Clone, Default)]
pub struct FrameCounts {
    pub received: u64,
    skipped: [u64; Skipped::ALL.len()],
    truncated: [u64; Truncated::ALL.len()],
    /// When the newest frame arrived, since the Unix epoch.
    pub newest: Option<Duration>,
}

impl Aggregator {
    #[must_use]
    pub fn new(listen_ports: ListenPorts) -> Self {
        Self {
            listen_ports,
            flows: FlowTable::default(),
            frames: FrameCounts::default(),
        }
    }

    /// Takes a frame as a capture holds it.
    pub fn frame(&mut self, frame: &Frame<'_>) {
        let outcome = wire::decode_frame(frame.link, frame.bytes, &self.listen_ports);
        self.account(frame.at, outcome);
    }

    /// Takes the payload of a datagram that a socket on `listen_port` received at `at`.
    pub fn datagram(&mut self, at: Duration, listen_port: u16, payload: &[u8]) {
        let outcome = wire::decode_datagram(&Datagram {
            destination_port: listen_port,
            payload: Part::whole(payload),
            first_fragment: false,
        });
        self.account(at, outcome);
    }

    /// Adds what another one has counted.
    pub fn merge(&mut self, other: Self) {
        self.flows.merge(other.flows);
        self.frames.merge(&other.frames);
    }

    #[must_use]
    pub fn flows(&self) -> &FlowTable {
        &self.flows
    }

    #[must_use]
    pub fn frames(&self) -> &FrameCounts {
        &self.frames
    }

    fn account(&mut self, at: Duration, outcome: Result<Observation, Skipped>) {
        self.frames.received += 1;
        self.frames.newest = self.frames.newest.max(Some(at));
        match outcome {
            Ok(observation) => {
                self.flows.record(&observation);
                if let Some(cause) = observation.truncated {
                    self.frames.truncated[cause as usize] += 1;
                }
            }
            Err(reason) => self.frames.skipped[reason as usize] += 1,
        }
    }
}

impl FrameCounts {
    /// Frames that count in a flow.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.received - self.skipped.iter().sum::<u64>()
    }

    fn merge(&mut self, other: &Self) {
        self.received += other.received;
        for (mine, others) in self.skipped.iter_mut().zip(other.skipped) {
            *mine += others;
        }
        for (mine, others) in self.truncated.iter_mut().zip(other.truncated) {
            *mine += others;
        }
        self.newest = self.newest.max(other.newest);
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
