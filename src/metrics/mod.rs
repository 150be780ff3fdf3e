//! Every metric's name and meaning, and the way from a snapshot to the text format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>), to OpenMetrics 1.0
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec/>) and to JSON.
//!
//! Pure: it writes to what it is given, and what varies comes in as an argument.

mod account;
pub(crate) mod catalog;
mod dialect;
mod flows;
pub(crate) mod labels;
mod process;
pub(crate) mod samples;
mod text;
mod web;

use std::io::{self, Write};
use std::time::Duration;

use crate::aggregator::FrameCounts;
use crate::flow::{SensorSnapshot, Snapshot};

pub use catalog::{ALL, Family, Kind};
use dialect::Dialect;
pub use process::ProcessState;
pub use web::{Refused, WebState};

/// How the text calls itself. Prometheus 3 fails a scrape without it.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the live capture says of itself.
#[derive(Debug, Clone, Default)]
pub struct CaptureState {
    pub up: bool,
    /// For how long it has been so; `None` before the first capture.
    pub lasting: Option<Duration>,
    /// How often a capture was started.
    pub iterations: u64,
    /// Time without a running capture since the first one started.
    pub lost: Duration,
    /// Frames that the kernel or the capture says it dropped.
    pub dropped: u64,
}

/// The program's own account, as a live scrape shows it.
#[derive(Debug)]
pub struct OwnState<'a> {
    pub frames: &'a FrameCounts,
    pub sensors: &'a SensorSnapshot,
    pub capture: &'a CaptureState,
    pub web: &'a WebState,
    pub process: &'a ProcessState,
}

/// What a one-shot run prints: nothing that changes from run to run.
///
/// # Errors
/// Those of `out`.
pub fn write_analysis(
    out: &mut impl Write,
    flows: Snapshot,
    frames: &FrameCounts,
) -> io::Result<()> {
    account::write_analysis(out, frames)?;
    flows::write(out, Dialect::Prometheus, flows)
}

/// The same as [`write_analysis`], in OpenMetrics.
///
/// # Errors
/// Those of `out`.
pub fn write_openmetrics(
    out: &mut impl Write,
    flows: Snapshot,
    frames: &FrameCounts,
) -> io::Result<()> {
    account::write_openmetrics(out, frames)?;
    flows::write(out, Dialect::OpenMetrics, flows)?;
    out.write_all(dialect::END.as_bytes())
}

/// What `/metrics` answers.
///
/// # Errors
/// Those of `out`.
pub fn write_scrape(out: &mut impl Write, flows: Snapshot, own: &OwnState<'_>) -> io::Result<()> {
    account::write_scrape(out, &flows.occupancy, own)?;
    flows::write(out, Dialect::Prometheus, flows)
}
