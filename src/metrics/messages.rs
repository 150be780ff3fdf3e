//! The series of a family as protobuf messages.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::catalog::{Family, Kind};
use super::protobuf::{self, key, varint, varint_size};
use super::series::{LabelValues, Series, Sink, ValueWriter};
use super::text::{Line, Text, digits};
use super::wall_clock::WallClock;
use super::word::Word;
use crate::flow::Counters;

/// Writes a message for each series.
pub(super) struct Messages<'a, W> {
    records: Text<'a, W>,
    /// What comes before each label's value. Its two lengths are still 0.
    before: Vec<Word>,
    clock: Option<&'a WallClock>,
    kind: Kind,
    count: fn(&Counters) -> u64,
}

impl<'a, W: Write> Messages<'a, W> {
    /// Writes the beginning of a family whose metrics take `size` bytes.
    pub(super) fn begin(
        out: &'a mut W,
        family: Family,
        labels: &[&str],
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
            before: labels.iter().map(|label| before(label)).collect(),
            clock,
            kind: family.kind,
            count,
        })
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.records.flush()
    }
}

/// Returns what comes before the value of a label.
fn before(name: &str) -> Word {
    let mut before = vec![key::METRIC_LABEL, 0];
    protobuf::push_field(&mut before, key::LABEL_NAME, name.as_bytes());
    before.extend([key::LABEL_VALUE, 0]);
    Word::new(String::from_utf8(before).expect("names and numbers below 128 are UTF-8"))
}

impl<W: Write> Sink for Messages<'_, W> {
    fn push_all<S: Series>(
        &mut self,
        series: &[S],
        labels: &impl LabelValues<S>,
    ) -> io::Result<()> {
        for series in series {
            let value = (self.count)(series.counters()) as f64;
            let start = self.clock.map(|clock| clock.of(series.start()));
            let value = protobuf::value(self.kind, value, start);
            self.records.push_record(|line| {
                line.push_bytes(&[key::FAMILY_METRIC, 0, 0]);
                for (index, before) in self.before.iter().enumerate() {
                    let begin = line.len();
                    line.push(before);
                    let value_begin = line.len();
                    labels.write(series, index, &mut MessageValue(line));
                    set_lengths(line, begin, value_begin);
                }
                line.push_block(&value.block, value.size);
                set_length(line, 1, 2);
            })?;
        }
        Ok(())
    }
}

/// A label value in a message, where nothing is escaped.
struct MessageValue<'a, 'b>(&'a mut Line<'b>);

impl ValueWriter for MessageValue<'_, '_> {
    #[inline]
    fn push(&mut self, word: &Word) {
        self.0.push(word);
    }

    #[inline]
    fn push_address(&mut self, address: IpAddr) {
        self.0.push_address(address);
    }

    #[inline]
    fn push_number(&mut self, number: u64) {
        self.0.push_number(number);
    }

    fn push_slash(&mut self) {
        self.0.push_slash();
    }

    fn push_text(&mut self, text: &str) {
        self.0.push_str(text);
    }
}

/// Sets the lengths of a label that begins at `begin`, and of its value, which begins at `value`
/// and ends with the line.
#[inline]
fn set_lengths(line: &mut Line<'_>, begin: usize, value: usize) {
    let lengths = [line.len() - begin - 2, line.len() - value];
    if let [Ok(of_label @ ..0x80), Ok(of_value)] = lengths.map(u8::try_from) {
        line.set(begin + 1, &[of_label]);
        line.set(value - 1, &[of_value]);
    } else {
        set_length(line, value - 1, 1);
        set_length(line, begin + 1, 1);
    }
}

/// Sets the length of what follows to the end of the line. `room` bytes are reserved for it at this
/// position; if it takes more or fewer, the rest is moved.
#[inline]
fn set_length(line: &mut Line<'_>, position: usize, room: usize) {
    let length = varint((line.len() - position - room) as u64);
    if length.size != room {
        line.resize(position, room, length.size);
    }
    line.set(position, &length);
}

/// Measures the messages of all series.
pub(super) struct Sizes<'a> {
    /// The sizes of the fields with the labels' names.
    name_fields: Vec<usize>,
    clock: Option<&'a WallClock>,
    total: u64,
}

impl<'a> Sizes<'a> {
    pub(super) fn new(labels: &[&str], clock: Option<&'a WallClock>) -> Self {
        Self {
            name_fields: labels.iter().map(|label| field_size(label.len())).collect(),
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
        labels: &impl LabelValues<S>,
    ) -> io::Result<()> {
        for series in series {
            let start = self.clock.map(|clock| clock.of(series.start()));
            let mut size = protobuf::value_size(start);
            for (index, name_field) in self.name_fields.iter().enumerate() {
                let mut value = ValueSize(0);
                labels.write(series, index, &mut value);
                size += field_size(name_field + field_size(value.0));
            }
            self.total += field_size(size) as u64;
        }
        Ok(())
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

/// The size of a label value.
struct ValueSize(usize);

impl ValueWriter for ValueSize {
    #[inline]
    fn push(&mut self, word: &Word) {
        self.0 += word.len();
    }

    #[inline]
    fn push_address(&mut self, address: IpAddr) {
        self.0 += match address {
            IpAddr::V4(address) => ipv4_size(address),
            IpAddr::V6(address) => ipv6_size(address),
        };
    }

    #[inline]
    fn push_number(&mut self, number: u64) {
        self.0 += number.checked_ilog10().unwrap_or_default() as usize + 1;
    }

    fn push_slash(&mut self) {
        self.0 += 1;
    }

    fn push_text(&mut self, text: &str) {
        self.0 += text.len();
    }
}

#[inline]
fn ipv4_size(address: Ipv4Addr) -> usize {
    let dots = 3;
    address.octets().map(digits).iter().sum::<usize>() + dots
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
