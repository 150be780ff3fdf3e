//! The hosts of the last minute: the counters of hosts, minus their values at a checkpoint.

use std::net::IpAddr;

use super::super::snapshot::{BothDirections, Counters, RecentHost, RecentHosts};
use super::super::top_n::TopN;
use super::{HostNumber, Hosts};

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
        copies.reserve_exact(self.entries.len());
        copies.extend(self.totals());
    }

    /// Returns what all hosts ever counted, hidden and forgotten ones included.
    pub(in super::super) fn totals_ever(&self) -> BothDirections {
        let totals = self.totals().map(|host| [host.sent, host.received]);
        let [sent, received] = totals.fold(self.forgotten_counters, |[sent, received], host| {
            [sent.plus(host[0]), received.plus(host[1])]
        });
        BothDirections { sent, received }
    }

    /// Returns the traffic since these copies were made, and the `top` hosts with the most bytes.
    pub(in super::super) fn recent(
        &self,
        then: &[HostTotals],
        total_then: BothDirections,
        top: usize,
    ) -> RecentHosts {
        let mut then = then.iter().copied();
        let hosts = self.entries.iter().zip(self.totals()).map(|(host, now)| {
            let [sent, received] = now.since(then.next().unwrap_or_default());
            RecentHost {
                address: host.address.map(Into::into),
                sent,
                received,
            }
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
        let total = self.totals_ever();
        RecentHosts {
            top: top.iter().map(|((_, number), _)| hosts[*number]).collect(),
            active,
            other: hosts.first().copied().unwrap_or_default(),
            total: BothDirections {
                sent: total.sent.since(total_then.sent),
                received: total.received.since(total_then.received),
            },
        }
    }

    fn totals(&self) -> impl Iterator<Item = HostTotals> + '_ {
        let hosts = (0..).map(HostNumber).zip(&self.entries);
        hosts.map(|(number, host)| {
            let [sent, received] = self.series.totals(number);
            HostTotals {
                generation: host.generation,
                sent,
                received,
            }
        })
    }
}

impl HostTotals {
    /// Returns what the host sent and received since a copy was made of the host that had this
    /// number then.
    fn since(self, before: Self) -> [Counters; 2] {
        if self.generation != before.generation {
            // Another host had the number: this one is younger than the copy.
            return [self.sent, self.received];
        }
        [
            self.sent.since(before.sent),
            self.received.since(before.received),
        ]
    }
}
