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
///
/// They take each step together: all are written down, then all get keys, then all are looked up.
/// A step for one packet alone would wait for what the step before has just written.
#[derive(Debug)]
pub struct Packets {
    keys: Keys,
    /// Places, the first `length` of which are taken.
    seen: Box<[Seen]>,
    length: usize,
    /// Of the first ones.
    keyed: Vec<Keyed>,
    /// The keys of those that are wide, in their order.
    wide: Vec<Packed<IpAddr>>,
}

/// A packet, and when it came.
#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Moment,
    packet: Observation,
}

/// What finds a packet's flow: a hash, and a narrow key, or the place of a wide one.
#[derive(Debug, Clone, Copy)]
struct Keyed {
    hash: u64,
    key: Result<Packed<Ipv4Addr>, u32>,
}

/// A packet with its key, to be counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    pub(super) at: Moment,
    pub(super) hash: u64,
    pub(super) key: KeyRef<'a>,
    pub(super) seen: &'a Observation,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum KeyRef<'a> {
    Narrow(&'a Packed<Ipv4Addr>),
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

    #[inline]
    fn of(&self, seen: &Observation) -> AnyKey {
        match (
            &self.mask,
            seen.source.ipv4(),
            seen.destination.ipv4(),
            seen.sensor.ipv4(),
        ) {
            (Some(mask), Some(source), Some(destination), Some(sensor)) => {
                let all = Key::plain(source, destination, sensor, seen);
                AnyKey::Narrow(all.pack().masked(mask))
            }
            _ => self.shape.key(seen),
        }
    }
}

impl Packets {
    /// With so many places.
    pub(super) fn new(keys: &Keys, places: usize) -> Self {
        let nothing = Seen {
            at: Moment::default(),
            packet: Observation::default(),
        };
        Self {
            keys: keys.clone(),
            seen: vec![nothing; places].into(),
            length: 0,
            keyed: Vec::with_capacity(places),
            wide: Vec::new(),
        }
    }

    /// Where the next packet is to be written down. [`take`](Self::take) takes it.
    ///
    /// # Panics
    /// There is no place left: [`is_full`](Self::is_full) says so before.
    #[inline]
    pub fn place(&mut self) -> &mut Observation {
        &mut self.seen[self.length].packet
    }

    /// Takes the packet that was written down, which came at `at`.
    ///
    /// # Panics
    /// There is no place left, and so nothing was written down.
    #[inline]
    pub fn take(&mut self, at: Duration) -> &Observation {
        let seen = &mut self.seen[self.length];
        seen.at = Moment::of(at);
        self.length += 1;
        &seen.packet
    }

    /// Takes a packet that came at `at`.
    ///
    /// # Panics
    /// There is no place left: [`is_full`](Self::is_full) says so before.
    #[inline]
    pub fn push(&mut self, at: Duration, packet: Observation) {
        *self.place() = packet;
        self.take(at);
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    #[must_use]
    pub fn is_full(&self) -> bool {
        self.length == self.seen.len()
    }

    /// Gives keys to those that have none.
    pub fn key(&mut self) {
        let Self {
            keys,
            seen,
            length,
            keyed,
            wide,
        } = self;
        for seen in &seen[keyed.len()..*length] {
            keyed.push(match keys.of(&seen.packet) {
                AnyKey::Narrow(key) => Keyed {
                    hash: key.hash_with(&keys.seed),
                    key: Ok(key),
                },
                AnyKey::Wide(key) => {
                    let place = u32::try_from(wide.len()).expect("places fit");
                    wide.push(key);
                    Keyed {
                        hash: key.hash_with(&keys.seed),
                        key: Err(place),
                    }
                }
            });
        }
    }

    pub(super) fn clear(&mut self) {
        self.length = 0;
        self.keyed.clear();
        self.wide.clear();
    }

    /// Those that have keys, so many at a time.
    pub(super) fn groups(&self, size: usize) -> impl Iterator<Item = Group<'_>> {
        let seen = self.seen[..self.keyed.len()].chunks(size);
        let groups = seen.zip(self.keyed.chunks(size));
        groups.map(|(seen, keyed)| Group {
            seen,
            keyed,
            wide: &self.wide,
        })
    }
}

/// Some packets, one after the other.
pub(super) struct Group<'a> {
    seen: &'a [Seen],
    keyed: &'a [Keyed],
    wide: &'a [Packed<IpAddr>],
}

impl<'a> Group<'a> {
    #[inline]
    pub(super) fn keys(&self) -> impl Iterator<Item = (u64, KeyRef<'a>)> {
        let wide = self.wide;
        self.keyed.iter().map(|keyed| (keyed.hash, keyed.key(wide)))
    }

    #[inline]
    pub(super) fn packets(&self) -> impl Iterator<Item = Packet<'a>> {
        let wide = self.wide;
        let pairs = self.seen.iter().zip(self.keyed);
        pairs.map(|(seen, keyed)| Packet {
            at: seen.at,
            hash: keyed.hash,
            key: keyed.key(wide),
            seen: &seen.packet,
        })
    }
}

impl Keyed {
    #[inline]
    fn key<'a>(&'a self, wide: &'a [Packed<IpAddr>]) -> KeyRef<'a> {
        match &self.key {
            Ok(key) => KeyRef::Narrow(key),
            Err(place) => KeyRef::Wide(&wide[*place as usize]),
        }
    }
}
