//! Every metric's name and meaning. Renders a snapshot in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>) and in OpenMetrics 1.0
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
//!
//! Pure: writes to an argument, and takes all state of the process as an argument.

mod account;
pub(crate) mod catalog;
mod dialect;
mod flows;
mod format;
mod gathered;
mod hosts;
pub(crate) mod labels;
mod lines;
mod names;
mod process;
pub(crate) mod samples;
mod text;
mod web;

use std::io::{self, Write};
use std::time::Duration;

use crate::aggregator::FrameCounts;
use crate::flow::{SensorSnapshot, Snapshot};
use crate::names::NameTable;

pub use catalog::{ALL, Family, Kind};
pub use format::Format;
pub use names::addresses;
pub use process::ProcessState;
pub use web::{Refused, WebState};

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
    /// The names of the addresses that the flows show, if any source of names was chosen.
    pub names: Option<&'a NameTable>,
}

/// Writes what a one-shot run prints. The same frames and names give the same output in every run.
/// Sorts and renders the flows with this number of threads.
///
/// # Errors
/// Those of `out`.
pub fn write_analysis(
    out: &mut impl Write,
    format: Format,
    mut flows: Snapshot,
    frames: &FrameCounts,
    names: Option<&NameTable>,
    threads: usize,
) -> io::Result<()> {
    account::of_analysis(frames, names).write(out, format)?;
    hosts::write(out, format, &mut flows)?;
    flows::write(out, format, flows, names, threads)
}

/// Writes what `/metrics` answers.
///
/// # Errors
/// Those of `out`.
pub fn write_scrape(
    out: &mut impl Write,
    format: Format,
    mut flows: Snapshot,
    own: &OwnState<'_>,
) -> io::Result<()> {
    account::of_scrape(&flows.occupancy, own).write(out, format)?;
    hosts::write(out, format, &mut flows)?;
    // With one thread: others count meanwhile, and serve other clients.
    flows::write(out, format, flows, own.names, 1)
}
