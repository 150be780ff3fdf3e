//! The formats of the metrics.

use super::wall_clock::WallClock;

/// A format in which metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The text format of Prometheus. Its versions 0.0.4 and 1.0.0 are the same for names without
    /// special characters, as all names here are.
    Text,
    /// OpenMetrics. Its versions 0.0.1 and 1.0.0 are the same for counters and gauges.
    OpenMetrics,
    /// Messages of the type `io.prometheus.client.MetricFamily`, each behind its length.
    Protobuf,
}

/// A format, and what else is written in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Encoding<'a> {
    pub(super) format: Format,
    /// The clock for the starts of counters. Without it, they are left out.
    pub(super) clock: Option<&'a WallClock>,
    /// How many threads may sort and render flows.
    pub(super) threads: usize,
}
