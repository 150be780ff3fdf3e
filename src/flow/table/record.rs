//! The path of a packet: finding its flow, and counting it.

use super::super::changes::Changes;
use super::super::packets::{BatchedPacket, KeyRef, PacketBatch};
use super::super::store::NONE;
use super::FlowTable;
use super::resolutions::{Counted, FlowSlot, Resolution};

/// The number of packets that are looked up together.
const GROUP: usize = 32;

impl FlowTable {
    /// Counts the packets of a batch in their order, and empties the batch.
    ///
    /// In a large table, nearly every packet waits for memory twice: for an entry of the index and
    /// for a slot. Each step is therefore done for a whole group of packets before the next step.
    /// The loads within a step do not depend on each other, so the processor waits for many of them
    /// at once. This works like prefetching, but needs no `unsafe` code. The first two steps only
    /// load; the third verifies the key, because earlier packets of the group may have changed the
    /// slot meanwhile.
    pub fn record(&mut self, packets: &mut PacketBatch) {
        self.record_each(packets, |_, _| {});
    }

    /// Does the same as [`record`](Self::record), and adds the packets to `changes`.
    pub fn record_with(&mut self, packets: &mut PacketBatch, changes: &mut Changes) {
        self.record_each(packets, |packet, counted| changes.add(packet, counted));
    }

    /// Counts the packets of a batch. Calls `then` after each, with the packet and where it has counted.
    #[inline]
    fn record_each(
        &mut self,
        packets: &mut PacketBatch,
        mut then: impl FnMut(BatchedPacket<'_>, Counted),
    ) {
        let mut found = [NONE; GROUP];
        for group in packets.groups(GROUP) {
            if self.accounts.is_direct {
                self.find_flows(&mut found, group.clone());
                for (found, packet) in found.iter().zip(group) {
                    then(packet, self.count(*found, packet));
                }
            } else {
                self.find_resolutions(&mut found, group.clone());
                for (found, packet) in found.iter().zip(group) {
                    then(packet, self.count_resolved(*found, packet));
                }
            }
        }
        packets.clear();
    }

    /// Loads the entries of the index, then the slots.
    #[inline]
    fn find_flows<'a>(
        &self,
        found: &mut [u32; GROUP],
        group: impl Iterator<Item = BatchedPacket<'a>> + Clone,
    ) {
        for (found, packet) in found.iter_mut().zip(group.clone()) {
            *found = if packet.has_wide_key() {
                self.wide.candidate(packet.hash())
            } else {
                self.narrow.candidate(packet.hash())
            };
        }
        for (found, packet) in found.iter_mut().zip(group) {
            *found = if packet.has_wide_key() {
                self.wide.if_exposed(*found)
            } else {
                self.narrow.if_exposed(*found)
            };
        }
    }

