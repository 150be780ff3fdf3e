//! Labels of countries and services instead of addresses: how long they take, and how many series
//! they leave.

use std::process::Command;

use anyhow::{Context, bail, ensure};

use super::Bench;
use super::cases::{self, Peer};
use super::input;
use super::table::Row;
use crate::project::root;

/// Names of rows, and the labels that replace the default ones.
const CHOICES: [(&str, &str); 2] = [
    ("A, to countries", "from,to_country,service"),
    ("A, between countries", "from_country,to_country,service"),
];
const DEFAULT: &str = "A, plain";

/// Measures each choice of labels beside the default. Fails if the sums of bytes differ.
pub(super) fn run(bench: &Bench, _: &'static str) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, labels) in CHOICES {
        let mut ours = cases::analyze(bench, 1, &[input::A])?;
        ours.args(["--labels", labels, "--geo-database"]);
        ours.arg(root().join("testdata/countries.mmdb"));
        let default = || cases::analyze(bench, 1, &[input::A]);
        let peer = Peer::new(DEFAULT, default()?, None);
        rows.extend(cases::compare(bench, name, &ours, &[peer], None)?);
        // Another build counts the same.
        if bench.other.is_none() {
            let (ours, plain) = (Counted::by(ours)?, Counted::by(default()?)?);
            if ours.bytes != plain.bytes {
                bail!("{name}: {} bytes, not {}", ours.bytes, plain.bytes);
            }
            rows.extend(ours.beside(&plain, name));
        }
    }
    Ok(rows)
}

/// What a run of the exporter has counted in flows.
#[derive(Debug, PartialEq, Eq)]
struct Counted {
    series: u32,
    bytes: u64,
}

impl Counted {
    fn by(mut command: Command) -> anyhow::Result<Self> {
        let output = command
            .output()
            .with_context(|| format!("cannot run {command:?}"))?;
        ensure!(output.status.success(), "{command:?}: {}", output.status);
        let text = String::from_utf8(output.stdout).context("metrics are text")?;
        Self::in_text(&text)
    }

    /// Counts in the text format.
    fn in_text(text: &str) -> anyhow::Result<Self> {
        let mut counted = Self {
            series: 0,
            bytes: 0,
        };
        for line in text.lines() {
            if !line.starts_with("tzsp_observed_") {
                continue;
            }
            counted.series += 1;
            if line.starts_with("tzsp_observed_bytes_total") {
                let (_, value) = line.rsplit_once(' ').context("a sample has a value")?;
                let value: u64 = value.parse().with_context(|| line.to_owned())?;
                counted.bytes += value;
            }
        }
        Ok(counted)
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn beside(&self, other: &Self, name: &'static str) -> [Row; 2] {
        let row = |quantity, ours, theirs| {
            Row::compared(name, quantity, &[ours], DEFAULT, &[theirs], None)
        };
        [
            row("series", self.series.into(), other.series.into()),
            row("bytes", self.bytes as f64, other.bytes as f64),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_and_bytes_of_flows_are_counted() {
        let text = "# TYPE tzsp_observed_bytes_total counter\n\
            tzsp_observed_bytes_total{to_country=\"a b\"} 1500\n\
            tzsp_observed_bytes_total{to_country=\"\"} 52\n\
            tzsp_observed_packets_total{to_country=\"\"} 1\n\
            tzsp_traffic_bytes_total{from_type=\"public\"} 1552\n";
        let expected = Counted {
            series: 3,
            bytes: 1552,
        };
        assert_eq!(Counted::in_text(text).expect("metrics"), expected);
    }
}
