//! Compares the exporter's text encoder with `TextEncoder` of the prometheus crate, and its protobuf
//! encoder with the text encoder. All run in one process, which links the library.

use anyhow::{Context, bail};
use serde::Deserialize;

use super::Bench;
use super::table::{Goal, Row};
use crate::project;

/// The output of `benches/encoders.rs`: the time of each run in milliseconds, and sizes in bytes.
#[derive(Deserialize)]
struct Encoders {
    text: Vec<f64>,
    protobuf: Vec<f64>,
    prometheus: Vec<f64>,
    text_size: f64,
    protobuf_size: f64,
}

const MB: f64 = 1e6;

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
    let encoders: Encoders = serde_json::from_slice(&output.stdout)
        .context("parsing the output of benches/encoders.rs")?;
    Ok(vec![
        Row::compared(
            name,
            "ms",
            &encoders.text,
            "prometheus TextEncoder",
            &encoders.prometheus,
            Some(Goal::times(1.0 / 15.0)),
        ),
        Row::compared(
            name,
            "protobuf, ms",
            &encoders.protobuf,
            "the text format",
            &encoders.text,
            Some(Goal::times(1.0)),
        ),
        Row::compared(
            name,
            "protobuf, MB",
            &[encoders.protobuf_size / MB],
            "the text format",
            &[encoders.text_size / MB],
            None,
        ),
    ])
}
