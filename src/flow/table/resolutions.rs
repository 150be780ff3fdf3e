//! A cache of what was worked out for recent packets: their flow, their traffic series, their hosts.
//!
//! With the default labels, all packets of a flow have the same traffic series and the same hosts, which
//! are stored with the flow. With others, such as `from_type,to_type` or `to_country`, they may have
//! different ones, and classes, services or countries have to be looked up to find the flow itself.
//! Packets with the same fields always have the same result, so these fields are the key of the cache.

use super::super::class::Class;
use super::super::hosts::HostPair;
use super::super::key::{Address, Packed};
use super::super::store::NONE;

/// Where a packet counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resolution {
    pub(super) flow: FlowSlot,
    pub(super) by_packet: ByPacket,
}

/// The slot of a flow.
#[derive(Debug, Clone, Copy)]
pub(super) struct FlowSlot {
    pub(super) index: u32,
    /// Whether the slot is in the store of wide flows.
    pub(super) is_wide: bool,
}

/// Where a packet has counted. With its key, this determines all its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::flow) struct Counted {
    /// The number of the overflow series, if its flow had no slot.
    pub(super) overflow: Option<u16>,
    pub(super) by_packet: ByPacket,
}

/// Where a packet counts besides its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ByPacket {
    pub(super) classes: [Class; 2],
    /// The number of its traffic series.
    pub(super) traffic: u16,
    pub(super) hosts: HostPair,
}

/// The resolutions of recent packets, by their keys.
///
/// Each key has two possible positions in a table, and replaces another key if both are taken. So the
/// memory is limited. A flood of new keys replaces the others, whose packets are then looked up again.
#[derive(Debug)]
pub(super) struct Resolutions<A: Address> {
    /// Empty until the first packet.
    entries: Vec<Entry<A>>,
    /// Counts how often the entries became invalid. Those of earlier epochs are free.
    epoch: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry<A: Address> {
    key: Packed<A>,
    /// 32 bits of the key's hash that do not decide its positions.
    hash: u32,
    epoch: u32,
    resolution: Resolution,
}

impl<A: Address> Resolutions<A> {
    /// A power of two: 65,536 entries of 52 bytes for narrow keys, 16,384 of 88 for wide ones.
    const ENTRIES: usize = if A::WIDE { 1 << 14 } else { 1 << 16 };

    /// Returns the position that probably holds the key with this hash, or [`NONE`]. Does not read the
    /// key.
    #[inline]
    pub(super) fn candidate(&self, hash: u64) -> u32 {
        let (positions, hash) = split(hash);
        for position in positions {
            let position = Self::wrapped(position);
            let entry = self.entries.get(position as usize);
            if entry.is_some_and(|entry| entry.hash == hash) {
                return position;
            }
        }
        NONE
    }

    /// Returns the slot of the flow that is kept at this position. The position may be [`NONE`].
    #[inline]
    pub(super) fn flow_at(&self, position: u32) -> Option<FlowSlot> {
        let entry = self.entries.get(position as usize)?;
        Some(entry.resolution.flow)
    }

    /// Returns what is kept for a key, if it is at this position. The position may be [`NONE`].
    #[inline]
    pub(super) fn get(&self, position: u32, key: &Packed<A>) -> Option<Resolution> {
        let entry = self.entries.get(position as usize)?;
        (entry.key == *key && entry.epoch == self.epoch).then_some(entry.resolution)
    }

    pub(super) fn insert(&mut self, hash: u64, key: &Packed<A>, resolution: Resolution) {
        if self.entries.is_empty() {
            // Epochs begin with 1, so this entry is free.
            let free = Entry {
                key: *key,
                hash: 0,
                epoch: 0,
                resolution,
            };
            self.entries.resize(Self::ENTRIES, free);
        }
        let (positions, hash) = split(hash);
        let [first, second] = positions.map(|position| Self::wrapped(position) as usize);
        let may_be_replaced = |position: usize| {
            let entry = &self.entries[position];
            entry.epoch != self.epoch || entry.key == *key
        };
        let position = if may_be_replaced(first) || !may_be_replaced(second) {
            first
        } else {
            second
        };
        self.entries[position] = Entry {
            key: *key,
            hash,
            epoch: self.epoch,
            resolution,
        };
    }

    /// Makes all entries invalid: flows or hosts have lost their slots, or the databases were replaced.
    pub(super) fn invalidate(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            // The counter has wrapped around. Old entries would become valid again.
            *self = Self::default();
        }
    }

    /// Returns the allocated bytes.
    pub(super) fn allocated(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<A>>()
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "there are at most 65,536 entries"
    )]
    #[inline]
    fn wrapped(position: u16) -> u32 {
        u32::from(position) % Self::ENTRIES as u32
    }
}

impl<A: Address> Default for Resolutions<A> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            epoch: 1,
        }
    }
}

/// Splits the hash of a key into the two positions that the key may have, and other bits.
#[inline]
fn split(hash: u64) -> ([u16; 2], u32) {
    let [a, b, c, d, rest @ ..] = hash.to_le_bytes();
    let positions = [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])];
    (positions, u32::from_le_bytes(rest))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::super::super::key::Key;
    use super::*;
    use crate::wire::Observation;

    fn key(number: u32) -> Packed<Ipv4Addr> {
        let source = Ipv4Addr::from_bits(number);
        let other = Ipv4Addr::LOCALHOST;
        Key::of_packet(source, other, other, &Observation::default()).pack()
    }

    fn resolution(number: u32) -> Resolution {
        Resolution {
            flow: FlowSlot {
                index: number,
                is_wide: false,
            },
            by_packet: ByPacket {
                classes: [Class::default(); 2],
                traffic: 0,
                hosts: HostPair::NONE,
            },
        }
    }

    fn found(resolutions: &Resolutions<Ipv4Addr>, hash: u64, number: u32) -> Option<u32> {
        let resolution = resolutions.get(resolutions.candidate(hash), &key(number));
        resolution.map(|resolution| resolution.flow.index)
    }

    #[test]
    fn a_key_moves_to_its_second_position() {
        let mut all = Resolutions::default();
        assert_eq!(found(&all, 0, 1), None);
        // The same positions and other bits, but for the second position of the last two.
        let hashes = [0x7_0002_0001_u64, 0x8_0002_0001, 0x9_0003_0001];
        for (number, hash) in (1..).zip(hashes) {
            all.insert(hash, &key(number), resolution(number));
        }
        let all_found = |all: &_| {
            (1..)
                .zip(hashes)
                .map(|(number, hash)| found(all, hash, number))
                .collect::<Vec<_>>()
        };
        assert_eq!(all_found(&all), [Some(1), Some(2), Some(3)]);
        // Both positions are taken: the key at the first is replaced.
        all.insert(0xa_0002_0001, &key(4), resolution(4));
        assert_eq!(all_found(&all), [None, Some(2), Some(3)]);
        assert_eq!(found(&all, 0xa_0002_0001, 4), Some(4));
        // A key is there once, with its last resolution.
        all.insert(0xa_0002_0001, &key(4), resolution(5));
        assert_eq!(found(&all, 0xa_0002_0001, 4), Some(5));
        // Another key with the same hash.
        assert_eq!(found(&all, 0xa_0002_0001, 1), None);
        all.invalidate();
        assert_eq!(all_found(&all), [None; 3]);
    }

    #[test]
    fn sizes_of_entries_are_those_of_the_documentation() {
        assert_eq!(size_of::<Entry<Ipv4Addr>>(), 52);
        assert_eq!(size_of::<Entry<IpAddr>>(), 88);
    }
}
