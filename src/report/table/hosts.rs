//! The table of hosts.

use std::collections::HashMap;
use std::net::IpAddr;

use super::ends::{End, Side};
use super::grid::Grid;
use crate::flow::{
    Address, Counters, Direction, Flow, HostTraffic, Key, Label, OTHER, Snapshot, TopN,
};
use crate::names::NameTable;
use crate::report::units::{bytes, number, share};

/// A host, or all hosts beyond the limit.
struct HostRow {
    address: Option<IpAddr>,
    sent: u64,
    received: u64,
}

/// Returns a table of the `top` hosts with the most bytes, sent and received; `None` if no host has
/// counted a packet. `total` is the traffic of which each host takes part in a share.
///
/// Sorts the flows in place.
pub(super) fn top_hosts(
    snapshot: &mut Snapshot,
    names: Option<&NameTable>,
    total: Counters,
    top: usize,
) -> Option<Grid> {
    let (rows, all) = largest(snapshot, top);
    if rows.is_empty() {
        return None;
    }
    let peers = peers(snapshot, &rows);
    let rows = rows.iter().enumerate().map(|(position, row)| {
        let host = row.address.map_or(OTHER.to_owned(), |at| at.to_string());
        let mut cells = vec![host];
        cells.extend(names.map(|names| {
            let name = row.address.and_then(|address| names.name_of(address));
            name.unwrap_or_default().to_owned()
        }));
        cells.extend([
            bytes(row.sent),
            bytes(row.received),
            share(row.sent + row.received, total.bytes),
        ]);
        if let Some(peers) = &peers {
            // Without flows that show its address, its peers are unknown.
            let known = Some(peers[position]).filter(|peers| *peers > 0);
            cells.push(known.map_or(String::new(), number));
        }
        cells
    });
    Some(Grid::of_hosts(
        rows.collect(),
        names.is_some(),
        peers.is_some(),
        all,
    ))
}

/// Returns the `top` hosts with the most bytes, the largest first, and how many hosts there are.
fn largest(snapshot: &mut Snapshot, top: usize) -> (Vec<HostRow>, usize) {
    snapshot.sort_hosts();
    let mut top_n = TopN::new(top);
    let of_one_host = |left: &HostTraffic, right: &HostTraffic| left.key.host == right.key.host;
    for (position, series) in snapshot.hosts.chunk_by(of_one_host).enumerate() {
        let counters = series.iter().map(|series| series.counters);
        let counters = counters.fold(Counters::default(), Counters::plus);
        top_n.offer(counters, || position);
    }
    let (top, all) = top_n.finish();
    let hosts: Vec<_> = snapshot.hosts.chunk_by(of_one_host).collect();
    let rows = top.into_iter().map(|(position, _)| {
        let series = hosts[position];
        let sum = |direction| {
            let chosen = series.iter().filter(|one| one.key.direction == direction);
            chosen.map(|one| one.counters.bytes).sum()
        };
        HostRow {
            address: series[0].key.host,
            sent: sum(Direction::Sent),
            received: sum(Direction::Received),
        }
    });
    (rows.collect(), all)
}

/// Returns for each host how many addresses the flows show on the other side; `None` if flows do
/// not show both addresses.
fn peers(snapshot: &mut Snapshot, hosts: &[HostRow]) -> Option<Vec<u64>> {
    let labels = snapshot.shape.labels;
    if !labels.contains(Label::From) || !labels.contains(Label::To) {
        return None;
    }
    let numbered = hosts.iter().enumerate();
    let positions: HashMap<_, _> = numbered
        .filter_map(|(position, host)| Some((host.address?, position)))
        .collect();
    let mut peers = vec![0; hosts.len()];
    // Flows of the same two addresses, in whichever direction, are neighbours after sorting.
    snapshot.narrow.sort_unstable_by_key(|flow| pair(&flow.key));
    snapshot.wide.sort_unstable_by_key(|flow| pair(&flow.key));
    let pair = |flow: &Flow<IpAddr>| pair(&flow.key);
    let mut last = None;
    for flow in snapshot.merged(pair) {
        let (left, right) = pair(&flow);
        if last.replace((left, right)) == Some((left, right)) {
            continue;
        }
        // An address that talks to itself is its own peer.
        let ends = [Some(left), Some(right).filter(|right| *right != left)];
        for end in ends.into_iter().flatten() {
            if let Some(position) = positions.get(&end.address) {
                peers[*position] += 1;
            }
        }
    }
    Some(peers)
}

/// Returns both ends of a flow, the smaller first.
fn pair<A: Address>(key: &Key<A>) -> (End<A>, End<A>) {
    let [source, destination] = [Side::Source, Side::Destination].map(|side| side.of(key, false));
    (source.min(destination), source.max(destination))
}
