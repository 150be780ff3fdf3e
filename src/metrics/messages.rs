//! The series of a family as protobuf messages.

#![expect(
    clippy::inline_always,
    reason = "called for each label of each series, with a writer for each format: the compiler would \
              inline none of them"
)]

use std::io::{self, Write};

use super::catalog::Family;
use super::protobuf::{self, VALUE_HEADER, fixed_varint, key};
use super::series::{LabelValues, LabelWords, Series, Sink, ValueWriter};
use super::text::{Line, Text};
use super::wall_clock::WallClock;
use super::word::{BLOCK, EncodedLabel, Word};
use crate::flow::{Counters, WHOLE};
use crate::wire::Ip;

/// The labels of series as they are in messages.
pub(super) struct MessageLabels(Vec<MessageLabel>);

struct MessageLabel {
    encoded: EncodedLabel,
    /// The label with the last address or number.
    last: LastLabel,
}

impl MessageLabels {
    pub(super) fn new(labels: &[LabelWords<'_>]) -> Self {
        // One buffer for all words, of which there may be 256.
        let mut whole = Vec::new();
        let encoded = labels.iter().map(|LabelWords { name, words }| {
            let words = words.iter().map(|word| {
                whole.clear();
                protobuf::push_label(&mut whole, name, word);
                Word::new(&whole)
            });
            let encoded = EncodedLabel {
                words: words.collect(),
                name: name_field(name),
            };
            MessageLabel {
                encoded,
                last: LastLabel::default(),
            }
        });
        Self(encoded.collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &EncodedLabel> {
        self.0.iter().map(|label| &label.encoded)
    }
}

/// Returns the field of a label that has its name.
fn name_field(name: &str) -> Word {
    let mut field = Vec::new();
    protobuf::push_field(&mut field, key::LABEL_NAME, name.as_bytes());
    Word::new(field)
}

/// Writes a message for each series.
pub(super) struct Messages<'a, W> {
    records: Text<'a, W>,
    labels: &'a mut MessageLabels,
    clock: Option<&'a WallClock>,
    /// What each metric begins with, before the number that is its value.
    header: [u8; METRIC_HEADER + VALUE_HEADER],
    count: fn(&Counters) -> u64,
}

/// The size of a metric's key and length. The length always takes two bytes: nearly all metrics
/// need both, and no line is too long for them.
pub(super) const METRIC_HEADER: usize = 3;

impl<'a, W: Write> Messages<'a, W> {
    /// Writes the beginning of a family whose metrics take `size` bytes.
    pub(super) fn begin(
        out: &'a mut W,
        family: Family,
        labels: &'a mut MessageLabels,
        clock: Option<&'a WallClock>,
        count: fn(&Counters) -> u64,
        size: u64,
    ) -> io::Result<Self> {
        let (mut length, mut header) = (Vec::new(), Vec::new());
        protobuf::push_family(&mut header, family.name, family.help, family.kind);
        protobuf::push_varint(&mut length, header.len() as u64 + size);
        out.write_all(&length)?;
        out.write_all(&header)?;
        let [field, value_size, number] = protobuf::value_header(family.kind, clock.is_some());
        Ok(Self {
            records: Text::new(out),
            labels,
            clock,
            header: [key::FAMILY_METRIC, 0, 0, field, value_size, number],
            count,
        })
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.records.flush()
    }
}

impl<W: Write> Sink for Messages<'_, W> {
    fn push_all<S: Series>(
        &mut self,
        series: &[S],
        values: &impl LabelValues<S>,
    ) -> io::Result<()> {
        for series in series {
            let value = (self.count)(series.counters()) as f64;
            self.records.push_record(|line| {
                line.push_bytes(&self.header);
                line.push_bytes(&value.to_le_bytes());
                if let Some(clock) = self.clock {
                    line.push_bytes(&protobuf::start(clock.of(series.start())));
                }
                for (index, label) in self.labels.0.iter_mut().enumerate() {
                    values.write(series, index, MessageValue { line, label });
                }
                let length = line.len() - METRIC_HEADER;
                line.set(1, fixed_varint::<2>(length as u64));
            })?;
        }
        Ok(())
    }
}

/// The value of a label in a message, where nothing is escaped.
struct MessageValue<'a, 'b> {
    line: &'a mut Line<'b>,
    label: &'a mut MessageLabel,
}

/// A label as it was written for a series before. Series are sorted, so neighbours often have an
/// address in common, and nearly always a port. Copying the label is faster than encoding it again.
struct LastLabel {
    /// An address with its prefix length, or a number as an address. No label has both.
    value: Option<(Ip, u8)>,
    /// Whether two series in a row had this value. Only then it is worth keeping the label.
    is_repeated: bool,
    /// The whole label, and its size; 0 if it is not kept.
    block: [u8; LAST_LABEL],
    size: usize,
}

/// Enough for an IPv6 address with a prefix length.
const LAST_LABEL: usize = 64;

impl Default for LastLabel {
    fn default() -> Self {
        Self {
            value: None,
            is_repeated: false,
            block: [0; LAST_LABEL],
            size: 0,
        }
    }
}

impl LastLabel {
    /// Writes the label if it has this value and was kept. Returns whether it did. A label that was not
    /// kept has the size 0, so writing it appends nothing.
    #[inline(always)]
    fn write(&mut self, line: &mut Line<'_>, value: (Ip, u8)) -> bool {
        self.is_repeated = self.value == Some(value);
        if !self.is_repeated {
            self.value = Some(value);
            self.size = 0;
            return false;
        }
        match self.block.first_chunk::<BLOCK>() {
            Some(block) if self.size <= BLOCK => line.push_block(block, self.size),
            _ => line.push_block(&self.block, self.size),
        }
        self.size > 0
    }

