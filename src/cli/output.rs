//! What `analyze` writes, and how.

use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};

use super::{Contradiction, duration, wrong};
use crate::analyze::Output;

/// More than people read; with a bound, a table never takes much memory.
const MOST_ROWS: i64 = 10_000;

/// Samples at whole seconds are exact in every tool that reads them.
const STEPS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

const TOP: u32 = 20;

#[derive(Debug, Args)]
pub(super) struct OutputArguments {
    /// Output format: metrics as Prometheus or OpenMetrics text, one JSON object, tables for people,
    /// or nothing
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Prometheus)]
    format: Format,

    /// Write samples at this interval of the capture's time, such as 15s, for
    /// `promtool tsdb create-blocks-from openmetrics`; requires --format openmetrics
    #[arg(long, value_name = "TIME", value_parser = every)]
    every: Option<Duration>,

    /// Number of rows in each table; requires --format table [default: 20]
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(u32).range(1..=MOST_ROWS))]
    top: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Prometheus,
    Openmetrics,
    Json,
    Table,
    None,
}

impl OutputArguments {
    pub(super) fn output(&self) -> Result<Output, Contradiction> {
        if self.every.is_some() && self.format != Format::Openmetrics {
            return Err(wrong(
                "'--every' writes samples with their time, which '--format openmetrics' alone has",
            ));
        }
        if self.top.is_some() && self.format != Format::Table {
            return Err(wrong(
                "'--top' shortens tables: give '--format table' with it",
            ));
        }
        Ok(match self.format {
            Format::Prometheus => Output::Prometheus,
            Format::Openmetrics => match self.every {
                Some(step) => Output::Timeline { step },
                None => Output::OpenMetrics,
            },
            Format::Json => Output::Json,
            Format::Table => Output::Table {
                top: self.top.unwrap_or(TOP) as usize,
            },
            Format::None => Output::Nothing,
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
