//! The options of `healthcheck`.

use clap::Args;

use super::Task;
use crate::healthcheck::{DEFAULT_URL, Url};

#[derive(Debug, Args)]
pub(super) struct HealthcheckArguments {
    /// URL of the exporter, such as https://localhost:9184; certificates are not verified
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL)]
    url: Url,
}

impl HealthcheckArguments {
    pub(super) fn task(self) -> Task {
        Task::Healthcheck(self.url)
    }
}
