//! Flows of both kinds in one row.

use std::cmp::Reverse;
use std::iter;
use std::net::{IpAddr, Ipv4Addr};

use super::key::{Address, Key};
use super::snapshot::{Counters, Flow, Snapshot};

impl Snapshot {
    /// Sorts flows in the order of the exposition.
    pub fn sort_by_key(&mut self) {
        sort_by_key(&mut self.narrow);
        sort_by_key(&mut self.wide);
    }

    /// Sorts flows for [`Self::by_bytes`].
    pub fn sort_by_bytes(&mut self) {
        self.narrow
            .sort_unstable_by_key(|flow| (flow.counters.rank(), flow.key));
        self.wide
            .sort_unstable_by_key(|flow| (flow.counters.rank(), flow.key));
    }

    /// All flows once they are sorted, those with the most bytes first; those with equally many
    /// bytes and packets in the order of the exposition.
    pub fn by_bytes(&self) -> impl Iterator<Item = Flow<IpAddr>> {
        self.merged(|flow| flow.counters.rank())
    }

    /// All flows in the order of `sorted_by`, by which both kinds are sorted already.
    pub fn merged<K: Ord>(
        &self,
        sorted_by: impl Fn(&Flow<IpAddr>) -> K,
    ) -> impl Iterator<Item = Flow<IpAddr>> {
        let mut narrow = self.narrow.iter().map(widened).peekable();
        let mut wide = self.wide.iter().copied().peekable();
        iter::from_fn(move || match (narrow.peek(), wide.peek()) {
            (Some(left), Some(right)) if sorted_by(left) > sorted_by(right) => wide.next(),
            (Some(_), _) => narrow.next(),
            (None, _) => wide.next(),
        })
    }
}

impl Counters {
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            packets: self.packets + other.packets,
        }
    }

    /// What came after `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            bytes: self.bytes - before.bytes,
            packets: self.packets - before.packets,
        }
    }

    /// Sorts the largest first.
    #[must_use]
    pub fn rank(&self) -> (Reverse<u64>, Reverse<u64>) {
        (Reverse(self.bytes), Reverse(self.packets))
    }
}

/// By sources first, as most comparisons among many flows are of different ones: how far into two
/// keys a comparison of all fields has to look is what no processor foresees.
fn sort_by_key<A: Address>(flows: &mut [Flow<A>]) {
    flows.sort_unstable_by_key(|flow| flow.key.source);
    for of_one_source in flows.chunk_by_mut(|left, right| left.key.source == right.key.source) {
        of_one_source.sort_unstable_by_key(|flow| flow.key);
    }
}

fn widened(flow: &Flow<Ipv4Addr>) -> Flow<IpAddr> {
    Flow {
        key: flow.key.widened(),
        counters: flow.counters,
    }
}

impl<A: Address> Key<A> {
    #[must_use]
    pub fn ip_version(&self) -> u8 {
        let is_ipv6 = self.source.into().is_ipv6() || self.destination.into().is_ipv6();
        if is_ipv6 { 6 } else { 4 }
    }

    /// The same key with addresses of any version.
    pub(super) fn widened(&self) -> Key<IpAddr> {
        Key {
            source: self.source.into(),
            source_prefix: self.source_prefix,
            source_class: self.source_class,
            destination: self.destination.into(),
            destination_prefix: self.destination_prefix,
            destination_class: self.destination_class,
            protocol: self.protocol,
            listen_port: self.listen_port,
            sensor: self.sensor.into(),
            from_port: self.from_port,
            to_port: self.to_port,
            vlan: self.vlan,
            dscp: self.dscp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Observation;

    #[test]
    fn flows_are_in_the_order_of_their_keys() {
        let address = |last| Ipv4Addr::new(10, 0, 0, last);
        let mut flows = Vec::new();
        for number in 0..100 {
            let seen = Observation {
                dscp: number,
                ..Observation::default()
            };
            let [source, destination] = [number % 7, number % 5].map(address);
            flows.push(Flow {
                key: Key::plain(source, destination, address(1), &seen),
                counters: Counters::default(),
            });
        }
        flows.reverse();
        sort_by_key(&mut flows);
        assert!(flows.is_sorted_by_key(|flow| flow.key));
    }
}
