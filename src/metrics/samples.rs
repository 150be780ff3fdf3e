//! Samples with timestamps, in OpenMetrics. The specification asks for all samples of a series
//! together, in order of time.

use std::io::{self, Write};

use super::catalog::Family;
use super::dialect::{Dialect, END};
use super::labels;

/// Text is written in chunks of about this many bytes.
const CHUNK: usize = 64 * 1024;

/// Writes families, each with its series, each with its samples.
pub(crate) struct SampleWriter<'a, W> {
    out: &'a mut W,
    text: String,
    /// The name and the labels of the current series, which begin each of its lines.
    series: String,
}

impl<'a, W: Write> SampleWriter<'a, W> {
    pub(crate) fn new(out: &'a mut W) -> Self {
        Self {
            out,
            text: String::new(),
            series: String::new(),
        }
    }

    /// Begins a family.
    pub(crate) fn family(&mut self, family: Family) {
        Dialect::OpenMetrics.push_header(&mut self.text, family);
    }

    /// Begins a series of this family. `push_labels` appends its labels in braces, if any.
    pub(crate) fn series(&mut self, family: Family, push_labels: impl FnOnce(&mut String)) {
        self.series.clear();
        self.series.push_str(family.name);
        push_labels(&mut self.series);
    }

    /// Writes a sample of the current series: its value at a time, in seconds since the Unix epoch.
    pub(crate) fn sample(&mut self, value: u64, at: u64) -> io::Result<()> {
        self.text.push_str(&self.series);
        self.text.push(' ');
        labels::push_number(&mut self.text, value);
        self.text.push(' ');
        labels::push_number(&mut self.text, at);
        self.text.push('\n');
        if self.text.len() >= CHUNK {
            self.out.write_all(self.text.as_bytes())?;
            self.text.clear();
        }
        Ok(())
    }

    /// Writes the last line and what is still buffered.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.text.push_str(END);
        self.out.write_all(self.text.as_bytes())
    }
}
