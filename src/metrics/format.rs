//! The formats of the metrics.

/// A format in which metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The text format of Prometheus. Its versions 0.0.4 and 1.0.0 are the same for names without
    /// special characters, as all names here are.
    Text,
    /// OpenMetrics. Its versions 0.0.1 and 1.0.0 are the same for counters and gauges.
    OpenMetrics,
}
