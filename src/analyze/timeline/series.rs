//! The series of a timeline.

use crate::flow::{HostKey, Key, OverflowKey, Series, Shape, TrafficKey};
use crate::metrics::labels;
use crate::names::NameTable;
use crate::wire::{Skipped, Truncated};

/// A series, apart from its unit: flows, traffic and hosts have one in bytes and one in packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimelineSeries {
    Received,
    Skipped(Skipped),
    Truncated(Truncated),
    /// One in which a table counts packets.
    Counted(Series),
}

/// A series as bytes: the kind, a detail of it, and a key padded with zeros.
///
/// They sort in the order in which the series of a family are written. Flows and overflow, which
/// belong to the same families, come last: whatever writes another family reads none of them.
pub(super) type SeriesBytes = [u8; SIZE];
pub(super) const SIZE: usize = 2 + Key::SIZE;

impl TimelineSeries {
    pub(super) fn to_bytes(self) -> SeriesBytes {
        let mut bytes = [0; SIZE];
        let (kind, detail, key): (_, _, &[u8]) = match self {
            Self::Received => (0, 0, &[]),
            Self::Skipped(reason) => (1, reason as u8, &[]),
            Self::Truncated(cause) => (2, cause as u8, &[]),
            Self::Counted(Series::Traffic(Some(key))) => (3, 0, &key.to_bytes()),
            Self::Counted(Series::Traffic(None)) => (3, 1, &[]),
            Self::Counted(Series::Host(key)) => (4, 0, &key.to_bytes()),
            Self::Counted(Series::Flow(key)) => (5, 0, &key.to_bytes()),
            Self::Counted(Series::Overflow(Some(key))) => (6, 0, &key.to_bytes()),
            Self::Counted(Series::Overflow(None)) => (6, 1, &[]),
        };
        bytes[0] = kind;
        bytes[1] = detail;
        bytes[2..][..key.len()].copy_from_slice(key);
        bytes
    }

    pub(super) fn from_bytes(bytes: &SeriesBytes) -> Self {
        let [kind, detail, key @ ..] = bytes;
        match (kind, detail) {
            (0, _) => Self::Received,
            (1, reason) => Self::Skipped(Skipped::ALL[usize::from(*reason)]),
            (2, cause) => Self::Truncated(Truncated::ALL[usize::from(*cause)]),
            _ => Self::Counted(match (kind, detail) {
                (3, 0) => Series::Traffic(key.first_chunk().map(TrafficKey::from_bytes)),
                (3, _) => Series::Traffic(None),
                (4, _) => {
                    let key = key.first_chunk().expect("keys of flows are longer");
                    Series::Host(HostKey::from_bytes(key))
                }
                (5, _) => Series::Flow(Key::from_bytes(key)),
                (_, 0) => Series::Overflow(key.first_chunk().map(OverflowKey::from_bytes)),
                (_, _) => Series::Overflow(None),
            }),
        }
    }

    /// Appends the labels of the series in braces, if it has any.
    pub(super) fn push_labels(self, text: &mut String, shape: &Shape, names: &NameTable) {
        match self {
            Self::Received => {}
            Self::Skipped(reason) => {
                text.extend(["{reason=\"", reason.label(), "\"}"]);
            }
            Self::Truncated(cause) => {
                text.extend(["{cause=\"", cause.label(), "\"}"]);
            }
            Self::Counted(Series::Flow(key)) => {
                labels::push_flow(text, shape, names, &shape.with_classes(key));
            }
            Self::Counted(Series::Overflow(key)) => labels::push_overflow(text, shape, key),
            Self::Counted(Series::Traffic(key)) => labels::push_traffic(text, shape, key),
            Self::Counted(Series::Host(key)) => labels::push_host(text, shape, key),
        }
    }
}
