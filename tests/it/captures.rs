//! Every capture in testdata/ gives the numbers in testdata/README.md, which are worked out by
//! hand.

use std::collections::BTreeMap;
use std::iter::once;
use std::time::Duration;

use tzsp_packetstream_exporter::capture::CaptureReader;
use tzsp_packetstream_exporter::wire::{Skipped, Truncated};

use crate::scrape::Scrape;
use crate::support::{OneByteReader, aggregator, analyze, captures, file_name, testdata};

#[test]
fn every_capture_gives_the_numbers_worked_out_by_hand() {
    let mut expected = expected_by_hand();
    for capture in captures() {
        let name = file_name(&capture);
        let scrape = analyze(&capture);
        scrape.assert_every_frame_is_accounted_for();
        scrape.assert_hosts_account_for_traffic(&["private"]);
        let row = expected
            .remove(name)
            .unwrap_or_else(|| panic!("no line for {name}"));
        assert_eq!(summary(&scrape), row, "{name}");
    }
    assert!(expected.is_empty(), "lines without a capture: {expected:?}");
}

/// One snapshot for each group of captures, without comments and zero samples, so that its diff
/// shows only changes of meaning.
#[test]
fn every_group_of_captures_gives_its_snapshot() {
    for (title, captures) in groups() {
        let mut text = String::new();
        for capture in &captures {
            let scrape = analyze(&testdata().join(capture));
            let samples = scrape.text.lines();
            let samples = samples.filter(|line| !line.starts_with('#') && !line.ends_with(" 0"));
            text.extend(once(format!("\n{capture}\n")));
            text.extend(samples.map(|sample| format!("{sample}\n")));
        }
        let name = title.to_lowercase().replace([' ', '.'], "_");
        insta::with_settings!({omit_expression => true}, {
            insta::assert_snapshot!(format!("captures_{name}"), text);
        });
    }
}

/// The complete text of captures that have values in most metrics.
#[test]
fn some_captures_give_their_complete_text() {
    for capture in ["cut_inside_each_layer", "five_minutes_of_an_office"] {
        let scrape = analyze(&testdata().join(capture).with_extension("pcap"));
        insta::with_settings!({omit_expression => true}, {
            insta::assert_snapshot!(capture, scrape.text);
        });
    }
}

#[test]
fn frames_are_the_same_when_the_stream_delivers_byte_by_byte() {
    for capture in captures() {
        let bytes = std::fs::read(&capture).unwrap();
        let mut reader = CaptureReader::new(OneByteReader(&bytes));
        let mut core = aggregator();
        let mut batch = core.batch();
        while reader.fill().unwrap() {
            while let Some(frame) = reader.next_frame().unwrap() {
                batch.frame(frame.at, &frame);
            }
        }
        core.record_batch(&mut batch);
        let scrape = analyze(&capture);
        assert_eq!(
            core.frames().received as f64,
            scrape.value("tzsp_frames_received_total"),
            "{}",
            capture.display()
        );
        assert_eq!(
            core.scrape(Duration::ZERO)
                .narrow
                .iter()
                .map(|flow| flow.counters.bytes)
                .sum::<u64>() as f64,
            scrape.sum("tzsp_observed_bytes_total"),
            "{}",
            capture.display()
        );
    }
}

/// The headings of testdata/README.md, each with the captures below it.
fn groups() -> Vec<(String, Vec<String>)> {
    let readme = std::fs::read_to_string(testdata().join("README.md")).unwrap();
    let sections = readme.split("\n## ").skip(1).map(|section| {
        let (title, table) = section.split_once('\n').unwrap();
        let cells = table.lines().filter_map(|line| line.split('|').nth(1));
        let names = cells.map(str::trim).filter(|cell| cell.contains(".pcap"));
        (title.to_owned(), names.map(str::to_owned).collect())
    });
    sections
        .filter(|(_, captures): &(_, Vec<_>)| !captures.is_empty())
        .collect()
}

/// The columns packets, bytes, skipped and truncated, by capture.
pub(crate) fn expected_by_hand() -> BTreeMap<String, [String; 4]> {
    let table = std::fs::read_to_string(testdata().join("README.md")).unwrap();
    let rows = table.lines().filter_map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [capture, _, packets, bytes, skipped, truncated] = cells[..] else {
            return None;
        };
        let row = [packets, bytes, skipped, truncated].map(str::to_owned);
        capture.contains(".pcap").then(|| (capture.to_owned(), row))
    });
    rows.collect()
}

fn summary(scrape: &Scrape) -> [String; 4] {
    let list = |family: &str, label: &str, values: &[&str]| {
        let listed: Vec<_> = values
            .iter()
            .map(|value| {
                (
                    value,
                    scrape.value(&format!("{family}{{{label}=\"{value}\"}}")),
                )
            })
            .filter(|(_, count)| *count > 0.0)
            .map(|(value, count)| format!("{value} {count}"))
            .collect();
        if listed.is_empty() {
            "-".to_owned()
        } else {
            listed.join(", ")
        }
    };
    [
        scrape.sum("tzsp_observed_packets_total").to_string(),
        scrape.sum("tzsp_observed_bytes_total").to_string(),
        list(
            "tzsp_frames_skipped_total",
            "reason",
            &Skipped::ALL.map(Skipped::label),
        ),
        list(
            "tzsp_frames_truncated_total",
            "cause",
            &Truncated::ALL.map(Truncated::label),
        ),
    ]
}
