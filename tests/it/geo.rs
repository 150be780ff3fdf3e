//! Databases of countries and network operators: errors at the start, and files that change.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::scrape::Scrape;
use crate::support::{Exporter, program, testdata};

/// When the databases of the test data were built: 2024-01-15 and 2024-02-15.
const JANUARY: f64 = 1_705_276_800.0;
const FEBRUARY: f64 = 1_707_955_200.0;

fn database(name: &str) -> Vec<u8> {
    fs::read(testdata().join(name)).unwrap()
}

/// A database file that tests replace.
struct Replaced {
    _directory: TempDir,
    path: PathBuf,
}

impl Replaced {
    fn new(content: &[u8]) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("countries.mmdb");
        fs::write(&path, content).unwrap();
        Self {
            _directory: directory,
            path,
        }
    }

    fn option(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// Replaces the file in one step, as geoipupdate does.
    fn replace(&self, content: &[u8]) {
        let new = self.path.with_extension("new");
        fs::write(&new, content).unwrap();
        fs::rename(&new, &self.path).unwrap();
    }

    /// The value of a metric of the file.
    fn value(&self, scrape: &Scrape, metric: &str) -> f64 {
        let file = self.option();
        scrape.value(&format!("tzsp_geo_database_{metric}{{file=\"{file}\"}}"))
    }
}

#[test]
fn a_database_is_read_again_when_it_changes() {
    let before = database("countries.mmdb");
    let file = Replaced::new(&before);
    let mut exporter = Exporter::start(&["--listen-port", "0", "--geo-database", file.option()]);
    let built = |scrape: &Scrape| file.value(scrape, "build_timestamp_seconds");
    let failures = |scrape: &Scrape| file.value(scrape, "failures_total");
    let scrape = exporter.scrape();
    assert_eq!((built(&scrape), failures(&scrape)), (JANUARY, 0.0));
    assert_eq!(file.value(&scrape, "size_bytes"), before.len() as f64);

    file.replace(&database("countries_new.mmdb"));
    let is_new = |scrape: &Scrape| built(scrape) == FEBRUARY;
    let scrape = exporter.scrape_until("the new database", is_new);
    assert_eq!(failures(&scrape), 0.0);

    // It is being copied, and the copy stops half-way.
    fs::write(&file.path, &before[..before.len() / 2]).unwrap();
    let has_failed = |scrape: &Scrape| failures(scrape) == 1.0;
    let scrape = exporter.scrape_until("a failure", has_failed);
    assert_eq!(built(&scrape), FEBRUARY);
    exporter.wait_for_line("or not a whole one");
    fs::remove_file(&file.path).unwrap();
    exporter.wait_for_line("No such file or directory");

    file.replace(&before);
    let is_old = |scrape: &Scrape| built(scrape) == JANUARY;
    let scrape = exporter.scrape_until("the old database", is_old);
    assert_eq!(failures(&scrape), 2.0);
}

/// Runs the program, which refuses to start. Returns its exit code and the first line that it writes.
fn refusal(arguments: &[&str]) -> (i32, String) {
    let output = program().args(arguments).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let first = stderr.lines().next().unwrap_or_default().to_owned();
    (output.status.code().unwrap(), first)
}

#[test]
fn databases_that_cannot_be_used_are_errors_at_the_start() {
    let capture = testdata().join("five_minutes_of_an_office.pcap");
    let capture = capture.to_str().unwrap();
    let live = ["--publish-port", "0", "--listen-port", "0"];
    let analyze = ["analyze", capture];
    let check = |file: &str, problem: &str| {
        let expected = format!("error: cannot use '--geo-database {file}': {problem}");
        for mode in [&live[..], &analyze] {
            let arguments = [mode, &["--geo-database", file]].concat();
            assert_eq!(refusal(&arguments), (1, expected.clone()));
        }
    };
    let nowhere = "/nowhere/countries.mmdb";
    check(nowhere, "No such file or directory (os error 2)");
    check("/dev/zero", "it is not a regular file");
    check(
        capture,
        "it is not a database in the MaxMind DB format, or not a whole one: invalid database: could \
         not find MaxMind DB metadata in file",
    );
}

#[test]
fn a_database_given_twice_is_an_error() {
    let file = "countries.mmdb";
    let (code, line) = refusal(&["--geo-database", file, "--geo-database", file]);
    let expected = "error: '--geo-database countries.mmdb' is given twice: name each file once";
    assert_eq!((code, line.as_str()), (2, expected));
}
