//! Which series a packet counts in, for who keeps more of them than the table does.

use std::net::IpAddr;
use std::sync::Arc;

use super::key::Key;
use super::label::Label;
use super::series::BoundedSeries;
use super::shape::{AnyKey, OverflowKey, Shape, TrafficKey};
use crate::wire::Observation;

/// SeriesKeys series as a table does that has seen the same packets.
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

    /// The flow of a packet that found a place.
    #[must_use]
    pub fn flow(&self, seen: &Observation) -> Key<IpAddr> {
        match self.shape.key(seen) {
            AnyKey::Narrow(key) => key.unpack().widened(),
            AnyKey::Wide(key) => key.unpack(),
        }
    }

    /// What a packet without a place counts in; `None` beyond the limit of these.
    pub fn overflow(&mut self, seen: &Observation) -> Option<OverflowKey> {
        let key = self.shape.overflow(seen)?;
        (self.overflow.intern(key) > 0).then_some(key)
    }

    /// What every packet counts in; `None` beyond the limit of these.
    pub fn traffic(&mut self, seen: &Observation) -> Option<TrafficKey> {
        let [from_class, to_class] = self.shape.classes_of(seen);
        let key = TrafficKey {
            from_class,
            to_class,
            protocol: seen.protocol,
            listen_port: seen.listen_port,
        };
        (self.traffic.intern(key) > 0).then_some(key)
    }
}

impl Shape {
    /// The key with the classes that its addresses tell.
    #[must_use]
    pub fn with_classes(&self, mut key: Key<IpAddr>) -> Key<IpAddr> {
        // Where addresses are folded, the key holds what is needed.
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
