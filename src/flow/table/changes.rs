//! The series in which packets have counted, for callers that keep a history.

use super::FlowTable;
use super::accounts::Accounts;
use super::resolutions::{ByPacket, Counted};
use crate::flow::changes::{Changes, Series};
use crate::flow::packets::KeyRef;
use crate::flow::snapshot::Counters;

impl FlowTable {
    /// Takes what packets have added to each series since changes were last taken. May visit a flow
    /// several times: packets with different keys may belong to the same flow.
    pub fn take_changes(&mut self, changes: &mut Changes, mut visit: impl FnMut(Series, Counters)) {
        let accounts = &mut self.accounts;
        let Changes {
            narrow,
            wide,
            traffic,
            overflow,
            hosts,
        } = changes;
        let mut add = |key: KeyRef<'_>, counted: Counted, counters| {
            let ByPacket {
                classes,
                traffic: number,
                hosts: pair,
            } = counted.by_packet;
            traffic.add(number, counters);
            let packet = key.unpack_fields();
            for host in pair.keys([packet.source, packet.destination], classes) {
                let sum = hosts.entry(host).or_default();
                *sum = sum.plus(counters);
            }
            match counted.overflow {
                Some(number) => overflow.add(number, counters),
                None => visit(accounts.flow_of(key), counters),
            }
        };
        narrow.take(|key, counted, counters| add(KeyRef::Narrow(key), counted, counters));
        wide.take(|key, counted, counters| add(KeyRef::Wide(key), counted, counters));
        let accounts = &self.accounts;
        traffic.take(|number, counters| {
            visit(Series::Traffic(accounts.traffic.key(number)), counters);
        });
        overflow.take(|number, counters| {
            visit(Series::Overflow(accounts.overflow.key(number)), counters);
        });
        for (key, counters) in hosts.drain() {
            visit(Series::Host(key), counters);
        }
        if changes.is_full() {
            changes.forget_keys();
        }
    }
}

impl Accounts {
    /// Returns the flow of a packet with this key.
    fn flow_of(&mut self, key: KeyRef<'_>) -> Series {
        if self.is_direct {
            return Series::Flow(key.unpack());
        }
        let flow = self.flow_key(&key.seen());
        Series::Flow(flow.as_ref().unpack())
    }
}
