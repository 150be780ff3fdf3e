//! Modes of `analyze` that do more for each packet than the default, each beside the default.

use std::ffi::OsStr;

use anyhow::Context;

use super::Bench;
use super::cases::{self, Peer};
use super::input::{self, Input};
use super::table::{Goal, Row};

/// A mode, and how many times as long as the default it may take.
struct Mode {
    name: &'static str,
    input: Input,
    options: &'static [&'static str],
    goal: f64,
}

const MODES: [Mode; 5] = [
    Mode {
        name: "A by classes",
        input: input::A,
        options: &["--labels", "from_type,to_type"],
        goal: 1.2,
    },
    Mode {
        name: "A by prefixes",
        input: input::A,
        options: &["--prefix-length", "public=24"],
        goal: 1.2,
    },
    // Each flow of the input has ports of its own, so there are 20,000 here too.
    Mode {
        name: "A, five-tuples",
        input: input::A,
        options: &["--labels", "from,to,protocol,from_port,to_port"],
        goal: 1.4,
    },
    Mode {
        name: "A every 15 s",
        input: input::A,
        options: &["--format", "openmetrics", "--every", "15s"],
        goal: 2.5,
    },
    Mode {
        name: "A, odd lengths",
        input: input::ODD_LENGTHS,
        options: &[],
        goal: 1.5,
    },
];

/// Writes the mirrored frames to a file.
const WRITE_INNER: Mode = Mode {
    name: "A, inner written",
    input: input::A,
    options: &["--write-inner"],
    goal: 1.8,
};

pub(super) fn run(bench: &Bench, _: &'static str) -> anyhow::Result<Vec<Row>> {
    let directory = tempfile::tempdir().context("a directory for --write-inner")?;
    let mut rows = Vec::new();
    for mode in &MODES {
        rows.extend(mode.beside_default(bench, None)?);
    }
    let file = directory.path().join("inner.pcap");
    rows.extend(WRITE_INNER.beside_default(bench, Some(file.as_os_str()))?);
    Ok(rows)
}

impl Mode {
    /// Compares with the default. `last` is the last argument, after the options.
    fn beside_default(&self, bench: &Bench, last: Option<&OsStr>) -> anyhow::Result<Vec<Row>> {
        let mut ours = cases::analyze(bench, 1, &[self.input])?;
        ours.args(self.options).args(last);
        let default = cases::analyze(bench, 1, &[input::A])?;
        let peer = Peer::new("A, plain", default, Some(Goal::times(self.goal)));
        cases::compare(bench, self.name, &ours, &[peer], None)
    }
}