    /// Keeps the label that begins at this position and ends with the line, if it is repeated.
    #[inline(always)]
    fn keep(&mut self, line: &Line<'_>, begin: usize) {
        let size = line.len() - begin;
        if self.is_repeated
            && let (Some(block), ..=LAST_LABEL) = (line.block(begin), size)
        {
            self.block = *block;
            self.size = size;
        }
    }
}

impl ValueWriter for MessageValue<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn word(self, position: usize) {
        self.line.push(&self.label.encoded.words[position]);
    }

    #[inline(always)]
    fn address(self, address: Ip, prefix: u8) {
        let Self { line, label } = self;
        if !label.last.write(line, (address, prefix)) {
            let begin = begin_label(line);
            line.push_address(address, prefix);
            end_label(line, begin, &label.encoded);
            label.last.keep(line, begin);
        }
    }

    #[inline(always)]
    fn number(self, number: u16) {
        let Self { line, label } = self;
        if !label.last.write(line, (Ip::V4(number.into()), WHOLE)) {
            let begin = begin_label(line);
            line.push_number(number.into());
            end_label(line, begin, &label.encoded);
            label.last.keep(line, begin);
        }
    }

    #[inline(always)]
    fn text(self, text: &str) {
        let Self { line, label } = self;
        line.copied(|line| push_text(line, &label.encoded, text));
    }
}

#[inline(never)]
fn push_text(line: &mut Line<'_>, label: &EncodedLabel, text: &str) {
    let begin = begin_label(line);
    line.push_slice(text.as_bytes());
    end_label(line, begin, label);
}

/// Begins a label, whose value comes next. Returns the position of the label.
#[inline(always)]
fn begin_label(line: &mut Line<'_>) -> usize {
    let begin = line.len();
    line.push_bytes(&short_header(0, 0));
    begin
}

/// Sets the lengths of a label and of its value, with which the line ends, and appends the name. It
/// comes last because then both lengths are together, and are set at once.
#[inline(always)]
fn end_label(line: &mut Line<'_>, begin: usize, label: &EncodedLabel) {
    let value = line.len() - begin - SHORT_HEADER;
    let name = label.name.len();
    if is_short(value, name) {
        line.set(begin, short_header(value, name));
    } else {
        line.copied(|line| line.replace(begin, SHORT_HEADER, &long_header(value, name)));
    }
    line.push(&label.name);
}

/// The sizes of what comes before the value of a label: the keys of the label and of its value, each
/// with a length.
const SHORT_HEADER: usize = 4;
const LONG_HEADER: usize = 6;

/// Returns the size of a label whose value and field of the name have these sizes.
#[inline]
pub(super) fn label_size(value: usize, name: usize) -> usize {
    let header = if is_short(value, name) {
        SHORT_HEADER
    } else {
        LONG_HEADER
    };
    header + value + name
}

/// Returns whether the length of a label takes one byte. That of its value then does, too.
#[inline]
fn is_short(value: usize, name: usize) -> bool {
    2 + value + name < 0x80
}

/// Returns what comes before the value of a label.
#[inline]
fn short_header(value: usize, name: usize) -> [u8; SHORT_HEADER] {
    let [label] = fixed_varint((2 + value + name) as u64);
    let [value] = fixed_varint(value as u64);
    [key::METRIC_LABEL, label, key::LABEL_VALUE, value]
}

/// Returns the same with lengths of two bytes, which are enough for any line.
#[cold]
fn long_header(value: usize, name: usize) -> [u8; LONG_HEADER] {
    let [label_low, label_high] = fixed_varint((3 + value + name) as u64);
    let [value_low, value_high] = fixed_varint(value as u64);
    let [label, value] = [key::METRIC_LABEL, key::LABEL_VALUE];
    [label, label_low, label_high, value, value_low, value_high]
}
