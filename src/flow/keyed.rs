use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;

use super::Shape;
use super::clock::Moment;
use super::key::{Key, Packed};
use super::shape::AnyKey;
use crate::wire::Observation;

/// Gives packets the keys of their flows. That needs no table, so it is done where the packets are
/// read, before anything waits for a lock.
#[derive(Debug, Clone)]
pub struct Keys {
    pub(super) shape: Arc<Shape>,
    /// Senders choose the keys: without the seed, nobody can prepare keys that collide.
    pub(super) seed: RandomState,
    /// The bits of a narrow key that the chosen labels show, if no class has to be looked up.
    mask: Option<Packed<Ipv4Addr>>,
}

/// A packet with the key of its flow.
#[derive(Debug, Clone, Copy)]
pub struct Keyed {
    pub(super) at: Moment,
    pub(super) hash: u64,
    pub(super) key: AnyKey,
    pub(super) seen: Observation,
}

impl Keys {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            mask: shape.mask(),
            shape: Arc::new(shape),
            seed: RandomState::default(),
        }
    }

    /// The key of a packet that came at `at`.
    #[inline]
    #[must_use]
    pub fn of(&self, at: Duration, seen: Observation) -> Keyed {
        let key = match (
            &self.mask,
            seen.source.ipv4(),
            seen.destination.ipv4(),
            seen.sensor.ipv4(),
        ) {
            (Some(mask), Some(source), Some(destination), Some(sensor)) => {
                let all = Key::plain(source, destination, sensor, &seen);
                AnyKey::Narrow(all.pack().masked(mask))
            }
            _ => self.shape.key(&seen),
        };
        let hash = match &key {
            AnyKey::Narrow(key) => key.hash_with(&self.seed),
            AnyKey::Wide(key) => key.hash_with(&self.seed),
        };
        Keyed {
            at: Moment::of(at),
            hash,
            key,
            seen,
        }
    }
}
