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
mod messages;
mod names;
mod process;
mod protobuf;
pub(crate) mod samples;
mod series;
mod sizes;
mod stream;
mod text;
mod text_series;
mod wall_clock;
mod web;
mod word;

use std::io::{self, Write};
use std::time::Duration;

use crate::aggregator::FrameCounts;
use crate::flow::{SensorSnapshot, Snapshot};
use crate::geo;
use crate::names::NameTable;

pub use catalog::{ALL, Family, Kind};
use dialect::END;
use format::Encoding;
pub use format::Format;
pub use names::addresses;
pub use process::ProcessState;
pub use wall_clock::WallClock;
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
    /// Frames that the kernel or the capture reported as dropped; `None` if this system does not
    /// tell.
    pub dropped: Option<u64>,
}

/// What a live scrape shows besides the flows.
#[derive(Debug)]
pub struct OwnState<'a> {
    pub frames: &'a FrameCounts,
    pub sensors: &'a SensorSnapshot,
    pub capture: &'a CaptureState,
    pub web: &'a WebState,
    pub process: &'a ProcessState,
    /// The wall time of the starts of counters.
    pub clock: &'a WallClock,
    /// Whether OpenMetrics has a `_created` series for the start of each counter.
    pub created_series: bool,
    /// The names of the addresses that the flows show, if any source of names was chosen.
    pub names: Option<&'a NameTable>,
    /// The databases of countries and network operators.
    pub databases: &'a [geo::FileState],
}

/// Writes what a one-shot run prints. The same frames and names give the same output in every run.
/// Sorts and renders the flows with this number of threads.
///
/// # Errors
/// Those of `out`.
pub fn write_analysis(
    out: &mut impl Write,
    format: Format,
    flows: Snapshot,
    frames: &FrameCounts,
    names: Option<&NameTable>,
    threads: usize,
) -> io::Result<()> {
    let encoding = Encoding {
        format,
        clock: None,
        threads,
    };
    account::of_analysis(frames, names).write(out, encoding)?;
    write_streams(out, encoding, flows, names)
}

/// Writes what `/metrics` answers.
///
/// # Errors
/// Those of `out`.
pub fn write_scrape(
    out: &mut impl Write,
    format: Format,
    flows: Snapshot,
    own: &OwnState<'_>,
) -> io::Result<()> {
    let has_starts = match format {
        Format::Text => false,
        Format::OpenMetrics => own.created_series,
        Format::Protobuf => true,
    };
    let encoding = Encoding {
        format,
        clock: has_starts.then_some(own.clock),
        // One: others count meanwhile, and serve other clients.
        threads: 1,
    };
    account::of_scrape(&flows.occupancy, own).write(out, encoding)?;
    write_streams(out, encoding, flows, own.names)
}

/// Writes the families with many series, and the end of the format.
fn write_streams(
    out: &mut impl Write,
    encoding: Encoding<'_>,
    mut flows: Snapshot,
    names: Option<&NameTable>,
) -> io::Result<()> {
    hosts::write(out, encoding, &mut flows)?;
    flows::write(out, encoding, flows, names)?;
    match encoding.format {
        Format::OpenMetrics => out.write_all(END.as_bytes()),
        Format::Text | Format::Protobuf => Ok(()),
    }
}
