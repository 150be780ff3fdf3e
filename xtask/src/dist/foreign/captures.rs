//! Compares the results of two programs on all captures of testdata/.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use anyhow::{Context, ensure};

use super::runner::Runner;
use crate::dist::files;
use crate::project::root;

/// The formats in which results are compared.
const FORMATS: [&str; 4] = ["prometheus", "openmetrics", "json", "table"];

/// Analyzes all captures with a program and with that of this machine. Both must print the same to
/// standard output and standard error, and end with the same status.
pub(super) fn compare(runner: &Runner, program: &Path, native: &Path) -> anyhow::Result<()> {
    let captures = files(&root().join("testdata"))?;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = captures.len().div_ceil(threads);
    let differences = thread::scope(|scope| {
        let shares = captures
            .chunks(share)
            .map(|captures| scope.spawn(move || differences(runner, program, native, captures)));
        let shares: Vec<_> = shares.collect();
        let results = shares.into_iter().map(|share| {
            let result = share.join();
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        results.collect::<Result<Vec<_>, _>>()
    })?
    .concat();
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    println!(
        "{} files in {} formats: the same as on this machine",
        captures.len(),
        FORMATS.len()
    );
    Ok(())
}

/// Describes all differences on some captures.
fn differences(
    runner: &Runner,
    program: &Path,
    native: &Path,
    captures: &[PathBuf],
) -> anyhow::Result<Vec<String>> {
    let mut differences = Vec::new();
    for capture in captures {
        for format in FORMATS {
            let expected = analyze(Command::new(native), capture, format)?;
            let found = analyze(runner.command(program), capture, format)?;
            differences.extend(
                difference(&expected, &found)
                    .map(|difference| format!("{} as {format}: {difference}", capture.display())),
            );
        }
    }
    Ok(differences)
}

fn analyze(mut command: Command, capture: &Path, format: &str) -> anyhow::Result<Output> {
    command
        .args(["analyze", "--format", format])
        .arg(capture)
        .output()
        .with_context(|| format!("cannot run {command:?}"))
}

/// Describes how two results differ, if they do.
pub(super) fn difference(expected: &Output, found: &Output) -> Option<String> {
    if found.status.code() != expected.status.code() {
        Some(format!("{}, instead of {}", found.status, expected.status))
    } else if found.stdout != expected.stdout {
        Some(first_difference(&expected.stdout, &found.stdout))
    } else if found.stderr != expected.stderr {
        Some(first_difference(&expected.stderr, &found.stderr))
    } else {
        None
    }
}

/// Describes the first line in which two texts differ.
fn first_difference(expected: &[u8], found: &[u8]) -> String {
    let [expected, found] = [expected, found].map(String::from_utf8_lossy);
    let mut lines = expected.lines().map(Some).chain([None]);
    let mut found = found.lines().map(Some).chain([None]);
    let pair = loop {
        match (lines.next().flatten(), found.next().flatten()) {
            (Some(expected), Some(found)) if expected == found => {}
            pair => break pair,
        }
    };
    match pair {
        (Some(expected), Some(found)) => format!("{found:?} instead of {expected:?}"),
        (Some(expected), None) => format!("{expected:?} is missing"),
        (None, Some(found)) => format!("{found:?} is too much"),
        (None, None) => "ends of lines differ".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_named() {
        let difference = |found: &str| first_difference(b"one\ntwo\n", found.as_bytes());
        assert_eq!(difference("one\n2\n"), r#""2" instead of "two""#);
        assert_eq!(difference("one\n"), r#""two" is missing"#);
        assert_eq!(difference("one\ntwo\nthree\n"), r#""three" is too much"#);
        assert_eq!(difference("one\r\ntwo\r\n"), "ends of lines differ");
    }
}
