use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;

use super::Shape;
use super::clock::Moment;
use super::key::{Key, Packed};
use super::shape::AnyKey;
use crate::wire::Observation;

/// Gives packets the keys of their flows.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) shape: Arc<Shape>,
    /// Senders choose the keys: without the seed, nobody can prepare keys that collide.
    pub(super) seed: RandomState,
    /// The bits of a narrow key that the chosen labels show, if no class has to be looked up.
    mask: Option<Packed<Ipv4Addr>>,
}

/// Packets on their way to the table that they were made for. What they need before they are
/// counted happens here, where no lock is held.
#[derive(Debug)]
pub struct PacketBatch {
    keys: Keys,
    places: usize,
    taken: Vec<Taken>,
    aside: Vec<Aside>,
}

/// A packet, in less than a line of the processor's caches.
#[derive(Debug, Clone, Copy)]
struct Taken {
    at: Moment,
    /// Of its flow's key.
    hash: u64,
    bytes: u64,
    known: Known,
}

#[derive(Debug, Clone, Copy)]
enum Known {
    /// All that is known of the packet. What the mask leaves of it is its flow's key.
    Whole(Packed<Ipv4Addr>),
    /// It stands aside in this place, because its addresses are not all IPv4 or its flow's key
    /// takes more than a mask.
    Aside(u32),
}

#[derive(Debug, Clone, Copy)]
struct Aside {
    key: AnyKey,
    seen: Observation,
}

/// A packet that is to be counted.
#[derive(Clone, Copy)]
pub(super) struct Packet<'a> {
    taken: &'a Taken,
    others: &'a PacketBatch,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum KeyRef<'a> {
    Narrow(Packed<Ipv4Addr>),
    Wide(&'a Packed<IpAddr>),
}

impl Keys {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            mask: shape.mask(),
            shape: Arc::new(shape),
            seed: RandomState::default(),
        }
    }
}

impl PacketBatch {
    /// With so many places.
    pub(super) fn new(keys: &Keys, places: usize) -> Self {
        Self {
            keys: keys.clone(),
            places,
            taken: Vec::with_capacity(places),
            aside: Vec::new(),
        }
    }

    /// Takes a packet that came at `at`.
    #[inline]
    pub fn push(&mut self, at: Duration, seen: &Observation) {
        let at = Moment::of(at);
        match (
            &self.keys.mask,
            seen.source.ipv4(),
            seen.destination.ipv4(),
            seen.sensor.ipv4(),
        ) {
            (Some(mask), Some(source), Some(destination), Some(sensor)) => {
                let known = Key::plain(source, destination, sensor, seen).pack();
                self.taken.push(Taken {
                    at,
                    hash: known.masked(mask).hash_with(&self.keys.seed),
                    bytes: seen.bytes,
                    known: Known::Whole(known),
                });
            }
            _ => self.push_aside(at, *seen),
        }
    }

    fn push_aside(&mut self, at: Moment, seen: Observation) {
        let key = self.keys.shape.key(&seen);
        let place = u32::try_from(self.aside.len()).expect("places fit");
        self.taken.push(Taken {
            at,
            hash: match key {
                AnyKey::Narrow(key) => key.hash_with(&self.keys.seed),
                AnyKey::Wide(key) => key.hash_with(&self.keys.seed),
            },
            bytes: seen.bytes,
            known: Known::Aside(place),
        });
        self.aside.push(Aside { key, seen });
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// Whether it is time to count them.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.taken.len() >= self.places
    }

    pub(super) fn clear(&mut self) {
        self.taken.clear();
        self.aside.clear();
    }

    /// In their order, so many at a time.
    pub(super) fn groups(
        &self,
        size: usize,
    ) -> impl Iterator<Item = impl Iterator<Item = Packet<'_>> + Clone> {
        self.taken.chunks(size).map(move |group| {
            group.iter().map(move |taken| Packet {
                taken,
                others: self,
            })
        })
    }
}

impl<'a> Packet<'a> {
    #[inline]
    pub(super) fn at(self) -> Moment {
        self.taken.at
    }

    #[inline]
    pub(super) fn hash(self) -> u64 {
        self.taken.hash
    }

    #[inline]
    pub(super) fn bytes(self) -> u64 {
        self.taken.bytes
    }

    /// Whether the key of its flow is wide.
    #[inline]
    pub(super) fn is_wide(self) -> bool {
        match self.taken.known {
            Known::Whole(_) => false,
            Known::Aside(place) => {
                matches!(self.others.aside[place as usize].key, AnyKey::Wide(_))
            }
        }
    }

    /// The key of its flow.
    #[inline]
    pub(super) fn key(self) -> KeyRef<'a> {
        match (&self.taken.known, &self.others.keys.mask) {
            (Known::Whole(known), Some(mask)) => KeyRef::Narrow(known.masked(mask)),
            (Known::Whole(known), None) => KeyRef::Narrow(*known),
            (Known::Aside(place), _) => match &self.others.aside[*place as usize].key {
                AnyKey::Narrow(key) => KeyRef::Narrow(*key),
                AnyKey::Wide(key) => KeyRef::Wide(key),
            },
        }
    }

    /// What is known of it, but for why it is not there whole.
    pub(super) fn seen(self) -> Observation {
        let known = match &self.taken.known {
            Known::Whole(known) => known.unpack(),
            Known::Aside(place) => return self.others.aside[*place as usize].seen,
        };
        Observation {
            source: known.source.into(),
            destination: known.destination.into(),
            protocol: known.protocol,
            listen_port: known.listen_port,
            sensor: known.sensor.into(),
            ports: known.from_port.zip(known.to_port),
            vlan: known.vlan,
            dscp: known.dscp,
            bytes: self.taken.bytes,
            truncated: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_stays_small() {
        assert_eq!(size_of::<Taken>(), 56);
    }
}
