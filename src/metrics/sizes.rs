//! The sizes of protobuf messages. The length of a family comes before its series, so they are
//! measured first.

#![expect(
    clippy::inline_always,
    reason = "called for each label of each series: the compiler would not inline them"
)]

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::messages::{METRIC_HEADER, MessageLabels, label_size};
use super::protobuf;
use super::series::{LabelValues, Series, Sink, ValueWriter};
use super::text::octet_digits;
use super::word::EncodedLabel;
use crate::flow::WHOLE;
use crate::wire::Ip;

/// Measures the messages of all series.
pub(super) struct Sizes<'a> {
    labels: &'a MessageLabels,
    have_starts: bool,
    total: usize,
}

impl<'a> Sizes<'a> {
    pub(super) fn new(labels: &'a MessageLabels, have_starts: bool) -> Self {
        Self {
            labels,
            have_starts,
            total: 0,
        }
    }

    /// Returns the size of all messages, with their keys and lengths.
    pub(super) fn total(&self) -> u64 {
        self.total as u64
    }
}

impl Sink for Sizes<'_> {
    fn push_all<S: Series>(
        &mut self,
        series: &[S],
        values: &impl LabelValues<S>,
    ) -> io::Result<()> {
        self.total += series.len() * (METRIC_HEADER + protobuf::value_size(self.have_starts));
        // Label by label, because finding out which one it is takes as long as measuring it. Few
        // series at a time, so that they stay in the processor's cache.
        for series in series.chunks(64) {
            for (index, label) in self.labels.iter().enumerate() {
                self.total += values.sum(series, index, LabelSize(label));
            }
        }
        Ok(())
    }
}

/// The size of a label.
#[derive(Clone, Copy)]
struct LabelSize<'a>(&'a EncodedLabel);

impl LabelSize<'_> {
    /// Returns the size with a value of this size.
    #[inline(always)]
    fn with(self, value: usize) -> usize {
        label_size(value, self.0.name.len())
    }
}

impl ValueWriter for LabelSize<'_> {
    type Output = usize;

    #[inline(always)]
    fn word(self, position: usize) -> usize {
        self.0.words[position].len()
    }

    #[inline(always)]
    fn address(self, address: Ip, prefix: u8) -> usize {
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
        self.with(address + prefix)
    }

    #[inline(always)]
    fn number(self, number: u16) -> usize {
        self.with(digits(number))
    }

    fn text(self, text: &str) -> usize {
        self.with(text.len())
    }
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
