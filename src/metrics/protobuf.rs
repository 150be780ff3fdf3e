//! The wire format of protobuf (<https://protobuf.dev/programming-guides/encoding/>), as far as
//! messages of the type `io.prometheus.client.MetricFamily` need it. Their schema is in
//! `tests/it/schema/metrics.proto`.

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

/// Appends a number in as few bytes as possible: seven bits in each, the lowest first. All bytes but
/// the last have their highest bit set.
pub(super) fn push_varint(message: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        let [bits, ..] = number.to_le_bytes();
        message.push(bits | CONTINUED);
        number >>= 7;
    }
    let [bits, ..] = number.to_le_bytes();
    message.push(bits);
}

/// The bit of each byte but the last of a number.
const CONTINUED: u8 = 0x80;

/// Returns the number of bytes that [`push_varint`] appends.
pub(super) fn varint_size(number: u64) -> usize {
    let bits = (u64::BITS - number.leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}

/// Encodes the lowest 7 * N bits of a number in N bytes, even if fewer would do.
#[inline]
pub(super) const fn fixed_varint<const N: usize>(number: u64) -> [u8; N] {
    let mut bytes = [0; N];
    let mut index = 0;
    while index < N {
        let [bits, ..] = (number >> (7 * index) & 0x7f).to_le_bytes();
        bytes[index] = bits | if index + 1 < N { CONTINUED } else { 0 };
        index += 1;
    }
    bytes
}

/// Appends a field with these bytes: a text or a message.
pub(super) fn push_field(message: &mut Vec<u8>, key: u8, bytes: &[u8]) {
    message.push(key);
    push_varint(message, bytes.len() as u64);
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
    push_varint(metric, size as u64);
    push_field(metric, key::LABEL_NAME, name.as_bytes());
    push_field(metric, key::LABEL_VALUE, value.as_bytes());
}

/// Returns what comes before the number that is the value of a metric. Behind it comes the [`start`]
/// of a counter, if it has one.
pub(super) fn value_header(kind: Kind, has_start: bool) -> [u8; VALUE_HEADER] {
    let field = match kind {
        Kind::Counter => key::METRIC_COUNTER,
        Kind::Gauge => key::METRIC_GAUGE,
    };
    let [size, ..] = (value_size(has_start) - 2).to_le_bytes();
    [field, size, key::VALUE]
}

/// Returns the number of bytes of a value, with its start if it has one.
pub(super) fn value_size(has_start: bool) -> usize {
    VALUE_HEADER + size_of::<f64>() + if has_start { START } else { 0 }
}

pub(super) const VALUE_HEADER: usize = 3;

/// Encodes when a counter was 0.
///
/// The size is the same for each time, so that messages can be measured without their starts. The
/// seconds take five bytes anyway from the year 1978 to 3058; the nanoseconds often do.
#[inline]
pub(super) fn start(start: UnixMillis) -> [u8; START] {
    let (seconds, millis) = start.seconds_and_millis();
    let [s0, s1, s2, s3, s4] = fixed_varint(seconds);
    let [n0, n1, n2, n3, n4] = NANOS[millis];
    let [seconds, nanos] = [key::TIMESTAMP_SECONDS, key::TIMESTAMP_NANOS];
    #[rustfmt::skip]
    let start = [
        key::COUNTER_START, TIMESTAMP, seconds, s0, s1, s2, s3, s4, nanos, n0, n1, n2, n3, n4,
    ];
    start
}

const START: usize = 2 + TIMESTAMP as usize;
const TIMESTAMP: u8 = 12;

/// The nanoseconds of each number of milliseconds.
static NANOS: [[u8; 5]; 1000] = nanos();

const fn nanos() -> [[u8; 5]; 1000] {
    let mut nanos = [[0; 5]; 1000];
    let mut millis = 0;
    while millis < nanos.len() {
        nanos[millis] = fixed_varint(millis as u64 * 1_000_000);
        millis += 1;
    }
    nanos
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The examples of the specification, and the numbers around each change of size.
    #[test]
    fn varints_have_seven_bits_in_each_byte() {
        let check = |number, expected: &[u8]| {
            let mut bytes = Vec::new();
            push_varint(&mut bytes, number);
            assert_eq!(bytes, expected, "{number}");
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
    fn varints_of_fixed_size_are_padded() {
        assert_eq!(fixed_varint(0), [0x80, 0]);
        assert_eq!(fixed_varint(150), [0x96, 0x01]);
        assert_eq!(fixed_varint(16_383), [0xff, 0x7f]);
        assert_eq!(fixed_varint(150), [0x96, 0x81, 0x80, 0x80, 0]);
        assert_eq!(fixed_varint((1 << 35) - 1), [0xff, 0xff, 0xff, 0xff, 0x7f]);
    }

    #[test]
    fn a_counter_has_a_value_and_a_start() {
        assert_eq!(value_header(Kind::Gauge, false), [0x12, 9, 0x09]);
        assert_eq!(value_header(Kind::Counter, false), [0x1a, 9, 0x09]);
        assert_eq!(value_header(Kind::Counter, true), [0x1a, 23, 0x09]);
        let check = |millis, expected: [u8; 12]| {
            let start = start(UnixMillis::of(Duration::from_millis(millis)));
            assert_eq!(start, *[&[0x1a, 12], &expected[..]].concat(), "{millis}");
        };
        // 1700000000 is 0x6553f100, and 2,000,000 is 0x1e8480.
        check(
            1_700_000_000_002,
            [
                0x08, 0x80, 0xe2, 0xcf, 0xaa, 0x06, 0x10, 0x80, 0x89, 0xfa, 0x80, 0,
            ],
        );
        check(
            0,
            [
                0x08, 0x80, 0x80, 0x80, 0x80, 0, 0x10, 0x80, 0x80, 0x80, 0x80, 0,
            ],
        );
    }
}
