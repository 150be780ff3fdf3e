//! The series of a family as lines of text.

use std::io::{self, Write};

use super::catalog::Family;
use super::dialect::{Dialect, without_total};
use super::stream::{LabelValues, Sink, ValueWriter};
use super::text::{Line, Text, Word};
use super::wall_clock::WallClock;
use crate::flow::{Counters, Start};

/// Writes a line for each series, and with a clock another one with its start.
pub(super) struct Lines<'a, W> {
    text: Text<'a, W>,
    template: Template,
    started: Option<(Template, &'a WallClock)>,
    count: fn(&Counters) -> u64,
}

impl<'a, W: Write> Lines<'a, W> {
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
            text: Text::new(out),
            template: Template::new(family.name, labels),
            started,
            count,
        })
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.text.flush()
    }
}

impl<W: Write> Sink for Lines<'_, W> {
    #[inline]
    fn push(
        &mut self,
        labels: &impl LabelValues,
        counters: &Counters,
        start: Start,
    ) -> io::Result<()> {
        let count = (self.count)(counters);
        self.text.push(|line| {
            self.template.fill(line, labels);
            line.push_number(count);
        })?;
        let Some((template, clock)) = &self.started else {
            return Ok(());
        };
        let start = clock.of(start).to_string();
        self.text.push(|line| {
            template.fill(line, labels);
            line.push_str(&start);
        })
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
    fn fill(&self, line: &mut Line<'_>, labels: &impl LabelValues) {
        for (index, before) in self.before.iter().enumerate() {
            line.push(before);
            labels.write(index, line);
        }
        line.push_bytes(b"\"} ");
    }
}
