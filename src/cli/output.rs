//! What `analyze` writes, and how.

use clap::{Args, ValueEnum};

use crate::analyze::Output;

#[derive(Debug, Args)]
pub(super) struct OutputArguments {
    /// What is written: the metrics as Prometheus or OpenMetrics text, or one JSON object
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Prometheus)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Prometheus,
    Openmetrics,
    Json,
}

impl OutputArguments {
    pub(super) fn output(&self) -> Output {
        match self.format {
            Format::Prometheus => Output::Prometheus,
            Format::Openmetrics => Output::OpenMetrics,
            Format::Json => Output::Json,
        }
    }
}
