//! The addresses that send or receive most. Sorts the flows in place, so that it needs no more
//! memory than they do.

use std::net::IpAddr;

use crate::flow::{Address, Class, Counters, Flow, Key, Snapshot, TopN};

/// One of the two ends of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Destination,
}

/// An address that sends or receives, as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct End<A = IpAddr> {
    pub(super) address: A,
    pub(super) prefix: u8,
    /// The default class in tables without a column for it, so that ends differ in their addresses
    /// alone.
    pub(super) class: Class,
}

/// Returns the `top` ends with the most bytes, and how many ends there are.
pub(super) fn top(
    snapshot: &mut Snapshot,
    side: Side,
    has_class: bool,
    top: usize,
) -> (Vec<(End, Counters)>, usize) {
    snapshot
        .narrow
        .sort_unstable_by_key(|flow| side.of(&flow.key, has_class));
    snapshot
        .wide
        .sort_unstable_by_key(|flow| side.of(&flow.key, has_class));
    // Flows of the same end are neighbours now, so one running sum is enough.
    let end = |flow: &Flow<IpAddr>| side.of(&flow.key, has_class);
    let mut top_n = TopN::new(top);
    let mut current: Option<(End, Counters)> = None;
    for flow in snapshot.merged(end) {
        match &mut current {
            Some((same, counters)) if *same == end(&flow) => {
                *counters = counters.plus(flow.counters);
            }
            _ => {
                if let Some((end, counters)) = current.replace((end(&flow), flow.counters)) {
                    top_n.offer(counters, || end);
                }
            }
        }
    }
    if let Some((end, counters)) = current {
        top_n.offer(counters, || end);
    }
    top_n.finish()
}

impl Side {
    /// Returns this end of a flow.
    pub(super) fn of<A: Address>(self, key: &Key<A>, has_class: bool) -> End<A> {
        let (address, prefix, class) = match self {
            Self::Source => (key.source, key.source_prefix, key.source_class),
            Self::Destination => (
                key.destination,
                key.destination_prefix,
                key.destination_class,
            ),
        };
        End {
            address,
            prefix,
            class: if has_class { class } else { Class::default() },
        }
    }
}
