//! What `analyze` writes, and how.

use clap::{Args, ValueEnum, value_parser};

use super::wrong;
use crate::analyze::Output;

/// More than people read; with a bound, a table never takes much memory.
const MOST_ROWS: i64 = 10_000;

const TOP: u32 = 20;

#[derive(Debug, Args)]
pub(super) struct OutputArguments {
    /// What is written: the metrics as Prometheus or OpenMetrics text, one JSON object, or tables
    /// for people
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Prometheus)]
    format: Format,

    /// Rows of each table; with --format table [default: 20]
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(u32).range(1..=MOST_ROWS))]
    top: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Prometheus,
    Openmetrics,
    Json,
    Table,
}

impl OutputArguments {
    pub(super) fn output(&self) -> Result<Output, clap::Error> {
        if self.top.is_some() && self.format != Format::Table {
            return Err(wrong(
                "'--top' shortens tables: give '--format table' with it",
            ));
        }
        Ok(match self.format {
            Format::Prometheus => Output::Prometheus,
            Format::Openmetrics => Output::OpenMetrics,
            Format::Json => Output::Json,
            Format::Table => Output::Table {
                top: self.top.unwrap_or(TOP) as usize,
            },
        })
    }
}
