//! The formats of the output.

use std::io::{self, Write};
use std::time::Duration;

use super::look;
use crate::aggregator::Aggregator;
use crate::metrics::{self, Format};
use crate::names::NameTable;
use crate::report::{self, table};

/// The format of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// The text format of Prometheus.
    Prometheus,
    OpenMetrics,
    /// OpenMetrics with a sample of each series after every step of this length, in whole seconds.
    Timeline {
        step: Duration,
    },
    Json,
    /// Tables for people, with at most `top` rows each.
    Table {
        top: usize,
    },
    /// No output; only `--write-inner` has a result.
    Nothing,
}

impl Output {
    /// Returns the step of a timeline.
    pub(super) fn step(self) -> Option<Duration> {
        match self {
            Self::Timeline { step } => Some(step),
            _ => None,
        }
    }

    /// Writes the output, unless it is a timeline, which [`Timeline`](super::Timeline) writes.
    /// Sorts and renders flows with this number of threads.
    pub(super) fn write(
        self,
        out: &mut impl Write,
        core: &mut Aggregator,
        names: Option<&NameTable>,
        threads: usize,
    ) -> io::Result<()> {
        // Time never goes back in the table, so this is the time of the newest frame.
        let flows = core.scrape(Duration::ZERO);
        let frames = core.frames();
        match self {
            Self::Prometheus => {
                metrics::write_analysis(out, Format::Text, flows, frames, names, threads)
            }
            Self::OpenMetrics | Self::Timeline { .. } => {
                metrics::write_analysis(out, Format::OpenMetrics, flows, frames, names, threads)
            }
            Self::Json => report::write_json(out, flows, frames, names),
            Self::Table { top } => {
                let look = look::of_standard_output();
                table::write(out, flows, frames, names, top, look)
            }
            Self::Nothing => Ok(()),
        }
    }
}
