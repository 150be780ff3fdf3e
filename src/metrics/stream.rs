//! Families with many series, which are written as a stream in any format.

use std::io::{self, Write};
use std::net::IpAddr;

use super::catalog::{Family, Kind};
use super::dialect::Dialect;
use super::format::{Encoding, Format};
use super::messages::{Messages, Sizes};
use super::text::Word;
use super::text_series::TextSeries;
use super::wall_clock::WallClock;
use crate::flow::{Address, Counters, Flow, HostTraffic, Start, Sum};

/// The series of one or more families. All have the same labels, and each has counters.
pub(super) trait Source {
    /// Returns the names of the labels, in the order in which they are written.
    fn labels(&self) -> Vec<&'static str>;

    /// Passes all series to a sink, in the order in which they are written.
    fn each(&self, sink: &mut impl Sink) -> io::Result<()>;
}

/// A series without its labels.
pub(super) trait Series: Sync {
    fn counters(&self) -> &Counters;

    /// Returns when the counters were 0.
    fn start(&self) -> Start;
}

/// The label values of series.
pub(super) trait LabelValues<S>: Sync {
    /// Writes the value of the label at this position.
    fn write(&self, series: &S, label: usize, value: &mut impl ValueWriter);
}

/// Takes the series of a family, and writes or measures them.
pub(super) trait Sink {
    fn push_all<S: Series>(&mut self, series: &[S], labels: &impl LabelValues<S>)
    -> io::Result<()>;
}

/// Takes the parts of a label value.
pub(super) trait ValueWriter {
    fn push(&mut self, word: &Word);

    /// Appends an address; IPv6 as RFC 5952 asks for.
    fn push_address(&mut self, address: IpAddr);

    /// Appends a decimal number.
    fn push_number(&mut self, number: u64);

    fn push_slash(&mut self);

    /// Appends a text with any characters, and escapes what the format requires.
    fn push_text(&mut self, text: &str);
}

/// A family, and which of the counters it shows.
pub(super) type Column = (Family, fn(&Counters) -> u64);

/// Writes families of the same series. Either all are counters, or none is.
pub(super) fn write(
    out: &mut impl Write,
    encoding: Encoding<'_>,
    source: &impl Source,
    columns: &[Column],
) -> io::Result<()> {
    let labels = source.labels();
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
            let mut sizes = Sizes::new(&labels, clock);
            source.each(&mut sizes)?;
            for &(family, count) in columns {
                let mut messages =
                    Messages::begin(out, family, &labels, clock, count, sizes.total())?;
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
    let labels = source.labels();
    for &(family, count) in columns {
        let mut text = TextSeries::begin(out, dialect, family, &labels, clock, count)?;
        text.threads = threads;
        source.each(&mut text)?;
    }
    Ok(())
}

impl<A: Address + Sync> Series for Flow<A> {
    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn start(&self) -> Start {
        self.start
    }
}

impl<K: Sync> Series for Sum<K> {
    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn start(&self) -> Start {
        self.start
    }
}

impl Series for HostTraffic {
    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn start(&self) -> Start {
        self.start
    }
}
