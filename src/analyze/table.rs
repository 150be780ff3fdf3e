//! Tables for people: who talks to whom, and how much.

mod ends;
mod grid;
mod look;

use std::collections::HashMap;
use std::io::{self, Write};

use crate::aggregator::FrameCounts;
use crate::flow::{Counters, Label, OTHER, ProtocolName, Shape, Snapshot, TrafficKey};
use crate::metrics::units::{self, bits_per_second, bytes, count, duration, share};
use crate::metrics::{labels, time::rfc3339};
use crate::wire::{Skipped, Truncated};
use ends::{End, Side};
use grid::{Column, Grid};
pub(super) use look::Look;

/// Writes a summary, and tables of `top` rows at most.
pub(super) fn write(
    out: &mut impl Write,
    mut snapshot: Snapshot,
    frames: &FrameCounts,
    top: usize,
    look: Look,
) -> io::Result<()> {
    let traffic = snapshot.traffic.iter().map(|sum| sum.counters);
    let total = traffic.fold(Counters::default(), Counters::plus);
    write_summary(out, &snapshot, frames, total)?;
    if total.packets == 0 {
        return Ok(());
    }
    let labels = snapshot.shape.labels;
    top_flows(&mut snapshot, total, top).write(out, look)?;
    if labels.contains(Label::From) {
        top_ends(&mut snapshot, Side::Source, total, top).write(out, look)?;
    }
    if labels.contains(Label::To) {
        top_ends(&mut snapshot, Side::Destination, total, top).write(out, look)?;
    }
    by_type(&snapshot, total, top).write(out, look)?;
    by_protocol(&snapshot, total, top).write(out, look)
}

fn write_summary(
    out: &mut impl Write,
    snapshot: &Snapshot,
    frames: &FrameCounts,
    total: Counters,
) -> io::Result<()> {
    if let (Some(first), Some(last)) = (frames.oldest, frames.newest) {
        let [first, last] = [first, last]
            .map(|at| rfc3339(at, humantime::format_rfc3339_seconds).replace('T', " "));
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
    let truncated = Truncated::ALL.map(|cause| (cause.label(), frames.truncated(cause)));
    write_parts(out, "\nCut      ", "packet", &truncated)?;
    let skipped = Skipped::ALL.map(|reason| (reason.label(), frames.skipped(reason)));
    write_parts(out, "\nSkipped  ", "frame", &skipped)?;
    let occupancy = &snapshot.occupancy;
    write!(out, "\nFlows    {}", units::number(occupancy.flows as u64))?;
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
    writeln!(out)
}

/// A sum and what it is made of, if there is anything.
fn write_parts(
    out: &mut impl Write,
    title: &str,
    noun: &str,
    parts: &[(&str, u64)],
) -> io::Result<()> {
    let sum = parts.iter().map(|(_, number)| number).sum();
    if sum == 0 {
        return Ok(());
    }
    let parts: Vec<_> = parts
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(label, number)| format!("{} {label}", units::number(*number)))
        .collect();
    write!(out, "{title}{}: {}", count(sum, noun), parts.join(", "))
}

fn top_flows(snapshot: &mut Snapshot, total: Counters, top: usize) -> Grid {
    snapshot.sort_by_bytes();
    let shape = &snapshot.shape;
    let flows = snapshot.by_bytes().take(top).map(|flow| {
        let cells = shape.labels.iter().map(|label| {
            let mut value = String::new();
            labels::push_flow_value(&mut value, shape, &flow.key, label);
            value
        });
        (flow.counters, cells.collect())
    });
    let overflow = snapshot.overflow.iter().map(|sum| {
        let cells = shape.labels.iter().map(|label| {
            let mut value = String::new();
            labels::push_overflow_value(&mut value, shape, sum.key, label);
            value
        });
        (sum.counters, cells.collect())
    });
    let mut rows: Vec<(Counters, Vec<String>)> = flows.chain(overflow).collect();
    // Equal flows stay in the order of the exposition.
    rows.sort_by_key(|(counters, _)| counters.rank());
    let all = snapshot.occupancy.flows + snapshot.overflow.len();
    let columns = shape.labels.iter().map(Column::of_label).collect();
    grid("Top flows", columns, rows, all, total, top)
}

