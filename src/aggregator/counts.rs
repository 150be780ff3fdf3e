//! The account of all frames.

use std::net::IpAddr;
use std::time::Duration;

use crate::wire::{Ip, Skipped, Truncated};

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

impl FrameCounts {
    #[inline]
    pub(super) fn arrive(&mut self, at: Duration) {
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

    /// Accounts for a frame that counts in a flow although its inner packet is not complete.
    #[inline]
    pub(super) fn truncate(&mut self, cause: Truncated) {
        self.truncated[cause as usize] += 1;
    }

    /// Accounts for a frame whose inner packet is part of the stream of the sensor that mirrors it.
    pub(super) fn capture_itself(&mut self, sensor: Ip) {
        self.self_captured += 1;
        self.self_capturing_sensor = Some(sensor.into());
    }

    pub(super) fn skip(&mut self, reason: Skipped) {
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
