//! The orders in which flows are shown, across both kinds of keys.

use std::cmp::Reverse;
use std::iter;
use std::net::{IpAddr, Ipv4Addr};
use std::thread;

use super::key::Address;
use super::snapshot::{Counters, Flow, HostKey, Snapshot};

/// The number of flows whose sorting takes longer than it takes to start a thread, by far.
const WORTH_A_THREAD: usize = 10_000;

impl Snapshot {
    /// Sorts flows by key, as the exposition lists them, with this number of threads.
    pub fn sort_by_key(&mut self, threads: usize) {
        sort_by_key_in(threads, &mut self.narrow);
        sort_by_key_in(threads, &mut self.wide);
    }

    /// Sorts hosts by address, direction and the peer's class; those beyond the limit come last.
    pub fn sort_hosts(&mut self) {
        self.hosts.sort_unstable_by_key(|series| {
            let HostKey {
                host,
                direction,
                peer_class,
            } = series.key;
            (host.is_none(), host, direction, peer_class)
        });
    }

    /// Sorts flows for [`Self::by_bytes`].
    pub fn sort_by_bytes(&mut self) {
        self.narrow
            .sort_unstable_by_key(|flow| (flow.counters.rank(), flow.key));
        self.wide
            .sort_unstable_by_key(|flow| (flow.counters.rank(), flow.key));
    }

    /// Returns all flows, the largest first. [`Self::sort_by_bytes`] must have sorted them.
    ///
    /// Flows with equally many bytes and packets are in the order of their keys.
    pub fn by_bytes(&self) -> impl Iterator<Item = Flow<IpAddr>> {
        self.merged(|flow| flow.counters.rank())
    }

    /// Merges the flows of both kinds in the order of `sorted_by`, by which each kind must be
    /// sorted already.
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

    /// Returns the difference to an earlier reading of the same counters.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            bytes: self.bytes - before.bytes,
            packets: self.packets - before.packets,
        }
    }

    /// Returns a sort key that puts the largest counters first: by bytes, then by packets.
    #[must_use]
    pub fn rank(&self) -> (Reverse<u64>, Reverse<u64>) {
        (Reverse(self.bytes), Reverse(self.packets))
    }
}

/// Moves the lower half of the keys to the front, and sorts both halves at the same time.
fn sort_by_key_in<A: Address>(threads: usize, flows: &mut [Flow<A>]) {
    if threads < 2 || flows.len() < WORTH_A_THREAD {
        return sort_by_key(flows);
    }
    let (lower, _, upper) = flows.select_nth_unstable_by_key(flows.len() / 2, |flow| flow.key);
    let is_sorted = thread::scope(|scope| {
        let work = || sort_by_key_in(threads / 2, lower);
        let other = thread::Builder::new().spawn_scoped(scope, work);
        sort_by_key_in(threads - threads / 2, upper);
        other.is_ok()
    });
    if !is_sorted {
        // The system refused the thread.
        sort_by_key(flows);
    }
}

/// Sorts by source alone, and then the flows of each source by the whole key.
///
/// This is faster than one sort by the whole key. That comparison branches on each field in turn,
/// and the processor cannot predict in which field two keys first differ. Most comparisons among
/// many flows are decided by the source.
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
        start: flow.start,
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::Start;
    use super::super::key::Key;
    use super::*;
    use crate::wire::Observation;

    #[test]
    fn several_threads_sort_like_one() {
        let seen = Observation::default();
        // Multiplying by an odd number shuffles the numbers; of each source there are several flows.
        let flow = |number: u32| Flow {
            key: Key::of_packet(
                Ipv4Addr::from_bits(number.wrapping_mul(0x9e37_79b1) >> 20),
                Ipv4Addr::from_bits(number.wrapping_mul(0x85eb_ca77)),
                Ipv4Addr::UNSPECIFIED,
                &seen,
            ),
            counters: Counters::default(),
            start: Start::default(),
        };
        let flows: Vec<_> = (0..4 * 10_000).map(flow).collect();
        let mut expected = flows.clone();
        expected.sort_by_key(|flow| flow.key);
        for threads in [1, 2, 3, 8] {
            let mut sorted = flows.clone();
            sort_by_key_in(threads, &mut sorted);
            assert!(sorted == expected, "{threads} threads");
        }
    }

    #[test]
    fn sorting_by_source_first_gives_the_order_of_the_keys() {
        let address = |last| Ipv4Addr::new(10, 0, 0, last);
        let mut flows = Vec::new();
        for number in 0..100 {
            let seen = Observation {
                dscp: number,
                ..Observation::default()
            };
            let [source, destination] = [number % 7, number % 5].map(address);
            flows.push(Flow {
                key: Key::of_packet(source, destination, address(1), &seen),
                counters: Counters::default(),
                start: Start::default(),
            });
        }
        flows.reverse();
        sort_by_key(&mut flows);
        assert!(flows.is_sorted_by_key(|flow| flow.key));
    }
}