fn top_ends(snapshot: &mut Snapshot, side: Side, total: Counters, top: usize) -> Grid {
    let (title, label, class_label) = match side {
        Side::Source => ("Top sources", Label::From, Label::FromType),
        Side::Destination => ("Top destinations", Label::To, Label::ToType),
    };
    let has_class = snapshot.shape.labels.contains(class_label);
    let (ends, mut all) = ends::top(snapshot, side, has_class, top);
    let shape = &snapshot.shape;
    let mut rows: Vec<_> = ends
        .into_iter()
        .map(|(end, counters)| (counters, end_cells(shape, end, has_class)))
        .collect();
    let overflow = snapshot.overflow.iter().map(|sum| sum.counters);
    let overflow = overflow.fold(Counters::default(), Counters::plus);
    if overflow.packets > 0 {
        all += 1;
        rows.push((overflow, vec![OTHER.to_owned(); 1 + usize::from(has_class)]));
        rows.sort_by_key(|(counters, _)| counters.rank());
    }
    let mut columns = vec![Column::of_label(label)];
    if has_class {
        columns.push(Column::of_label(class_label));
    }
    grid(title, columns, rows, all, total, top)
}

fn end_cells(shape: &Shape, end: End, has_class: bool) -> Vec<String> {
    let mut address = String::new();
    labels::push_shown(&mut address, end.address, end.prefix);
    let mut cells = vec![address];
    if has_class {
        cells.push(shape.classes.name(end.class).to_owned());
    }
    cells
}

fn by_type(snapshot: &Snapshot, total: Counters, top: usize) -> Grid {
    let name = |class| snapshot.shape.classes.name(class).to_owned();
    let (rows, all) = sums(snapshot, |key| match key {
        Some(key) => vec![name(key.from_class), name(key.to_class)],
        None => vec![OTHER.to_owned(); 2],
    });
    let columns = [Label::FromType, Label::ToType]
        .map(Column::of_label)
        .into();
    grid("By type", columns, rows, all, total, top)
}

fn by_protocol(snapshot: &Snapshot, total: Counters, top: usize) -> Grid {
    let (rows, all) = sums(snapshot, |key| {
        let name = key.map_or(OTHER, |key| ProtocolName::of(key.protocol));
        vec![name.to_owned()]
    });
    let columns = vec![Column::of_label(Label::Protocol)];
    grid("By protocol", columns, rows, all, total, top)
}

type Row = (Counters, Vec<String>);

/// The traffic by something that it has in common, the most first; and how many there are.
fn sums(
    snapshot: &Snapshot,
    common: impl Fn(Option<TrafficKey>) -> Vec<String>,
) -> (Vec<Row>, usize) {
    let mut sums: HashMap<Vec<String>, Counters> = HashMap::new();
    for sum in &snapshot.traffic {
        let counters = sums.entry(common(sum.key)).or_default();
        *counters = counters.plus(sum.counters);
    }
    let mut rows: Vec<Row> = sums
        .into_iter()
        .map(|(cells, counters)| (counters, cells))
        .collect();
    rows.sort_by(|(left, left_cells), (right, right_cells)| {
        (left.rank(), left_cells).cmp(&(right.rank(), right_cells))
    });
    let all = rows.len();
    (rows, all)
}

fn grid(
    title: &'static str,
    mut columns: Vec<Column>,
    mut rows: Vec<Row>,
    all: usize,
    total: Counters,
    top: usize,
) -> Grid {
    rows.truncate(top);
    columns.extend(Column::NUMBERS);
    let rows = rows.into_iter().map(|(counters, mut cells)| {
        cells.push(bytes(counters.bytes));
        cells.push(share(counters.bytes, total.bytes));
        cells.push(units::number(counters.packets));
        cells
    });
    Grid {
        title,
        columns,
        rows: rows.collect(),
        all,
    }
}
