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

/// Builds and hashes the keys of packets.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) shape: Arc<Shape>,
    /// Senders choose the values in a key. With a hash that they could compute, they could send
    /// keys that all collide, and each look-up would walk through all of them. The seed is random
    /// and never leaves the process.
    pub(super) seed: RandomState,
    /// The bits of the fields that a narrow key of a packet holds.
    mask: Packed<Ipv4Addr>,
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
    /// The hash of its key.
    hash: u64,
    bytes: u64,
    contents: Contents,
}

#[derive(Debug, Clone, Copy)]
enum Contents {
    Inline(Packed<Ipv4Addr>),
    /// The index of a [`WidePacket`]: an address is IPv6.
    InSideBuffer(u32),
}

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
}

impl AnyKey {
    #[inline]
    pub(super) fn as_ref(&self) -> KeyRef<'_> {
        match self {
            Self::Narrow(key) => KeyRef::Narrow(key),
            Self::Wide(key) => KeyRef::Wide(key),
        }
    }
}

impl KeyRef<'_> {
    pub(super) fn hash_with(self, seed: &RandomState) -> u64 {
        match self {
            Self::Narrow(key) => key.hash_with(seed),
            Self::Wide(key) => key.hash_with(seed),
        }
    }

    pub(super) fn unpack(self) -> Key<IpAddr> {
        match self {
            Self::Narrow(key) => key.unpack().widened(),
            Self::Wide(key) => key.unpack(),
        }
    }

    /// Unpacks the key of a packet.
    pub(super) fn unpack_fields(self) -> Key<IpAddr> {
        match self {
            Self::Narrow(key) => key.unpack_fields().widened(),
            Self::Wide(key) => key.unpack_fields(),
        }
    }

    /// Returns a packet's observation, given its key, which has the fields that matter for the chosen
    /// labels. The others are missing.
    pub(super) fn seen(self) -> Observation {
        let key = self.unpack_fields();
        // Where one port does not matter, the key lacks it.
        let ports = key.from_port.or(key.to_port).map(|_| {
            let ports = [key.from_port, key.to_port];
            ports.map(Option::unwrap_or_default).into()
        });
        Observation {
            source: key.source.into(),
            destination: key.destination.into(),
            protocol: key.protocol,
            listen_port: key.listen_port,
            sensor: key.sensor.into(),
            ports,
            vlan: key.vlan,
            dscp: key.dscp,
            bytes: 0,
            truncated: None,
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
    #[expect(
        clippy::inline_always,
        reason = "an observation is larger than the registers"
    )]
    #[inline(always)]
    pub fn push(&mut self, at: Duration, seen: &Observation) {
        let at = Moment::of(at);
        match (
            seen.source.ipv4(),
            seen.destination.ipv4(),
            seen.sensor.ipv4(),
        ) {
            (Some(source), Some(destination), Some(sensor)) => {
                let key = Key::of_packet(source, destination, sensor, seen).pack_fields();
                let key = key.masked(&self.keys.mask);
                self.packets.push(CompactPacket {
                    at,
                    hash: key.hash_with(&self.keys.seed),
                    bytes: seen.bytes,
                    contents: Contents::Inline(key),
                });
            }
            _ => self.push_wide(at, *seen),
        }
    }

    // Not inlined: the code for compact packets stays small.
    #[inline(never)]
    fn push_wide(&mut self, at: Moment, seen: Observation) {
        let key = self.keys.shape.packet_key(&seen);
        let index = u32::try_from(self.wide_packets.len()).expect("a batch is small");
        self.packets.push(CompactPacket {
            at,
            hash: key.as_ref().hash_with(&self.keys.seed),
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

    /// Returns the hash of its key.
    #[inline]
    pub(super) fn hash(self) -> u64 {
        self.compact.hash
    }

    #[inline]
    pub(super) fn bytes(self) -> u64 {
        self.compact.bytes
    }

    #[inline]
    pub(super) fn has_wide_key(self) -> bool {
        matches!(self.key(), KeyRef::Wide(_))
    }

    /// Returns the key of its relevant fields: see [`Shape::packet_key`].
    #[inline]
    pub(super) fn key(self) -> KeyRef<'a> {
        match &self.compact.contents {
            Contents::Inline(key) => KeyRef::Narrow(key),
            Contents::InSideBuffer(index) => self.batch.wide_packets[*index as usize].key.as_ref(),
        }
    }

    /// Returns the observation without `truncated`, which the table does not need, and without fields
    /// that do not matter for the chosen labels.
    pub(super) fn seen(self) -> Observation {
        match &self.compact.contents {
            Contents::Inline(key) => Observation {
                bytes: self.compact.bytes,
                ..KeyRef::Narrow(key).seen()
            },
            Contents::InSideBuffer(index) => self.batch.wide_packets[*index as usize].seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use etherparse::IpNumber;

    use super::super::{Classes, Label, Labels, Place, Services};
    use super::*;

    #[test]
    fn a_compact_packet_takes_56_bytes() {
        assert_eq!(size_of::<CompactPacket>(), 56);
    }

    /// A packet keeps all fields that matter, and if the shape is direct, its key is that of its flow.
    ///
    /// Checks the sets of few labels, and those without few.
    #[test]
    fn compact_packets_keep_all_that_matters() {
        for labels in 1..1_u32 << Label::ALL.len() {
            let count = labels.count_ones() as usize;
            if count.min(Label::ALL.len() - count) > 3 {
                continue;
            }
            let labels = Label::ALL
                .into_iter()
                .filter(|&label| labels & 1 << label as u32 != 0);
            check(labels.collect(), &[]);
        }
        let default = Labels::default();
        let with_sensor: Labels = "from,to_type,sensor".parse().expect("labels");
        let without_addresses: Labels = "from_type,ip_version".parse().expect("labels");
        for labels in [default, with_sensor, without_addresses] {
            check(labels, &["public=24"]);
            check(labels, &["public=0", "lan=31", "private=32"]);
        }
    }

    #[track_caller]
    fn check(labels: Labels, lengths: &[&str]) {
        let lengths: Vec<_> = lengths
            .iter()
            .map(|text| text.parse().expect("a prefix length"))
            .collect();
        let network = "lan=192.168.7.0/24".parse().expect("a network");
        let shape = Shape {
            labels,
            classes: Classes::new(&[network], &lengths).expect("known names"),
            services: Services::only("web 443/tcp"),
            ..Shape::default()
        };
        let mut batch = PacketBatch::new(&Keys::new(shape), 8);
        for source in [[10, 1, 2, 3], [192, 168, 7, 255], [203, 0, 114, 77]] {
            let seen = Observation {
                source: source.into(),
                destination: [255; 4].into(),
                protocol: IpNumber::TCP,
                listen_port: 37008,
                sensor: [192, 168, 88, 1].into(),
                ports: Some((54321, 443)),
                vlan: Some(7),
                dscp: 46,
                bytes: 100,
                truncated: None,
            };
            batch.push(Duration::ZERO, &seen);
            let packet = batch.groups(1).last().and_then(|mut group| group.next());
            let packet = packet.expect("it was pushed");
            let shape = &batch.keys.shape;
            let expected = shape.key(&seen, [Place::NONE; 2]);
            if shape.is_direct() {
                assert_same(packet.key(), expected.as_ref());
                assert_eq!(packet.hash(), expected.as_ref().hash_with(&batch.keys.seed));
            }
            let relevant = packet.seen();
            let found = shape.key(&relevant, [Place::NONE; 2]);
            assert_same(found.as_ref(), expected.as_ref());
            assert_eq!(shape.traffic(&relevant), shape.traffic(&seen));
            assert_eq!(shape.overflow(&relevant), shape.overflow(&seen));
            let ends = |seen: &Observation| (seen.source, seen.destination, seen.bytes);
            assert_eq!(ends(&relevant), ends(&seen));
        }
    }

    #[track_caller]
    fn assert_same(key: KeyRef<'_>, expected: KeyRef<'_>) {
        match (key, expected) {
            (KeyRef::Narrow(key), KeyRef::Narrow(expected)) => {
                assert_eq!(key.unpack(), expected.unpack());
            }
            _ => panic!("{key:?} instead of {expected:?}"),
        }
    }
}
