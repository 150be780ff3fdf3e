//! The wire format of protobuf (<https://protobuf.dev/programming-guides/encoding/>), as far as
//! messages of the type `io.prometheus.client.MetricFamily` need it. Their schema is in
//! `tests/it/schema/metrics.proto`.

use std::ops::Deref;

use super::catalog::Kind;
use super::wall_clock::UnixMillis;

/// The kinds of values: a number of variable length, 8 bytes, and bytes behind their number.
const VARINT: u8 = 0;
const FIXED_64: u8 = 1;
const BYTES: u8 = 2;

/// The keys of fields: their number, and the kind of their value.
pub(super) mod key {
    use super::{BYTES, FIXED_64, VARINT};

    pub(in super::super) const FAMILY_NAME: u8 = 1 << 3 | BYTES;
    pub(in super::super) const FAMILY_HELP: u8 = 2 << 3 | BYTES;
    pub(in super::super) const FAMILY_TYPE: u8 = 3 << 3 | VARINT;
    pub(in super::super) const FAMILY_METRIC: u8 = 4 << 3 | BYTES;
    pub(in super::super) const METRIC_LABEL: u8 = 1 << 3 | BYTES;
    pub(in super::super) const METRIC_GAUGE: u8 = 2 << 3 | BYTES;
    pub(in super::super) const METRIC_COUNTER: u8 = 3 << 3 | BYTES;
    pub(in super::super) const LABEL_NAME: u8 = 1 << 3 | BYTES;
    pub(in super::super) const LABEL_VALUE: u8 = 2 << 3 | BYTES;
    /// Of counters and of gauges.
    pub(in super::super) const VALUE: u8 = 1 << 3 | FIXED_64;
    /// Called `created_timestamp` in older versions of the schema.
    pub(in super::super) const COUNTER_START: u8 = 3 << 3 | BYTES;
    pub(in super::super) const TIMESTAMP_SECONDS: u8 = 1 << 3 | VARINT;
    pub(in super::super) const TIMESTAMP_NANOS: u8 = 2 << 3 | VARINT;
}

/// A few bytes of a message. They are padded with zeros, so that all can be copied at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<const N: usize> {
    pub(super) block: [u8; N],
    pub(super) size: usize,
}

impl<const N: usize> Bytes<N> {
    fn new() -> Self {
        Self {
            block: [0; N],
            size: 0,
        }
    }

    #[inline]
    fn push<const M: usize>(&mut self, bytes: [u8; M]) {
        self.block[self.size..][..M].copy_from_slice(&bytes);
        self.size += M;
    }

    /// Appends a number in as few bytes as possible.
    #[inline]
    fn push_varint(&mut self, mut number: u64) {
        while let rest @ 1.. = number >> 7 {
            self.push([low_bits(number) | 0x80]);
            number = rest;
        }
        self.push([low_bits(number)]);
    }
}

impl<const N: usize> Deref for Bytes<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.block[..self.size]
    }
}

/// Encodes a number in as few bytes as possible.
pub(super) fn varint(number: u64) -> Bytes<10> {
    let mut bytes = Bytes::new();
    bytes.push_varint(number);
    bytes
}

