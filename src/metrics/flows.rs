//! The flow and traffic families: a streaming encoder of our own, because there may be a million
//! samples.

use std::io::{self, Write};

use super::catalog::{Family, OBSERVED_BYTES, OBSERVED_PACKETS, TRAFFIC_BYTES, TRAFFIC_PACKETS};
use super::{Dialect, labels};
use crate::flow::{Address, Counters, Flow, OverflowKey, Shape, Snapshot, Sum, TrafficKey};

/// Text is handed on in pieces of about this size.
const PIECE: usize = 64 * 1024;
/// No line is longer.
const LONGEST_LINE: usize = 1024;

/// Writes all four families, each sorted by its labels in their order: flows of IPv4 before the
/// others, and what is counted as `other` last.
pub(super) fn write(
    out: &mut impl Write,
    dialect: Dialect,
    mut snapshot: Snapshot,
) -> io::Result<()> {
    snapshot.sort_by_key();
    // Without a key comes last.
    snapshot
        .overflow
        .sort_unstable_by_key(|sum| (sum.key.is_none(), sum.key));
    snapshot
        .traffic
        .sort_unstable_by_key(|sum| (sum.key.is_none(), sum.key));

    write_flows(out, dialect, OBSERVED_BYTES, &snapshot, |counters| {
        counters.bytes
    })?;
    write_flows(out, dialect, OBSERVED_PACKETS, &snapshot, |counters| {
        counters.packets
    })?;
    write_traffic(out, dialect, TRAFFIC_BYTES, &snapshot, |counters| {
        counters.bytes
    })?;
    write_traffic(out, dialect, TRAFFIC_PACKETS, &snapshot, |counters| {
        counters.packets
    })
}

type Value = fn(&Counters) -> u64;

fn write_flows(
    out: &mut impl Write,
    dialect: Dialect,
    family: Family,
    snapshot: &Snapshot,
    value: Value,
) -> io::Result<()> {
    let mut text = Text::new(out);
    text.push_header(dialect, family);
    for flow in &snapshot.narrow {
        text.push_flow(family, &snapshot.shape, flow, value)?;
    }
    for flow in &snapshot.wide {
        text.push_flow(family, &snapshot.shape, flow, value)?;
    }
    for sum in &snapshot.overflow {
        text.push_overflow(family, &snapshot.shape, sum, value)?;
    }
    text.finish()
}

fn write_traffic(
    out: &mut impl Write,
    dialect: Dialect,
    family: Family,
    snapshot: &Snapshot,
    value: Value,
) -> io::Result<()> {
    let mut text = Text::new(out);
    text.push_header(dialect, family);
    for sum in &snapshot.traffic {
        text.push_traffic(family, &snapshot.shape, sum, value)?;
    }
    text.finish()
}

/// Text on its way out.
struct Text<'a, W> {
    out: &'a mut W,
    text: String,
}

impl<'a, W: Write> Text<'a, W> {
    fn new(out: &'a mut W) -> Self {
        Self {
            out,
            text: String::with_capacity(PIECE + LONGEST_LINE),
        }
    }

    fn push_header(&mut self, dialect: Dialect, family: Family) {
        dialect.push_header(&mut self.text, family);
    }

    fn push_flow<A: Address>(
        &mut self,
        family: Family,
        shape: &Shape,
        flow: &Flow<A>,
        value: Value,
    ) -> io::Result<()> {
        self.text.push_str(family.name);
        labels::push_flow(&mut self.text, shape, &flow.key);
        self.end_sample(value(&flow.counters))
    }

    fn push_overflow(
        &mut self,
        family: Family,
        shape: &Shape,
        sum: &Sum<OverflowKey>,
        value: Value,
    ) -> io::Result<()> {
        self.text.push_str(family.name);
        labels::push_overflow(&mut self.text, shape, sum.key);
        self.end_sample(value(&sum.counters))
    }

    fn push_traffic(
        &mut self,
        family: Family,
        shape: &Shape,
        sum: &Sum<TrafficKey>,
        value: Value,
    ) -> io::Result<()> {
        self.text.push_str(family.name);
        labels::push_traffic(&mut self.text, shape, sum.key);
        self.end_sample(value(&sum.counters))
    }

    fn end_sample(&mut self, value: u64) -> io::Result<()> {
        self.text.push(' ');
        labels::push_number(&mut self.text, value);
        self.text.push('\n');
        if self.text.len() >= PIECE {
            self.out.write_all(self.text.as_bytes())?;
            self.text.clear();
        }
        Ok(())
    }

    fn finish(self) -> io::Result<()> {
        self.out.write_all(self.text.as_bytes())
    }
}
