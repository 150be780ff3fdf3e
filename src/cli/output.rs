//! The options of `analyze` for its output.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::flows::duration;
use super::number::number;
use super::{Contradiction, wrong};
use crate::analyze::Output;

/// More rows than people read. The limit bounds the memory for a table.
const MOST_ROWS: u32 = 10_000;

/// Whole seconds only, because every tool represents them exactly.
const STEPS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

/// The default of `--top`.
const TOP: u32 = 20;

#[derive(Debug, Args)]
pub(super) struct OutputArguments {
    /// Output format: metrics as Prometheus or OpenMetrics text, one JSON object, tables for people,
    /// or nothing
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = OutputFormat::Prometheus)]
    format: OutputFormat,

    /// Write samples at this interval of the capture's time, such as 15s, for
    /// `promtool tsdb create-blocks-from openmetrics`; requires --format openmetrics
    #[arg(long, value_name = "TIME", value_parser = every)]
    every: Option<Duration>,

    /// Number of rows in each table; requires --format table [default: 20]
    #[arg(long, value_name = "NUMBER", value_parser = number::<u32>(1..=MOST_ROWS))]
    top: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    Prometheus,
    Openmetrics,
    Json,
    Table,
    None,
}

impl OutputArguments {
    pub(super) fn output(&self) -> Result<Output, Contradiction> {
        if self.every.is_some() && self.format != OutputFormat::Openmetrics {
            return Err(wrong(
                "'--every' writes samples with their time, which '--format openmetrics' alone has",
            ));
        }
        if self.top.is_some() && self.format != OutputFormat::Table {
            return Err(wrong(
                "'--top' shortens tables: give '--format table' with it",
            ));
        }
        Ok(match self.format {
            OutputFormat::Prometheus => Output::Prometheus,
            OutputFormat::Openmetrics => match self.every {
                Some(step) => Output::Timeline { step },
                None => Output::OpenMetrics,
            },
            OutputFormat::Json => Output::Json,
            OutputFormat::Table => Output::Table {
                top: self.top.unwrap_or(TOP) as usize,
            },
            OutputFormat::None => Output::Nothing,
        })
    }
}

fn every(text: &str) -> Result<Duration, &'static str> {
    let step = duration(text)?;
    if STEPS.contains(&step) && step.subsec_nanos() == 0 {
        Ok(step)
    } else {
        Err("write whole seconds, from 1s to 24h")
    }
}
