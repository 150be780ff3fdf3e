//! The series of a family as protobuf messages.

#![expect(
    clippy::inline_always,
    reason = "called for each label of each series, with a writer for each format: the compiler would \
              inline none of them"
)]

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::catalog::{Family, Kind};
use super::protobuf::{self, key, varint, varint_size};
use super::series::{LabelValues, LabelWords, Series, Sink, ValueWriter};
use super::text::{Line, Text, octet_digits};
use super::wall_clock::WallClock;
use super::word::{EncodedLabel, Word};
use crate::flow::{Counters, WHOLE};
use crate::wire::Ip;

/// The labels of series as they are in messages. In `before`, both lengths are 0.
pub(super) struct MessageLabels(Vec<EncodedLabel>);

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
            EncodedLabel {
                words: words.collect(),
                before: before(name),
            }
        });
        Self(encoded.collect())
    }
}

/// Returns what comes before the value of a label.
fn before(name: &str) -> Word {
    let mut before = vec![key::METRIC_LABEL, 0];
    protobuf::push_field(&mut before, key::LABEL_NAME, name.as_bytes());
    before.extend([key::LABEL_VALUE, 0]);
    Word::new(before)
}

/// Writes a message for each series.
pub(super) struct Messages<'a, W> {
    records: Text<'a, W>,
    labels: &'a MessageLabels,
    clock: Option<&'a WallClock>,
    kind: Kind,
    count: fn(&Counters) -> u64,
}

impl<'a, W: Write> Messages<'a, W> {
    /// Writes the beginning of a family whose metrics take `size` bytes.
    pub(super) fn begin(
        out: &'a mut W,
        family: Family,
        labels: &'a MessageLabels,
        clock: Option<&'a WallClock>,
        count: fn(&Counters) -> u64,
        size: u64,
    ) -> io::Result<Self> {
        let mut header = Vec::new();
        protobuf::push_family(&mut header, family.name, family.help, family.kind);
        out.write_all(&varint(header.len() as u64 + size))?;
        out.write_all(&header)?;
        Ok(Self {
            records: Text::new(out),
            labels,
            clock,
            kind: family.kind,
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
            let start = self.clock.map(|clock| clock.of(series.start()));
            let value = protobuf::value(self.kind, value, start);
            self.records.push_record(|line| {
                line.push_bytes(&[key::FAMILY_METRIC, 0, 0]);
                for (index, label) in self.labels.0.iter().enumerate() {
                    values.write(series, index, MessageValue { line, label });
                }
                line.push_block(&value.block, value.size);
                set_metric_length(line);
            })?;
        }
        Ok(())
    }
}

/// Sets the length of a metric that begins with the line. Two bytes are reserved for it, which is
/// nearly always right.
#[inline]
fn set_metric_length(line: &mut Line<'_>) {
    let length = varint((line.len() - 3) as u64);
    match *length {
        [low, high] => line.set(1, [low, high]),
        _ => line.replace(1, 2, &length),
    }
}

/// The value of a label in a message, where nothing is escaped.
struct MessageValue<'a, 'b> {
    line: &'a mut Line<'b>,
    label: &'a EncodedLabel,
}

impl MessageValue<'_, '_> {
    /// Writes the label and the value that `push` appends.
    #[inline(always)]
    fn write(self, push: impl FnOnce(&mut Line<'_>)) {
        let Self { line, label } = self;
        let begin = line.len();
        line.push(&label.before);
        let value = line.len();
        push(line);
        let lengths = [line.len() - begin - 2, line.len() - value];
        if let [Ok(of_label @ ..0x80), Ok(of_value)] = lengths.map(u8::try_from) {
            line.set(begin + 1, [of_label]);
            line.set(value - 1, [of_value]);
        } else {
            set_long_lengths(line, begin, value);
        }
    }
}

/// Sets the lengths of a label that begins at `begin`, and of its value, which begins at `value`
/// and ends with the line. One byte is reserved for each.
#[cold]
fn set_long_lengths(line: &mut Line<'_>, begin: usize, value: usize) {
    for behind in [value, begin + 2] {
        let length = varint((line.len() - behind) as u64);
        line.replace(behind - 1, 1, &length);
    }
}

impl ValueWriter for MessageValue<'_, '_> {
    #[inline(always)]
    fn word(self, position: usize) {
        self.line.push(&self.label.words[position]);
    }

    #[inline(always)]
    fn address(self, address: Ip, prefix: u8) {
        self.write(|line| line.push_address(address, prefix));
    }

    #[inline(always)]
    fn number(self, number: u16) {
        self.write(|line| line.push_number(number.into()));
    }

    fn text(self, text: &str) {
        self.write(|line| line.push_slice(text.as_bytes()));
    }
}

/// Measures the messages of all series.
pub(super) struct Sizes<'a> {
    labels: &'a MessageLabels,
    clock: Option<&'a WallClock>,
    total: u64,
}

impl<'a> Sizes<'a> {
    pub(super) fn new(labels: &'a MessageLabels, clock: Option<&'a WallClock>) -> Self {
        Self {
            labels,
            clock,
            total: 0,
        }
    }