/// Returns the number of bytes of a [`varint`].
pub(super) fn varint_size(number: u64) -> usize {
    let bits = (u64::BITS - number.leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}

fn low_bits(number: u64) -> u8 {
    u8::try_from(number & 0x7f).expect("7 bits are left")
}

/// Appends a field with these bytes: a text or a message.
pub(super) fn push_field(message: &mut Vec<u8>, key: u8, bytes: &[u8]) {
    message.push(key);
    message.extend_from_slice(&varint(bytes.len() as u64));
    message.extend_from_slice(bytes);
}

/// Appends the name, help text and type with which a family begins.
pub(super) fn push_family(message: &mut Vec<u8>, name: &str, help: &str, kind: Kind) {
    push_field(message, key::FAMILY_NAME, name.as_bytes());
    push_field(message, key::FAMILY_HELP, help.as_bytes());
    let kind = match kind {
        Kind::Counter => 0,
        Kind::Gauge => 1,
    };
    message.extend([key::FAMILY_TYPE, kind]);
}

/// Appends a label of a metric.
pub(super) fn push_label(metric: &mut Vec<u8>, name: &str, value: &str) {
    let field_size = |text: &str| 1 + varint_size(text.len() as u64) + text.len();
    let size = field_size(name) + field_size(value);
    metric.push(key::METRIC_LABEL);
    metric.extend_from_slice(&varint(size as u64));
    push_field(metric, key::LABEL_NAME, name.as_bytes());
    push_field(metric, key::LABEL_VALUE, value.as_bytes());
}

/// Encodes the field of a metric that has its value, and for counters their start.
#[inline]
pub(super) fn value(kind: Kind, value: f64, start: Option<UnixMillis>) -> Bytes<32> {
    let field = match kind {
        Kind::Counter => key::METRIC_COUNTER,
        Kind::Gauge => key::METRIC_GAUGE,
    };
    let mut bytes = Bytes::new();
    bytes.push([field, 0, key::VALUE]);
    bytes.push(value.to_le_bytes());
    if let Some(start) = start {
        bytes.push([key::COUNTER_START, 0]);
        let begin = bytes.size;
        let (seconds, nanos) = start.seconds_and_nanos();
        bytes.push([key::TIMESTAMP_SECONDS]);
        bytes.push_varint(seconds);
        bytes.push([key::TIMESTAMP_NANOS]);
        bytes.push_varint(nanos);
        bytes.block[begin - 1] = short(bytes.size - begin);
    }
    bytes.block[1] = short(bytes.size - 2);
    bytes
}

/// Returns the number of bytes of a [`value`].
pub(super) fn value_size(start: Option<UnixMillis>) -> usize {
    let start = start.map_or(0, |start| {
        let (seconds, nanos) = start.seconds_and_nanos();
        2 + 2 + varint_size(seconds) + varint_size(nanos)
    });
    2 + VALUE + start
}

/// The size of the number itself with its key.
const VALUE: usize = 9;

fn short(size: usize) -> u8 {
    u8::try_from(size).expect("a value and its start take less than 128 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the specification, and the numbers around each change of size.
    #[test]
    fn varints_have_seven_bits_in_each_byte() {
        let check = |number, expected: &[u8]| {
            assert_eq!(*varint(number), *expected, "{number}");
            assert_eq!(varint_size(number), expected.len(), "{number}");
        };
        check(0, &[0]);
        check(1, &[1]);
        check(127, &[0x7f]);
        check(128, &[0x80, 0x01]);
        check(150, &[0x96, 0x01]);
        check(16_383, &[0xff, 0x7f]);
        check(16_384, &[0x80, 0x80, 0x01]);
        check(
            u64::MAX,
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        );
    }

    #[test]
    fn a_counter_has_a_value_and_a_start() {
        // 1.0 is 0x3ff0000000000000; 1700000000 is 0x6553f100.
        let number = [0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f];
        let check = |kind, start, expected: &[u8]| {
            assert_eq!(*value(kind, 1.0, start), *expected);
            assert_eq!(value_size(start), expected.len());
        };
        check(Kind::Gauge, None, &[&[0x12, 9], &number[..]].concat());
        check(Kind::Counter, None, &[&[0x1a, 9], &number[..]].concat());
        let start = UnixMillis::of(std::time::Duration::from_millis(1_700_000_000_002));
        let timestamp = [0x08, 0x80, 0xe2, 0xcf, 0xaa, 0x06, 0x10, 0x80, 0x89, 0x7a];
        let expected = [&[0x1a, 21], &number[..], &[0x1a, 10], &timestamp].concat();
        check(Kind::Counter, Some(start), &expected);
    }
}
