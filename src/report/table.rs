//! Tables for people: which addresses talk to each other, and how much.

mod ends;
mod grid;
mod hosts;

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::rows::{self, Rows};
use super::units::{bits_per_second, bytes, count, duration, number};
use super::{skipped, time, truncated};
use crate::aggregator::FrameCounts;
use crate::flow::{Counters, Label, OTHER, ProtocolName, Shape, Snapshot, TrafficKey};
use crate::metrics::labels;
use crate::names::NameTable;
use ends::{End, Side};
use grid::Grid;

/// How wide tables may be, and whether they have colours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// In characters. Without a width, each row takes one line: for `grep` and pagers.
    pub(crate) width: Option<u16>,
    pub(crate) colours: bool,
}

/// Writes a summary, and tables of `top` rows at most.
pub(crate) fn write(
    out: &mut impl Write,
    mut snapshot: Snapshot,
    frames: &FrameCounts,
    names: Option<&NameTable>,
    top: usize,
    look: Look,
) -> io::Result<()> {
    let total = rows::total(&snapshot);
    write_summary(out, &snapshot, frames, total)?;
    if total.packets == 0 {
        return Ok(());
    }
    let labels = snapshot.shape.labels;
    if let Some(hosts) = hosts::top_hosts(&mut snapshot, names, total, top) {
        hosts.write(out, look)?;
    }
    top_flows(&mut snapshot, names, total, top).write(out, look)?;
    if labels.contains(Label::From) {
        top_ends(&mut snapshot, names, Side::Source, total, top).write(out, look)?;
    }
    if labels.contains(Label::To) {
        top_ends(&mut snapshot, names, Side::Destination, total, top).write(out, look)?;
    }
    by_type(&snapshot, total, top).write(out, look)?;
    by_protocol(&snapshot, total, top).write(out, look)?;
    for (title, labels) in rows::BY_VALUES {
        if let Some(grid) = by_values(title, labels, &snapshot, total, top) {
            grid.write(out, look)?;
        }
    }
    Ok(())
}

/// Writes the lines above the tables.
fn write_summary(
    out: &mut impl Write,
    snapshot: &Snapshot,
    frames: &FrameCounts,
    total: Counters,
) -> io::Result<()> {
    if let (Some(first), Some(last)) = (frames.oldest, frames.newest) {
        let [first, last] = [first, last].map(time::moment);
        let span = duration(frames.span().unwrap_or_default());
        writeln!(out, "Time     {first} to {last} ({span})")?;
    }
    write!(
        out,
        "Counted  {}, {}",
        count(total.packets, "packet"),
        bytes(total.bytes)
    )?;
    if let Some(rate) = frames
        .span()
        .and_then(|span| bits_per_second(total.bytes, span))
    {
        write!(out, ", {rate} on average")?;
    }
    let truncated = truncated(frames).map(|(cause, packets)| (cause.label(), packets));
    write_sum(out, "\nCut      ", "packet", truncated)?;
    let skipped = skipped(frames).map(|(reason, frames)| (reason.label(), frames));
    write_sum(out, "\nSkipped  ", "frame", skipped)?;
    let occupancy = &snapshot.occupancy;
    write!(out, "\nFlows    {}", number(occupancy.flows as u64))?;
    if occupancy.overflow_packets > 0 {
        let packets = count(occupancy.overflow_packets, "packet");
        write!(out, "; {packets} beyond --max-flows are in `{OTHER}`")?;
    }
    let absent = occupancy.idle as u64 + occupancy.forgotten;
    if absent > 0 {
        let flows = count(absent, "idle flow");
        write!(
            out,
            "; {flows} left, and count under type and protocol only"
        )?;
    }
    if occupancy.other_host_packets > 0 {
        let hosts = number(occupancy.hosts as u64);
        write!(
            out,
            "\nHosts    {hosts}; those beyond --max-hosts are in `{OTHER}`"
        )?;
    }
    writeln!(out)
}

/// Writes a sum and its parts, if there are any.
fn write_sum<'a>(
    out: &mut impl Write,
    title: &str,
    noun: &str,
    parts: impl Iterator<Item = (&'a str, u64)>,
) -> io::Result<()> {
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() {
        return Ok(());
    }
    let sum = parts.iter().map(|(_, part)| part).sum();
    let parts = parts
        .iter()
        .map(|(label, part)| format!("{} {label}", number(*part)));
    let parts: Vec<_> = parts.collect();
    write!(out, "{title}{}: {}", count(sum, noun), parts.join(", "))
}

fn top_flows(
    snapshot: &mut Snapshot,
    names: Option<&NameTable>,
    total: Counters,
    top: usize,
) -> Grid {
    snapshot.sort_by_bytes();
    let shape = &snapshot.shape;
    let mut rows = Rows::of_flows(shape, names, snapshot.by_bytes().take(top));
    for sum in &snapshot.overflow {
        let value = |label: &Label| labels::overflow_value(shape, sum.key, *label);
        let values = rows.labels.iter().map(value).collect();
        rows.push(values, sum.counters);
    }
    let all = snapshot.occupancy.flows + snapshot.overflow.len();
    rows.keep_largest(top);
    Grid::new("Top flows", rows, all, total)
}

