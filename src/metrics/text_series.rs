//! The series of a family as lines of text.

use std::io::{self, Write};

use super::catalog::Family;
use super::dialect::{Dialect, without_total};
use super::lines;
use super::series::{LabelValues, Series, Sink, ValueWriter};
use super::text::{Line, Text};
use super::wall_clock::WallClock;
use super::word::Word;
use crate::flow::Counters;

/// Writes a line for each series, and with a clock another one with its start.
pub(super) struct TextSeries<'a, W> {
    out: &'a mut W,
    template: Template,
    started: Option<(Template, &'a WallClock)>,
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
        labels: &[&str],
        clock: Option<&'a WallClock>,
        count: fn(&Counters) -> u64,
    ) -> io::Result<Self> {
        let mut header = String::new();
        dialect.push_header(&mut header, family);
        out.write_all(header.as_bytes())?;
        let started = clock.map(|clock| {
            let name = format!("{}_created", without_total(family.name));
            (Template::new(&name, labels), clock)
        });
        Ok(Self {
            out,
            template: Template::new(family.name, labels),
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
        labels: &impl LabelValues<S>,
    ) -> io::Result<()> {
        let Self {
            template, count, ..
        } = self;
        let fill = |line: &mut Line<'_>, series: &S| {
            template.fill(line, series, labels);
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
                created.fill(line, series, labels);
                line.push_str(&start);
            })?;
        }
        text.flush()
    }
}

/// The constant parts of a family's lines.
struct Template {
    /// The text before each label's value. The first one begins with the name of the samples.
    before: Vec<Word>,
}

impl Template {
    fn new(name: &str, labels: &[&str]) -> Self {
        let mut before = format!("{name}{{");
        let words = labels.iter().map(|label| {
            let word = Word::new(format!("{before}{label}=\""));
            before = "\",".into();
            word
        });
        Self {
            before: words.collect(),
        }
    }

    /// Writes everything but the value of a sample.
    #[inline]
    fn fill<S>(&self, line: &mut Line<'_>, series: &S, labels: &impl LabelValues<S>) {
        for (index, before) in self.before.iter().enumerate() {
            line.push(before);
            labels.write(series, index, line);
        }
        line.push_bytes(b"\"} ");
    }
}
