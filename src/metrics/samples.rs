//! Samples with a time, in OpenMetrics: many of each series, one series behind the other, as the
//! specification wants it.

use std::io::{self, Write};

use super::catalog::Family;
use super::dialect::{Dialect, END};
use super::labels;

/// Text is handed on in pieces of about this size.
const PIECE: usize = 64 * 1024;

/// Takes families, their series and the samples of these, in this order.
pub(crate) struct Samples<'a, W> {
    out: &'a mut W,
    text: String,
    /// Name and labels of the series.
    series: String,
}

impl<'a, W: Write> Samples<'a, W> {
    pub(crate) fn new(out: &'a mut W) -> Self {
        Self {
            out,
            text: String::new(),
            series: String::new(),
        }
    }

    pub(crate) fn family(&mut self, family: Family) {
        Dialect::OpenMetrics.push_header(&mut self.text, family);
    }

    /// Begins a series.
    pub(crate) fn series(&mut self, family: Family, push_labels: impl FnOnce(&mut String)) {
        self.series.clear();
        self.series.push_str(family.name);
        push_labels(&mut self.series);
    }

    /// The value at a time, in seconds since the Unix epoch.
    pub(crate) fn sample(&mut self, value: u64, at: u64) -> io::Result<()> {
        self.text.push_str(&self.series);
        self.text.push(' ');
        labels::push_number(&mut self.text, value);
        self.text.push(' ');
        labels::push_number(&mut self.text, at);
        self.text.push('\n');
        if self.text.len() >= PIECE {
            self.out.write_all(self.text.as_bytes())?;
            self.text.clear();
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.text.push_str(END);
        self.out.write_all(self.text.as_bytes())
    }
}