    /// Returns the size of all messages, with their keys and lengths.
    pub(super) fn total(&self) -> u64 {
        self.total
    }
}

impl Sink for Sizes<'_> {
    fn push_all<S: Series>(
        &mut self,
        series: &[S],
        values: &impl LabelValues<S>,
    ) -> io::Result<()> {
        for series in series {
            let start = self.clock.map(|clock| clock.of(series.start()));
            let mut size = protobuf::value_size(start);
            for (index, label) in self.labels.0.iter().enumerate() {
                let total = &mut size;
                values.write(series, index, LabelSize { label, total });
            }
            self.total += field_size(size) as u64;
        }
        Ok(())
    }
}

/// Adds the size of a label to a total.
struct LabelSize<'a> {
    label: &'a EncodedLabel,
    total: &'a mut usize,
}

impl LabelSize<'_> {
    /// Adds the size of a label with a value of this size.
    #[inline(always)]
    fn add(self, value: usize) {
        // `before` has the key and one byte for the length of the label, and likewise of the value.
        let name_field = self.label.before.len() - 4;
        *self.total += field_size(name_field + field_size(value));
    }
}

impl ValueWriter for LabelSize<'_> {
    #[inline(always)]
    fn word(self, position: usize) {
        *self.total += self.label.words[position].len();
    }

    #[inline(always)]
    fn address(self, address: Ip, prefix: u8) {
        let address = match address {
            Ip::V4(bits) => ipv4_size(Ipv4Addr::from_bits(bits)),
            Ip::V6(high, low) => ipv6_size(Ipv6Addr::from_bits(
                u128::from(high) << 64 | u128::from(low),
            )),
        };
        let prefix = match prefix {
            WHOLE => 0,
            prefix => 1 + digits(prefix.into()),
        };
        self.add(address + prefix);
    }

    #[inline(always)]
    fn number(self, number: u16) {
        self.add(digits(number));
    }

    fn text(self, text: &str) {
        self.add(text.len());
    }
}

/// Returns the size of a field with so many bytes: they are behind a key and their number.
#[inline]
fn field_size(bytes: usize) -> usize {
    let length = if bytes < 0x80 {
        1
    } else {
        varint_size(bytes as u64)
    };
    1 + length + bytes
}

/// Returns the number of decimal digits.
#[inline]
fn digits(number: u16) -> usize {
    number.checked_ilog10().unwrap_or_default() as usize + 1
}

#[inline]
fn ipv4_size(address: Ipv4Addr) -> usize {
    let dots = 3;
    address.octets().map(octet_digits).iter().sum::<usize>() + dots
}

/// Returns the length of an address as RFC 5952 writes it. Formatting it would take ten times as
/// long.
fn ipv6_size(address: Ipv6Addr) -> usize {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return "::ffff:".len() + ipv4_size(mapped);
    }
    let segments = address.segments();
    let zeros = longest_zeros(&segments);
    let outside = [&segments[..zeros.start], &segments[zeros.end..]];
    let digits = |segment: &u16| {
        segment
            .checked_ilog2()
            .map_or(1, |bits| bits as usize / 4 + 1)
    };
    let length = |part: &[u16]| part.iter().map(digits).sum::<usize>() + part.len().max(1) - 1;
    let separator = if zeros.is_empty() { 1 } else { 2 };
    let separator = if zeros.start == 8 { 0 } else { separator };
    length(outside[0]) + separator + length(outside[1])
}

/// Returns the first of the longest runs of two or more zeros; an empty range at the end if there
/// is none.
fn longest_zeros(segments: &[u16; 8]) -> Range<usize> {
    let mut longest = 8..8;
    let mut begin = 0;
    for (index, segment) in segments.iter().enumerate() {
        if *segment != 0 {
            begin = index + 1;
        } else if index + 1 - begin > longest.len().max(1) {
            longest = begin..index + 1;
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(address: Ipv6Addr) {
        assert_eq!(ipv6_size(address), address.to_string().len(), "{address}");
    }

    #[test]
    fn the_longest_run_of_zeros_is_left_out() {
        for address in [
            "::",
            "::1",
            "1::",
            "1::1",
            "0:1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:0",
            "1:0:0:2:0:0:0:3",
            "1:0:0:2:0:0:3:4",
            "::ffff:192.0.2.10",
            "::192.0.2.10",
            "abcd:ef01:2345:6789:a:b:c:d",
            "fe80::1:0:0:1",
            "0:0:1::",
        ] {
            check(address.parse().expect("an address"));
        }
    }

    proptest! {
        #[test]
        fn sizes_are_those_of_the_standard_library(
            segments in prop::array::uniform8(prop_oneof![Just(0), Just(0), any::<u16>(), 0..256_u16]),
        ) {
            check(segments.into());
        }
    }
}