/// The addresses on one side. Which flows the packets beyond the limit belong to is unknown, so
/// these are one row.
fn top_ends(
    snapshot: &mut Snapshot,
    names: Option<&NameTable>,
    side: Side,
    total: Counters,
    top: usize,
) -> Grid {
    let (title, label, class_label) = match side {
        Side::Source => ("Top sources", Label::From, Label::FromType),
        Side::Destination => ("Top destinations", Label::To, Label::ToType),
    };
    let has_class = snapshot.shape.labels.contains(class_label);
    let (ends, mut all) = ends::top(snapshot, side, has_class, top);
    let name_label = names.and(label.of_name());
    let class_label = has_class.then_some(class_label);
    let mut rows = Rows::new([Some(label), name_label, class_label].into_iter().flatten());
    for (end, counters) in ends {
        rows.push(end_values(&snapshot.shape, names, end, has_class), counters);
    }
    let overflow = overflow(snapshot);
    all += usize::from(overflow.packets > 0);
    rows.push_other(overflow);
    rows.keep_largest(top);
    Grid::new(title, rows, all, total)
}

fn end_values(shape: &Shape, names: Option<&NameTable>, end: End, has_class: bool) -> Vec<String> {
    let End {
        address,
        prefix,
        class,
    } = end;
    let mut shown = String::new();
    labels::push_address(&mut shown, address, prefix);
    let name = names.map(|names| labels::name_of(names, address, prefix).unwrap_or_default());
    let class = has_class.then(|| shape.classes.name(class));
    let values = [Some(shown.as_str()), name, class].into_iter().flatten();
    values.map(str::to_owned).collect()
}

/// Sums up all flows that have the same values of the labels. `None` if none of these was chosen.
fn by_values(
    title: &'static str,
    labels: &[Label],
    snapshot: &Snapshot,
    total: Counters,
    top: usize,
) -> Option<Grid> {
    let shape = &snapshot.shape;
    let mut rows = Rows::new(shape.labels.iter().filter(|label| labels.contains(label)));
    if rows.labels.is_empty() {
        return None;
    }
    let no_names = NameTable::default();
    // Sorted, so that equally large rows are in the order of their values.
    let mut sums: BTreeMap<Vec<String>, Counters> = BTreeMap::new();
    for flow in snapshot.merged(|flow| flow.key) {
        let value = |label: &Label| labels::flow_value(shape, &no_names, &flow.key, *label);
        let values = rows.labels.iter().map(value).collect();
        let counters = sums.entry(values).or_default();
        *counters = counters.plus(flow.counters);
    }
    let overflow = overflow(snapshot);
    let all = sums.len() + usize::from(overflow.packets > 0);
    for (values, counters) in sums {
        rows.push(values, counters);
    }
    rows.push_other(overflow);
    rows.keep_largest(top);
    Some(Grid::new(title, rows, all, total))
}

/// Sums up the packets whose flow had no slot.
fn overflow(snapshot: &Snapshot) -> Counters {
    let overflow = snapshot.overflow.iter().map(|sum| sum.counters);
    overflow.fold(Counters::default(), Counters::plus)
}

fn by_type(snapshot: &Snapshot, total: Counters, top: usize) -> Grid {
    let name = |class| snapshot.shape.classes.name(class).to_owned();
    let values = |key: Option<TrafficKey>| match key {
        Some(key) => vec![name(key.from_class), name(key.to_class)],
        None => vec![OTHER.to_owned(); 2],
    };
    let labels = [Label::FromType, Label::ToType];
    sums("By type", snapshot, labels, values, total, top)
}

fn by_protocol(snapshot: &Snapshot, total: Counters, top: usize) -> Grid {
    let values = |key: Option<TrafficKey>| {
        let name = key.map_or(OTHER, |key| ProtocolName::of(key.protocol));
        vec![name.to_owned()]
    };
    sums(
        "By protocol",
        snapshot,
        [Label::Protocol],
        values,
        total,
        top,
    )
}

/// Sums up all traffic that has the same `values`.
fn sums(
    title: &'static str,
    snapshot: &Snapshot,
    labels: impl IntoIterator<Item = Label>,
    values: impl Fn(Option<TrafficKey>) -> Vec<String>,
    total: Counters,
    top: usize,
) -> Grid {
    // Sorted, so that equally large rows are in the order of their values.
    let mut sums: BTreeMap<Vec<String>, Counters> = BTreeMap::new();
    for sum in &snapshot.traffic {
        let counters = sums.entry(values(sum.key)).or_default();
        *counters = counters.plus(sum.counters);
    }
    let all = sums.len();
    let mut rows = Rows::new(labels);
    for (values, counters) in sums {
        rows.push(values, counters);
    }
    rows.keep_largest(top);
    Grid::new(title, rows, all, total)
}
