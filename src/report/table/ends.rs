//! Who sends and who receives most, in no more memory than the flows take.

use std::net::IpAddr;

use crate::flow::{Address, Best, Class, Counters, Flow, Key, Snapshot};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Destination,
}

/// One end of flows, as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct End<A = IpAddr> {
    pub(super) address: A,
    pub(super) prefix: u8,
    /// Those without a class are alike.
    pub(super) class: Class,
}

/// The ends with the most bytes, and how many there are.
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
    let end = |flow: &Flow<IpAddr>| side.of(&flow.key, has_class);
    let mut best = Best::new(top);
    let mut current: Option<(End, Counters)> = None;
    for flow in snapshot.merged(end) {
        match &mut current {
            Some((same, counters)) if *same == end(&flow) => {
                *counters = counters.plus(flow.counters);
            }
            _ => {
                if let Some((end, counters)) = current.replace((end(&flow), flow.counters)) {
                    best.offer(counters, || end);
                }
            }
        }
    }
    if let Some((end, counters)) = current {
        best.offer(counters, || end);
    }
    best.finish()
}

impl Side {
    fn of<A: Address>(self, key: &Key<A>, has_class: bool) -> End<A> {
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
