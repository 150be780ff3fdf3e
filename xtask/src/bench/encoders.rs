//! Compares the exporter's text encoder with `TextEncoder` of the prometheus crate. Both run in one
//! process, which links the library.

use anyhow::{Context, bail};
use serde::Deserialize;

use super::Bench;
use super::table::{Goal, Row};
use crate::project;

/// The output of `benches/encoders.rs`: the time of each run, in milliseconds.
#[derive(Deserialize)]
struct Encoders {
    ours: Vec<f64>,
    prometheus: Vec<f64>,
}

pub(super) fn run(_: &Bench, name: &'static str) -> anyhow::Result<Vec<Row>> {
    let output = project::cargo()
        .args(["bench", "--quiet", "--locked", "--bench", "encoders"])
        .arg("--target-dir")
        .arg(project::target()?)
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo bench --bench encoders ended with {}", output.status);
    }
    let Encoders { ours, prometheus } = serde_json::from_slice(&output.stdout)
        .context("parsing the output of benches/encoders.rs")?;
    Ok(vec![Row::compared(
        name,
        "ms",
        &ours,
        "prometheus TextEncoder",
        &prometheus,
        Some(Goal::times(1.0 / 15.0)),
    )])
}
