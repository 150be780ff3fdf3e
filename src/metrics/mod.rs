//! Every metric's name and meaning. Renders a snapshot in the text format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>) and in OpenMetrics 1.0
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
//!
//! Pure: writes to an argument, and takes all state of the process as an argument.

mod account;
pub(crate) mod catalog;
mod dialect;
mod flows;
pub(crate) mod labels;
mod lines;
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

/// The content type of `/metrics`. Prometheus 3 fails a scrape without it.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The state of the live capture.
#[derive(Debug, Clone, Default)]
pub struct CaptureState {
    /// Whether a capture runs.
    pub up: bool,
    /// How long `up` has had this value; `None` before the first capture.
    pub lasting: Option<Duration>,
    /// Captures started so far.
    pub iterations: u64,
    /// Time without a running capture since the first one started.
    pub lost: Duration,
    /// Frames that the kernel or the capture reported as dropped.
    pub dropped: u64,
}

/// What a live scrape shows besides the flows.
#[derive(Debug)]
pub struct OwnState<'a> {
    pub frames: &'a FrameCounts,
    pub sensors: &'a SensorSnapshot,
    pub capture: &'a CaptureState,
    pub web: &'a WebState,
    pub process: &'a ProcessState,
}

/// Writes what a one-shot run prints, in the text format of Prometheus. The same frames give the
/// same text in every run. Sorts and renders the flows with this number of threads.
///
/// # Errors
/// Those of `out`.
pub fn write_analysis(
    out: &mut impl Write,
    flows: Snapshot,
    frames: &FrameCounts,
    threads: usize,
) -> io::Result<()> {
    account::write_analysis(out, frames)?;
    flows::write(out, Dialect::Prometheus, flows, threads)
}

/// Writes the same as [`write_analysis`], in OpenMetrics.
///
/// # Errors
/// Those of `out`.
pub fn write_openmetrics(
    out: &mut impl Write,
    flows: Snapshot,
    frames: &FrameCounts,
    threads: usize,
) -> io::Result<()> {
    account::write_openmetrics(out, frames)?;
    flows::write(out, Dialect::OpenMetrics, flows, threads)?;
    out.write_all(dialect::END.as_bytes())
}

/// Writes what `/metrics` answers.
///
/// # Errors
/// Those of `out`.
pub fn write_scrape(out: &mut impl Write, flows: Snapshot, own: &OwnState<'_>) -> io::Result<()> {
    account::write_scrape(out, &flows.occupancy, own)?;
    // Other threads count meanwhile, and serve other clients.
    flows::write(out, Dialect::Prometheus, flows, 1)
}
