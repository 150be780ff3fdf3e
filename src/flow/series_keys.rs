//! The keys of the series that a packet counts in, for callers that keep counters of their own.

use std::net::IpAddr;
use std::sync::Arc;

use super::key::Key;
use super::label::Label;
use super::series::BoundedSeries;
use super::shape::{AnyKey, OverflowKey, Shape, TrafficKey};
use crate::wire::Observation;

/// Computes the keys of series like a table that has counted the same packets, limits included.
#[derive(Debug)]
pub struct SeriesKeys {
    shape: Arc<Shape>,
    traffic: BoundedSeries<TrafficKey>,
    overflow: BoundedSeries<OverflowKey>,
}

impl SeriesKeys {
    #[must_use]
    pub fn new(shape: Arc<Shape>) -> Self {
        Self {
            shape,
            traffic: BoundedSeries::default(),
            overflow: BoundedSeries::default(),
        }
    }

    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Returns the key of a packet's flow, for packets whose flow has a slot.
    #[must_use]
    pub fn flow(&self, seen: &Observation) -> Key<IpAddr> {
        match self.shape.key(seen) {
            AnyKey::Narrow(key) => key.unpack().widened(),
            AnyKey::Wide(key) => key.unpack(),
        }
    }

    /// Returns the overflow series of a packet whose flow has no slot; `None` beyond the limit of
    /// series.
    pub fn overflow(&mut self, seen: &Observation) -> Option<OverflowKey> {
        let key = self.shape.overflow(seen)?;
        (self.overflow.intern(key) > 0).then_some(key)
    }

    /// Returns the series of a packet in the traffic families; `None` beyond the limit of series.
    pub fn traffic(&mut self, seen: &Observation) -> Option<TrafficKey> {
        let key = self.shape.traffic(seen);
        (self.traffic.intern(key) > 0).then_some(key)
    }
}

impl Shape {
    /// Returns the key with its classes filled in.
    #[must_use]
    pub fn with_classes(&self, mut key: Key<IpAddr>) -> Key<IpAddr> {
        // With prefix lengths, the key has its classes already: those of the whole addresses, which
        // can no longer be derived from the shown part.
        if !self.classes.has_prefix_lengths() {
            if self.labels.contains(Label::From) {
                key.source_class = self.classes.of(key.source);
            }
            if self.labels.contains(Label::To) {
                key.destination_class = self.classes.of(key.destination);
            }
        }
        key
    }
}