    /// Loads the entries of the cache, then the slots of the flows.
    #[inline]
    fn find_resolutions<'a>(
        &self,
        found: &mut [u32; GROUP],
        group: impl Iterator<Item = BatchedPacket<'a>> + Clone,
    ) {
        for (found, packet) in found.iter_mut().zip(group.clone()) {
            *found = if packet.has_wide_key() {
                self.wide_resolutions.candidate(packet.hash())
            } else {
                self.narrow_resolutions.candidate(packet.hash())
            };
        }
        for (found, packet) in found.iter_mut().zip(group) {
            let flow = if packet.has_wide_key() {
                self.wide_resolutions.flow_at(*found)
            } else {
                self.narrow_resolutions.flow_at(*found)
            };
            let is_exposed = flow.is_some_and(|FlowSlot { index, is_wide }| {
                if is_wide {
                    self.wide.if_exposed(index) != NONE
                } else {
                    self.narrow.if_exposed(index) != NONE
                }
            });
            if !is_exposed {
                *found = NONE;
            }
        }
    }

    /// Counts a packet whose key is that of its flow. If `found` is the slot of the flow, no other
    /// look-up is needed. It may be [`NONE`].
    #[expect(
        clippy::inline_always,
        reason = "a call for each packet, with its arguments in memory, costs a tenth of the counting"
    )]
    #[inline(always)]
    fn count(&mut self, found: u32, packet: BatchedPacket<'_>) -> Counted {
        let Self {
            narrow,
            wide,
            accounts,
            ..
        } = self;
        accounts.advance(packet.at());
        match packet.key() {
            KeyRef::Narrow(key) => {
                if let Some(slot) = narrow.exposed_at(found, key)
                    && slot.has_known_hosts()
                {
                    return accounts.count(slot, packet);
                }
            }
            KeyRef::Wide(key) => {
                if let Some(slot) = wide.exposed_at(found, key)
                    && slot.has_known_hosts()
                {
                    return accounts.count(slot, packet);
                }
            }
        }
        self.admit_and_count(packet)
    }

    /// Counts a packet whose key is not that of its flow. `found` is the position in the cache, or
    /// [`NONE`].
    #[expect(clippy::inline_always, reason = "as for `count`")]
    #[inline(always)]
    fn count_resolved(&mut self, found: u32, packet: BatchedPacket<'_>) -> Counted {
        let Self {
            narrow,
            wide,
            accounts,
            ..
        } = self;
        accounts.advance(packet.at());
        let resolution = match packet.key() {
            KeyRef::Narrow(key) => self.narrow_resolutions.get(found, key),
            KeyRef::Wide(key) => self.wide_resolutions.get(found, key),
        };
        if let Some(Resolution { flow, by_packet }) = resolution {
            if flow.is_wide {
                if let Some(slot) = wide.if_exposed_mut(flow.index) {
                    return accounts.count_resolved(slot, by_packet, packet);
                }
            } else if let Some(slot) = narrow.if_exposed_mut(flow.index) {
                return accounts.count_resolved(slot, by_packet, packet);
            }
        }
        self.resolve_and_count(packet)
    }

    /// Counts a packet whose key is that of its flow, after a look-up. The flow is new, idle or without a
    /// slot, or its hosts are unknown.
    #[cold]
    fn admit_and_count(&mut self, packet: BatchedPacket<'_>) -> Counted {
        match self.admit(packet.hash(), packet.key(), packet) {
            Ok(FlowSlot { index, is_wide }) => {
                if is_wide {
                    let slot = &mut self.wide[index];
                    self.accounts.find_hosts_and_count(slot, packet)
                } else {
                    let slot = &mut self.narrow[index];
                    self.accounts.find_hosts_and_count(slot, packet)
                }
            }
            Err(overflow) => Counted {
                overflow: Some(overflow),
                by_packet: self.accounts.count_by_packet(packet),
            },
        }
    }

    /// Works out where a packet counts, counts it there, and caches that for packets with the same key.
    #[inline(never)]
    fn resolve_and_count(&mut self, packet: BatchedPacket<'_>) -> Counted {
        let key = self.accounts.flow_key(&packet.seen());
        let hash = key.as_ref().hash_with(&self.accounts.keys.seed);
        let flow = self.admit(hash, key.as_ref(), packet);
        if let Ok(FlowSlot { index, is_wide }) = flow {
            if is_wide {
                let slot = &mut self.wide[index];
                self.accounts.count_in_flow(slot, packet);
            } else {
                let slot = &mut self.narrow[index];
                self.accounts.count_in_flow(slot, packet);
            }
        }
        let by_packet = self.accounts.count_by_packet(packet);
        if let Ok(flow) = flow {
            let resolution = Resolution { flow, by_packet };
            let hash = packet.hash();
            match packet.key() {
                KeyRef::Narrow(key) => self.narrow_resolutions.insert(hash, key, resolution),
                KeyRef::Wide(key) => self.wide_resolutions.insert(hash, key, resolution),
            }
        }
        Counted {
            overflow: flow.err(),
            by_packet,
        }
    }

    /// Returns the slot of a packet's flow, given the key of the flow and its hash. Exposes a flow that is
    /// new or idle, if there is a free slot. Otherwise counts the packet as overflow, and returns the
    /// number of the overflow series.
    fn admit(
        &mut self,
        hash: u64,
        key: KeyRef<'_>,
        packet: BatchedPacket<'_>,
    ) -> Result<FlowSlot, u16> {
        self.make_room_for_hosts();
        // An earlier packet of the same group may have exposed the flow. Or the candidate was
        // another flow with the same 32 bits of the hash.
        let is_wide = matches!(key, KeyRef::Wide(_));
        let exposed = match key {
            KeyRef::Narrow(key) => self.narrow.find_exposed(hash, key),
            KeyRef::Wide(key) => self.wide.find_exposed(hash, key),
        };
        if let Some(index) = exposed {
            return Ok(FlowSlot { index, is_wide });
        }
        if self.is_full() {
            self.accounts.was_full = true;
            if !self.make_room() {
                return Err(self.accounts.overflow(hash, packet));
            }
        }
        let index = match key {
            KeyRef::Narrow(key) => self.accounts.expose(&mut self.narrow, hash, key, packet),
            KeyRef::Wide(key) => self.accounts.expose(&mut self.wide, hash, key, packet),
        };
        Ok(FlowSlot { index, is_wide })
    }
}
