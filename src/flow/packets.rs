//! Packets between decoding and counting.
//!
//! A thread that reads frames collects packets in a [`PacketBatch`] of its own, and builds and
//! hashes their keys there. Only the counting itself then needs the lock on the table.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;

use super::Shape;
use super::clock::Moment;
use super::key::{Key, Packed};
use super::shape::AnyKey;
use crate::wire::Observation;

/// Builds and hashes the keys of packets' flows.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) shape: Arc<Shape>,
    /// Senders choose the values in a key. With a hash that they could compute, they could send
    /// keys that all collide, and each look-up would walk through all of them. The seed is random
    /// and never leaves the process.
    pub(super) seed: RandomState,
    /// The bits of a narrow key that the chosen labels show. `None` if the key needs classes, which
    /// have to be looked up.
    mask: Option<Packed<Ipv4Addr>>,
}

/// A batch of packets for the table that created it.
#[derive(Debug)]
pub struct PacketBatch {
    keys: Keys,
    capacity: usize,
    packets: Vec<CompactPacket>,
    /// A side buffer with the packets that do not fit into a [`CompactPacket`].
    wide_packets: Vec<WidePacket>,
}

/// A packet in 56 bytes, less than one cache line: nearly all packets are stored in this form.
#[derive(Debug, Clone, Copy)]
struct CompactPacket {
    at: Moment,
    /// The hash of its flow's key.
    hash: u64,
    bytes: u64,
    contents: Contents,
}

#[derive(Debug, Clone, Copy)]
enum Contents {
    /// A key with all fields of the packet. Applying the mask to it gives the key of the flow.
    Inline(Packed<Ipv4Addr>),
    /// The index of a [`WidePacket`]: an address is IPv6, or the key takes more than a mask.
    InSideBuffer(u32),
}

/// A packet with the key of its flow.
#[derive(Debug, Clone, Copy)]
struct WidePacket {
    key: AnyKey,
    seen: Observation,
}

/// A packet of a batch, ready to be counted.
#[derive(Clone, Copy)]
pub(super) struct BatchedPacket<'a> {
    compact: &'a CompactPacket,
    batch: &'a PacketBatch,
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
    /// Creates an empty batch that is full with `capacity` packets.
    pub(super) fn new(keys: &Keys, capacity: usize) -> Self {
        Self {
            keys: keys.clone(),
            capacity,
            packets: Vec::with_capacity(capacity),
            wide_packets: Vec::new(),
        }
    }

    /// Adds a packet that arrived at `at`.
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
                let all_fields = Key::of_packet(source, destination, sensor, seen).pack();
                self.packets.push(CompactPacket {
                    at,
                    hash: all_fields.masked(mask).hash_with(&self.keys.seed),
                    bytes: seen.bytes,
                    contents: Contents::Inline(all_fields),
                });
            }
            _ => self.push_wide(at, *seen),
        }
    }

    fn push_wide(&mut self, at: Moment, seen: Observation) {
        let key = self.keys.shape.key(&seen);
        let index = u32::try_from(self.wide_packets.len()).expect("a batch is small");
        self.packets.push(CompactPacket {
            at,
            hash: match key {
                AnyKey::Narrow(key) => key.hash_with(&self.keys.seed),
                AnyKey::Wide(key) => key.hash_with(&self.keys.seed),
            },
            bytes: seen.bytes,
            contents: Contents::InSideBuffer(index),
        });
        self.wide_packets.push(WidePacket { key, seen });
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Whether the batch should be counted now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.packets.len() >= self.capacity
    }

    pub(super) fn clear(&mut self) {
        self.packets.clear();
        self.wide_packets.clear();
    }

    /// Returns the packets in their order, in groups of at most `size`.
    pub(super) fn groups(
        &self,
        size: usize,
    ) -> impl Iterator<Item = impl Iterator<Item = BatchedPacket<'_>> + Clone> {
        self.packets.chunks(size).map(move |group| {
            group.iter().map(move |compact| BatchedPacket {
                compact,
                batch: self,
            })
        })
    }
}

impl<'a> BatchedPacket<'a> {
    #[inline]
    pub(super) fn at(self) -> Moment {
        self.compact.at
    }

    /// Returns the hash of its flow's key.
    #[inline]
    pub(super) fn hash(self) -> u64 {
        self.compact.hash
    }

    #[inline]
    pub(super) fn bytes(self) -> u64 {
        self.compact.bytes
    }

    /// Whether the key of its flow is wide.
    #[inline]
    pub(super) fn has_wide_key(self) -> bool {
        match self.compact.contents {
            Contents::Inline(_) => false,
            Contents::InSideBuffer(index) => {
                matches!(self.batch.wide_packets[index as usize].key, AnyKey::Wide(_))
            }
        }
    }

    /// Returns the key of its flow.
    #[inline]
    pub(super) fn key(self) -> KeyRef<'a> {
        match (&self.compact.contents, &self.batch.keys.mask) {
            (Contents::Inline(key), Some(mask)) => KeyRef::Narrow(key.masked(mask)),
            (Contents::Inline(key), None) => KeyRef::Narrow(*key),
            (Contents::InSideBuffer(index), _) => {
                match &self.batch.wide_packets[*index as usize].key {
                    AnyKey::Narrow(key) => KeyRef::Narrow(*key),
                    AnyKey::Wide(key) => KeyRef::Wide(key),
                }
            }
        }
    }

    /// Returns the observation without `truncated`, which the table does not need.
    pub(super) fn seen(self) -> Observation {
        let key = match &self.compact.contents {
            Contents::Inline(key) => key.unpack(),
            Contents::InSideBuffer(index) => return self.batch.wide_packets[*index as usize].seen,
        };
        Observation {
            source: key.source.into(),
            destination: key.destination.into(),
            protocol: key.protocol,
            listen_port: key.listen_port,
            sensor: key.sensor.into(),
            ports: key.from_port.zip(key.to_port),
            vlan: key.vlan,
            dscp: key.dscp,
            bytes: self.compact.bytes,
            truncated: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compact_packet_takes_56_bytes() {
        assert_eq!(size_of::<CompactPacket>(), 56);
    }
}
