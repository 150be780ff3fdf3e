use std::time::Duration;

use crate::aggregator::FrameCounts;
use crate::flow::{Occupancy, Recent, SensorSnapshot};
use crate::metrics::CaptureState;

/// A stream that has been silent for so long has probably ended.
const SILENCE: Duration = Duration::from_mins(1);

/// What a person wants to know first of a live capture.
#[derive(Debug, Clone)]
pub struct Overview {
    /// The time, since the Unix epoch.
    pub at: Duration,
    /// What is captured, and how, in words.
    pub source: String,
    pub capture: CaptureState,
    pub frames: FrameCounts,
    /// Those of the last minute.
    pub recent_frames: FrameCounts,
    pub sensors: SensorSnapshot,
    pub occupancy: Occupancy,
    pub recent: Recent,
}

/// Whether anything arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reception {
    /// No capture runs.
    Down,
    /// Nothing has ever arrived.
    Waiting,
    /// Nothing has arrived for so long.
    Silent(Duration),
    Receiving,
}

impl Overview {
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

    /// Since when a capture runs, or none does.
    #[must_use]
    pub fn changed(&self) -> Option<Duration> {
        Some(self.at.saturating_sub(self.capture.lasting?))
    }

    /// When what is recent begins.
    #[must_use]
    pub fn since(&self) -> Duration {
        self.at.saturating_sub(self.window())
    }

    /// How long what is recent took.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.recent.until.saturating_sub(self.recent.since)
    }
}
