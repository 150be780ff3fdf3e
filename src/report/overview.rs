//! The state of a live capture, for the landing page, `/api/hosts` and `/api/flows`.

use std::net::IpAddr;
use std::time::Duration;

use super::Sample;
use crate::aggregator::FrameCounts;
use crate::flow::{Occupancy, Recent, SensorSnapshot};
use crate::metrics::CaptureState;
use crate::names::NameTable;

/// A stream without frames for this long has probably ended.
const SILENCE: Duration = Duration::from_mins(1);

/// The state of a live capture, and its recent traffic.
#[derive(Debug, Clone)]
pub struct Overview {
    /// When it was taken, since the Unix epoch.
    pub at: Duration,
    /// What is captured and how, in words: `receiving TZSP on UDP port 37008`.
    pub source: String,
    pub capture: CaptureState,
    /// Since the start.
    pub frames: FrameCounts,
    /// In the last minute.
    pub recent_frames: FrameCounts,
    pub sensors: SensorSnapshot,
    pub occupancy: Occupancy,
    pub recent: Recent,
    /// The traffic of all hosts in the last hour, the oldest first.
    pub last_hour: Vec<Sample>,
    /// The names of the addresses in `recent`, if any source of names was chosen.
    pub names: Option<NameTable>,
}

/// Whether frames arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reception {
    /// No capture runs.
    Down,
    /// No frame has arrived yet.
    Waiting,
    /// No frame has arrived for this time, a minute or more.
    Silent(Duration),
    /// Frames arrive.
    Receiving,
}

impl Overview {
    /// Returns whether frames arrive.
    #[must_use]
    pub fn reception(&self) -> Reception {
        if !self.capture.up {
            return Reception::Down;
        }
        let Some(newest) = self.frames.newest else {
            return Reception::Waiting;
        };
        match self.at.saturating_sub(newest) {
            silence if silence >= SILENCE => Reception::Silent(silence),
            _ => Reception::Receiving,
        }
    }

    /// Returns the name of an address, if it is known.
    #[must_use]
    pub fn name_of(&self, address: IpAddr) -> Option<&str> {
        self.names.as_ref()?.name_of(address)
    }

    /// Returns when the capture started, or when it ended if none runs; since the Unix epoch.
    #[must_use]
    pub fn changed(&self) -> Option<Duration> {
        Some(self.at.saturating_sub(self.capture.lasting?))
    }

    /// Returns the time since which recent traffic was counted, since the Unix epoch.
    #[must_use]
    pub fn since(&self) -> Duration {
        self.at.saturating_sub(self.window())
    }

    /// Returns the length of the time in which recent traffic was counted.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.recent.until.saturating_sub(self.recent.since)
    }
}
