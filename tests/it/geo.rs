//! Databases of countries and network operators: errors at the start, and files that change.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::live::send;
use crate::network::frames_of;
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

/// The flows of an office by country, added up by hand: `SERVER` is in IE, the resolver in US, and all
/// other addresses are not public.
#[test]
fn analyze_counts_by_country_and_operator() {
    let run = |labels: &str, databases: &[&str]| {
        let mut program = program();
        program.current_dir(testdata());
        program.args([
            "analyze",
            "five_minutes_of_an_office.pcap",
            "--labels",
            labels,
        ]);
        for database in databases {
            program.args(["--geo-database", database]);
        }
        let output = program.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((stderr.as_str(), output.status.code()), ("", Some(0)));
        let scrape = Scrape::parse(str::from_utf8(&output.stdout).unwrap());
        let bytes = scrape.family("tzsp_observed_bytes_total");
        bytes
            .map(|(labels, value)| format!("{labels} {value}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        run("from_country,to_country", &["countries.mmdb"]),
        [
            r#"{from_country="",to_country=""} 43540"#,
            r#"{from_country="",to_country="IE"} 1560"#,
            r#"{from_country="",to_country="US"} 420"#,
            r#"{from_country="IE",to_country=""} 84000"#,
            r#"{from_country="US",to_country=""} 420"#,
        ]
    );
    assert_eq!(
        run("to_asn", &["operators.mmdb"]),
        [
            r#"{to_asn=""} 127960"#,
            r#"{to_asn="AS15169 GOOGLE"} 420"#,
            r#"{to_asn="AS64497 Example \"Two\" GmbH"} 1560"#,
        ]
    );
    // The first database that knows a value wins.
    assert_eq!(
        run(
            "to_country,to_asn",
            &["flat.mmdb", "countries.mmdb", "operators.mmdb"]
        ),
        [
            r#"{to_country="",to_asn=""} 127960"#,
            r#"{to_country="IE",to_asn="AS64497 Example \"Two\" GmbH"} 1560"#,
            r#"{to_country="US",to_asn="AS15169 Google LLC"} 420"#,
        ]
    );
}

/// Waits until the exporter has received so many frames.
fn wait_for(exporter: &Exporter, frames: f64) -> Scrape {
    exporter.scrape_until("all that was sent", |scrape| {
        scrape.value("tzsp_frames_received_total") >= frames
    })
}

/// Sends the frames of a laptop that asks 8.8.8.8 and talks to a server, of which the destination
/// 8.8.8.8 is replaced. Each time, 61 bytes go to the resolver, and 2209 to all.
fn send_to(port: u16, resolver: [u8; 4]) {
    for mut frame in frames_of(&["dhcp_and_dns_inside.pcap"]) {
        let ends = |bytes: &[u8]| bytes == [192, 168, 88, 50, 8, 8, 8, 8];
        if let Some(at) = frame.windows(8).position(ends) {
            frame[at + 4..at + 8].copy_from_slice(&resolver);
        }
        // Ethernet, IPv4 and UDP, which the sockets of the exporter do not see.
        send(port, &frame[14 + 20 + 8..]);
    }
}

#[test]
fn a_flow_keeps_its_country_when_the_database_changes() {
    let file = Replaced::new(&database("countries.mmdb"));
    let options = ["--listen-port", "0", "--geo-database", file.option()];
    let labels = ["--labels", "to,to_country"];
    let mut exporter = Exporter::start(&[&options[..], &labels].concat());
    let port = exporter.udp_port();
    send_to(port, [8, 8, 8, 8]);
    let bytes =
        |scrape: &Scrape, to: &str| scrape.value(&format!("tzsp_observed_bytes_total{{{to}}}"));
    let old = r#"to="8.8.8.8",to_country="US""#;
    let scrape = wait_for(&exporter, 6.0);
    assert_eq!(bytes(&scrape, old), 61.0);

    file.replace(&database("countries_new.mmdb"));
    let is_new = |scrape: &Scrape| file.value(scrape, "build_timestamp_seconds") == FEBRUARY;
    exporter.scrape_until("the new database", is_new);
    send_to(port, [8, 8, 8, 8]);
    send_to(port, [8, 8, 8, 9]);
    let scrape = wait_for(&exporter, 18.0);
    assert_eq!(bytes(&scrape, old), 2.0 * 61.0);
    assert_eq!(bytes(&scrape, r#"to="8.8.8.9",to_country="CH""#), 61.0);
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 3.0 * 2209.0);
    scrape.assert_every_frame_is_accounted_for();
}

/// Without the address, later packets count in the flow of the new country.
#[test]
fn sums_by_country_stay_equal_when_the_database_changes() {
    let file = Replaced::new(&database("countries.mmdb"));
    let options = ["--listen-port", "0", "--geo-database", file.option()];
    let mut exporter = Exporter::start(&[&options[..], &["--labels", "to_country"]].concat());
    let port = exporter.udp_port();
    send_to(port, [8, 8, 8, 8]);
    wait_for(&exporter, 6.0);
    file.replace(&database("countries_new.mmdb"));
    let is_new = |scrape: &Scrape| file.value(scrape, "build_timestamp_seconds") == FEBRUARY;
    exporter.scrape_until("the new database", is_new);
    send_to(port, [8, 8, 8, 8]);
    let scrape = wait_for(&exporter, 12.0);
    for (country, bytes) in [("US", 61.0), ("CH", 61.0), ("IE", 2.0 * 60.0)] {
        let sample = format!("tzsp_observed_bytes_total{{to_country=\"{country}\"}}");
        assert_eq!(scrape.value(&sample), bytes, "{country}");
    }
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 2.0 * 2209.0);
}

/// The operators of the resolver and of the server.
#[test]
fn operators_that_were_found_are_counted() {
    let operators = testdata().join("operators.mmdb");
    let options = ["--listen-port", "0", "--geo-database"];
    let options = [&options[..], &[operators.to_str().unwrap()]].concat();
    let mut exporter = Exporter::start(&[&options[..], &["--labels", "to_asn"]].concat());
    let count = |scrape: &Scrape| {
        let names = ["tzsp_operators", "tzsp_operators_limit"];
        names.map(|name| scrape.value(name))
    };
    assert_eq!(count(&exporter.scrape()), [0.0, 131_072.0]);
    let port = exporter.udp_port();
    send_to(port, [8, 8, 8, 8]);
    assert_eq!(count(&wait_for(&exporter, 6.0)), [2.0, 131_072.0]);

    let exporter = Exporter::start(&options);
    assert!(!exporter.scrape().text.contains("tzsp_operators"));
}

#[test]
fn a_label_without_its_database_is_an_error_at_the_start() {
    let operators = testdata().join("operators.mmdb");
    let operators = operators.to_str().unwrap();
    let (code, line) = refusal(&["--labels", "from,to_country"]);
    let expected = "error: the label 'to_country' needs a database of countries: add \
                    '--geo-database FILE'";
    assert_eq!((code, line.as_str()), (2, expected));
    let expected = "error: the label 'to_country' needs a database of countries, and no \
                    '--geo-database' has any: add one that has";
    let labels = ["--labels", "from,to_country", "--geo-database", operators];
    assert_eq!(refusal(&labels), (1, expected.to_owned()));
    let analyze = [&["analyze", "-"][..], &labels].concat();
    assert_eq!(refusal(&analyze), (1, expected.to_owned()));
}
