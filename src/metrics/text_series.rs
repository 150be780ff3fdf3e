//! The series of a family as lines of text.

#![expect(
    clippy::inline_always,
    reason = "called for each label of each series, with a writer for each format: the compiler would \
              inline none of them"
)]

use std::io::{self, Write};

use super::catalog::Family;
use super::dialect::{Dialect, without_total};
use super::lines;
use super::series::{LabelValues, LabelWords, Series, Sink, ValueWriter};
use super::text::{Line, Text};
use super::wall_clock::WallClock;
use super::word::{EncodedLabel, Word};
use crate::flow::Counters;
use crate::wire::Ip;

/// Writes a line for each series, and with a clock another one with its start.
pub(super) struct TextSeries<'a, W> {
    out: &'a mut W,
    /// The name of the samples.
    name: Word,
    labels: &'a TextLabels,
    started: Option<(Word, &'a WallClock)>,
    count: fn(&Counters) -> u64,
    /// How many threads render lines.
    pub(super) threads: usize,
}

impl<'a, W: Write> TextSeries<'a, W> {
    /// Writes the header of a family.
    pub(super) fn begin(
        out: &'a mut W,
        dialect: Dialect,
        family: Family,
        labels: &'a TextLabels,
        clock: Option<&'a WallClock>,
        count: fn(&Counters) -> u64,
    ) -> io::Result<Self> {
        let mut header = String::new();
        dialect.push_header(&mut header, family);
        out.write_all(header.as_bytes())?;
        let started = clock.map(|clock| {
            let name = format!("{}_created", without_total(family.name));
            (Word::new(name), clock)
        });
        Ok(Self {
            out,
            name: Word::new(family.name),
            labels,
            started,
            count,
            threads: 1,
        })
    }
}

impl<W: Write> Sink for TextSeries<'_, W> {
    fn push_all<S: Series>(
        &mut self,
        series: &[S],
        values: &impl LabelValues<S>,
    ) -> io::Result<()> {
        let Self {
            name,
            labels,
            count,
            ..
        } = self;
        let fill = |line: &mut Line<'_>, series: &S| {
            line.push(name);
            labels.write(line, series, values);
            line.push_number(count(series.counters()));
        };
        let Some((created, clock)) = &self.started else {
            return lines::write(self.out, self.threads, series, fill);
        };
        let mut text = Text::new(self.out);
        for series in series {
            text.push(|line| fill(line, series))?;
            let start = clock.of(series.start()).to_string();
            text.push(|line| {
                line.push(created);
                labels.write(line, series, values);
                line.push_slice(start.as_bytes());
            })?;
        }
        text.flush()
    }
}

/// The labels of series as they are in lines. Each begins behind the value of the one before it.
pub(super) struct TextLabels(Vec<EncodedLabel>);

impl TextLabels {
    pub(super) fn new(labels: &[LabelWords<'_>]) -> Self {
        let mut between = "{";
        let encoded = labels.iter().map(|label| {
            let before = format!("{between}{}=\"", label.name);
            between = "\",";
            // One buffer for all words, of which there may be 256.
            let mut whole = before.clone();
            let words = label.words.iter().map(|word| {
                whole.truncate(before.len());
                whole.push_str(word);
                Word::new(&whole)
            });
            EncodedLabel {
                name: Word::new(&before),
                words: words.collect(),
            }
        });
        Self(encoded.collect())
    }

    /// Writes the labels of a series in braces, and the space behind them.
    #[inline]
    fn write<S>(&self, line: &mut Line<'_>, series: &S, values: &impl LabelValues<S>) {
        for (index, label) in self.0.iter().enumerate() {
            values.write(series, index, TextValue { line, label });
        }
        line.push_bytes(b"\"} ");
    }
}

/// The value of a label in a line.
struct TextValue<'a, 'b> {
    line: &'a mut Line<'b>,
    label: &'a EncodedLabel,
}

impl ValueWriter for TextValue<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn word(self, position: usize) {
        self.line.push(&self.label.words[position]);
    }

    #[inline(always)]
    fn address(self, address: Ip, prefix: u8) {
        self.line.push(&self.label.name);
        self.line.push_address(address, prefix);
    }

    #[inline(always)]
    fn number(self, number: u16) {
        self.line.push(&self.label.name);
        self.line.push_number(number.into());
    }

    fn text(self, text: &str) {
        self.line.push(&self.label.name);
        self.line.push_escaped(text);
    }
}
