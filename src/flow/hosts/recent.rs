//! The hosts of the last minute: the counters of hosts, minus their values at a checkpoint.

use std::net::IpAddr;

use super::super::snapshot::{Counters, RecentHost, RecentHosts};
use super::super::top_n::TopN;
use super::{Host, Hosts};

/// A copy of a host's counters at one moment, over all classes.
#[derive(Debug, Clone, Copy, Default)]
pub(in super::super) struct HostTotals {
    generation: u64,
    sent: Counters,
    received: Counters,
}

impl Hosts {
    /// Replaces `copies` by the present counters of all hosts, in the order of their numbers.
    pub(in super::super) fn copy_totals(&self, copies: &mut Vec<HostTotals>) {
        copies.clear();
        copies.reserve_exact(self.hosts.len());
        copies.extend(self.hosts.iter().map(HostTotals::of));
    }

    /// Returns the traffic since these copies were made, and the `top` hosts with the most bytes.
    pub(in super::super) fn recent(&self, then: &[HostTotals], top: usize) -> RecentHosts {
        let mut then = then.iter();
        let hosts = self.hosts.iter().map(|host| {
            let before = then.next().copied().unwrap_or_default();
            host.since(before)
        });
        let hosts: Vec<_> = hosts.collect();
        let mut top_n: TopN<(Option<IpAddr>, usize)> = TopN::new(top);
        for (number, host) in hosts.iter().enumerate().skip(1) {
            let counters = host.sent.plus(host.received);
            if counters.packets > 0 {
                top_n.offer(counters, || (host.address, number));
            }
        }
        let (top, active) = top_n.finish();
        RecentHosts {
            top: top.iter().map(|((_, number), _)| hosts[*number]).collect(),
            active,
            other: hosts.first().copied().unwrap_or_default(),
        }
    }
}

impl HostTotals {
    fn of(host: &Host) -> Self {
        let [sent, received] = host.totals();
        Self {
            generation: host.generation,
            sent,
            received,
        }
    }
}

impl Host {
    /// Returns the traffic since a copy was made of the host that had this number then.
    fn since(&self, before: HostTotals) -> RecentHost {
        let now = HostTotals::of(self);
        // Another host had the number then: this one is younger than the copy.
        let before = if before.generation == now.generation {
            before
        } else {
            HostTotals::default()
        };
        RecentHost {
            address: self.address,
            sent: now.sent.since(before.sent),
            received: now.received.since(before.received),
        }
    }
}
