//! What families with many series consist of, whatever the format.

use std::io;
use std::net::IpAddr;

use super::word::Word;
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
