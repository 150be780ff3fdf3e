//! What families with many series consist of, whatever the format.

use std::io;

use crate::flow::{Address, Counters, Flow, HostTraffic, Start, Sum};
use crate::wire::Ip;

/// The series of one or more families. All have the same labels, and each has counters.
pub(super) trait Source {
    /// Returns the labels in the order in which they are written.
    fn labels(&self) -> Vec<LabelWords<'_>>;

    /// Passes all series to a sink, in the order in which they are written.
    fn each(&self, sink: &mut impl Sink) -> io::Result<()>;
}

/// The name of a label, and the words among its values.
///
/// A word is a value of many series, so each format encodes it once. Words are not escaped.
pub(super) struct LabelWords<'a> {
    pub(super) name: &'static str,
    pub(super) words: Vec<&'a str>,
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
    fn write<W: ValueWriter>(&self, series: &S, label: usize, out: W) -> W::Output;

    /// Returns the sum of what `out` returns for the values of a label.
    fn sum<W>(&self, series: &[S], label: usize, out: W) -> usize
    where
        W: ValueWriter<Output = usize> + Copy,
    {
        let outputs = series.iter().map(|series| self.write(series, label, out));
        outputs.sum()
    }
}

/// Takes the series of a family, and writes or measures them.
pub(super) trait Sink {
    fn push_all<S: Series>(&mut self, series: &[S], labels: &impl LabelValues<S>)
    -> io::Result<()>;
}

/// Takes the value of a label.
pub(super) trait ValueWriter {
    /// What it returns: nothing if it writes the value, its size if it measures it.
    type Output;

    /// Writes the word at this position in [`LabelWords::words`].
    fn word(self, position: usize) -> Self::Output;

    /// Writes an address with its prefix length, unless that is [`WHOLE`](crate::flow::WHOLE). IPv6
    /// as RFC 5952 asks for.
    fn address(self, address: Ip, prefix: u8) -> Self::Output;

    /// Writes a decimal number.
    fn number(self, number: u16) -> Self::Output;

    /// Writes a text with any characters, and escapes what the format requires.
    fn text(self, text: &str) -> Self::Output;
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
