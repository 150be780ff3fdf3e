use std::io::{self, Write};
use std::time::Duration;

use super::look;
use crate::aggregator::Aggregator;
use crate::metrics;
use crate::report::{self, table};

/// What is written of what was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// The text format of Prometheus.
    Prometheus,
    OpenMetrics,
    /// OpenMetrics with what there was after each step of this length, in whole seconds.
    Timeline {
        step: Duration,
    },
    Json,
    /// For people: so many rows of each table.
    Table {
        top: usize,
    },
    Nothing,
}

impl Output {
    /// The step of a timeline, which is written otherwise.
    pub(super) fn step(self) -> Option<Duration> {
        match self {
            Self::Timeline { step } => Some(step),
            _ => None,
        }
    }

    pub(super) fn write(self, out: &mut impl Write, core: &mut Aggregator) -> io::Result<()> {
        // At the time of the newest frame, or of what the table takes for it.
        let flows = core.scrape(Duration::ZERO);
        let frames = core.frames();
        match self {
            Self::Prometheus => metrics::write_analysis(out, flows, frames),
            Self::OpenMetrics | Self::Timeline { .. } => {
                metrics::write_openmetrics(out, flows, frames)
            }
            Self::Json => report::write_json(out, flows, frames),
            Self::Table { top } => {
                table::write(out, flows, frames, top, look::of_standard_output())
            }
            Self::Nothing => Ok(()),
        }
    }
}
