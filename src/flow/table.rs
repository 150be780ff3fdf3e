use std::collections::HashMap;
use std::net::Ipv4Addr;

use etherparse::IpNumber;
use foldhash::quality::RandomState;

use crate::wire::Observation;

/// What tells one flow from another: 12 bytes. The other labels follow from these.
///
/// The order is that of the exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub protocol: IpNumber,
    pub listen_port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    pub bytes: u64,
    pub packets: u64,
}

/// One flow and what it has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    pub key: FlowKey,
    pub counters: Counters,
}

/// All flows seen so far.
///
/// Senders choose the keys, so the hash is seeded: nobody can prepare keys that collide.
#[derive(Debug, Default)]
pub struct FlowTable {
    counters: HashMap<FlowKey, Counters, RandomState>,
}

impl FlowTable {
    pub fn record(&mut self, observation: &Observation) {
        let key = FlowKey {
            source: observation.source,
            destination: observation.destination,
            protocol: observation.protocol,
            listen_port: observation.listen_port,
        };
        let counters = self.counters.entry(key).or_default();
        counters.bytes += observation.bytes;
        counters.packets += 1;
    }

    /// Adds what another table has counted.
    pub fn merge(&mut self, other: Self) {
        for (key, counters) in other.counters {
            let mine = self.counters.entry(key).or_default();
            mine.bytes += counters.bytes;
            mine.packets += counters.packets;
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.counters.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }

    /// A copy of all flows, in no order: the order of the table would tell its seed.
    #[must_use]
    pub fn flows(&self) -> Vec<Flow> {
        self.counters
            .iter()
            .map(|(&key, &counters)| Flow { key, counters })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(source: [u8; 4], protocol: u8, listen_port: u16, bytes: u64) -> Observation {
        Observation {
            source: source.into(),
            destination: [192, 0, 2, 1].into(),
            protocol: IpNumber(protocol),
            listen_port,
            bytes,
            truncated: None,
        }
    }

    #[test]
    fn packets_of_one_flow_add_up_and_others_stay_apart() {
        let mut table = FlowTable::default();
        table.record(&observation([10, 0, 0, 1], 6, 37008, 52));
        table.record(&observation([10, 0, 0, 1], 6, 37008, 1500));
        table.record(&observation([10, 0, 0, 1], 6, 37009, 40));
        table.record(&observation([10, 0, 0, 1], 17, 37008, 60));
        table.record(&observation([10, 0, 0, 2], 6, 37008, 70));

        let mut flows = table.flows();
        flows.sort_unstable_by_key(|flow| flow.key);
        let counted: Vec<_> = flows
            .iter()
            .map(|flow| (flow.counters.packets, flow.counters.bytes))
            .collect();
        assert_eq!(counted, [(2, 1552), (1, 40), (1, 60), (1, 70)]);
    }

    #[test]
    fn a_key_stays_small() {
        assert_eq!(size_of::<FlowKey>(), 12);
        assert_eq!(size_of::<Flow>(), 32);
    }
}
