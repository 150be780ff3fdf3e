//! Families with many series, which are written as a stream in any format.

use std::io::{self, Write};

use super::catalog::{Family, Kind};
use super::dialect::Dialect;
use super::format::{Encoding, Format};
use super::messages::{MessageLabels, Messages};
use super::series::Source;
use super::sizes::Sizes;
use super::text_series::{TextLabels, TextSeries};
use super::wall_clock::WallClock;
use crate::flow::Counters;

/// A family, and which of the counters it shows.
pub(super) type Column = (Family, fn(&Counters) -> u64);

/// Writes families of the same series. Either all are counters, or none is.
pub(super) fn write(
    out: &mut impl Write,
    encoding: Encoding<'_>,
    source: &impl Source,
    columns: &[Column],
) -> io::Result<()> {
    let are_counters = columns
        .iter()
        .all(|(family, _)| family.kind == Kind::Counter);
    let clock = encoding.clock.filter(|_| are_counters);
    match encoding.format {
        Format::Text => write_text(
            out,
            Dialect::Prometheus,
            None,
            encoding.threads,
            source,
            columns,
        ),
        Format::OpenMetrics => write_text(
            out,
            Dialect::OpenMetrics,
            clock,
            encoding.threads,
            source,
            columns,
        ),
        Format::Protobuf => {
            // The length of a family comes before its series. It is the same for all columns but
            // for the name, because a value always takes eight bytes.
            let mut labels = MessageLabels::new(&source.labels());
            let mut sizes = Sizes::new(&labels, clock.is_some());
            source.each(&mut sizes)?;
            let size = sizes.total();
            for &(family, count) in columns {
                let mut messages = Messages::begin(out, family, &mut labels, clock, count, size)?;
                source.each(&mut messages)?;
                messages.finish()?;
            }
            Ok(())
        }
    }
}

fn write_text(
    out: &mut impl Write,
    dialect: Dialect,
    clock: Option<&WallClock>,
    threads: usize,
    source: &impl Source,
    columns: &[Column],
) -> io::Result<()> {
    let labels = TextLabels::new(&source.labels());
    for &(family, count) in columns {
        let mut text = TextSeries::begin(out, dialect, family, &labels, clock, count)?;
        text.threads = threads;
        source.each(&mut text)?;
    }
    Ok(())
}
