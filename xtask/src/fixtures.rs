//! The captures in testdata/. Each proves one property of the program, and has expected numbers that
//! are worked out by hand. The README there is generated from the same list.

mod capture_formats;
mod chain;
mod cut_short;
pub(crate) mod databases;
mod encapsulations;
mod flows;
mod inner;
mod inner_ipv6;
pub(crate) mod links;
pub(crate) mod names;
mod office;
mod outer;
mod outer_ipv6;
mod plain;
mod plain_links;
mod radio_headers;
mod tzsp;
mod wlan;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use crate::capture_file::{Pcap, Record};

#[derive(Args)]
pub(crate) struct Options {
    /// Write nothing; fail if a file is outdated, missing or unexpected
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if options.check { check() } else { write() }
}

/// Checks that testdata/ has exactly the files that [`run`] would write.
pub(crate) fn check() -> anyhow::Result<()> {
    let differences = differences(&directory())?;
    if differences.is_empty() {
        return Ok(());
    }
    bail!("{}\nrun: cargo xtask fixtures", differences.join("\n"));
}

fn write() -> anyhow::Result<()> {
    let directory = directory();
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    let files = files();
    for name in unexpected(&directory, &files)? {
        println!("removing {name}");
        let path = directory.join(name);
        fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    for (name, content) in &files {
        let path = directory.join(name);
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
    }
    println!("{} files in {}", files.len(), directory.display());
    Ok(())
}

fn differences(directory: &Path) -> anyhow::Result<Vec<String>> {
    let files = files();
    let mut differences = Vec::new();
    for (name, content) in &files {
        match fs::read(directory.join(name)) {
            Ok(found) if found == *content => {}
            Ok(_) => differences.push(format!("testdata/{name} is outdated")),
            Err(_) => differences.push(format!("testdata/{name} is missing")),
        }
    }
    for name in unexpected(directory, &files)? {
        differences.push(format!("testdata/{name} is unexpected"));
    }
    Ok(differences)
}

/// Returns the names of existing files that no fixture writes.
fn unexpected(directory: &Path, files: &BTreeMap<String, Vec<u8>>) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    if !directory.exists() {
        return Ok(names);
    }
    let entries =
        fs::read_dir(directory).with_context(|| format!("listing {}", directory.display()))?;
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !files.contains_key(&name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("testdata")
}

fn files() -> BTreeMap<String, Vec<u8>> {
    let groups = groups();
    let mut files = BTreeMap::from([("README.md".to_owned(), readme(&groups).into_bytes())]);
    for database in databases::fixtures() {
        files.insert(database.name.to_owned(), database.content);
    }
    for fixture in groups.into_iter().flat_map(|(_, fixtures)| fixtures) {
        let before = files.insert(fixture.name.to_owned(), fixture.content);
        assert!(before.is_none(), "two fixtures are called {}", fixture.name);
    }
    files
}

/// Returns all fixtures by group, in the order of the README. The integration tests keep one snapshot
/// for each group.
fn groups() -> Vec<(&'static str, Vec<Fixture>)> {
    vec![
        ("Capture formats", capture_formats::fixtures()),
        ("Chain of lengths", chain::fixtures()),
        ("Link types", links::fixtures()),
        ("Outer packet", outer::fixtures()),
        ("Outer IPv6", outer_ipv6::fixtures()),
        ("TZSP", tzsp::fixtures()),
        ("Inner packet", inner::fixtures()),
        ("Inner encapsulations", encapsulations::fixtures()),
        ("Inner IPv6", inner_ipv6::fixtures()),
        ("Inner 802.11", wlan::fixtures()),
        ("Radio headers", radio_headers::fixtures()),
        ("Not mirrored", plain::fixtures()),
        ("Link types of not mirrored", plain_links::fixtures()),
        ("Cut short", cut_short::fixtures()),
        ("Flows", flows::fixtures()),
        ("An office", office::fixtures()),
        ("Names", names::fixtures()),
    ]
}

fn all() -> impl Iterator<Item = Fixture> {
    groups().into_iter().flat_map(|(_, fixtures)| fixtures)
}

/// Returns the names and contents of all captures.
pub(crate) fn captures() -> Vec<(&'static str, Vec<u8>)> {
    all()
        .map(|fixture| (fixture.name, fixture.content))
        .collect()
}

fn readme(groups: &[(&str, Vec<Fixture>)]) -> String {
    let mut text = String::from(
        "# Test captures

Written by `cargo xtask fixtures` from xtask/src/fixtures; do not edit by hand. The numbers are \
the expected results of `analyze` without `--listen-port`, worked out by hand: packets and bytes \
are sums over all flows, skipped frames are listed by reason, truncated ones by cause.
",
    );
    for (title, fixtures) in groups {
        text.push_str(&section(title, fixtures));
    }
    text.push_str(&databases_section());
    text
}

fn databases_section() -> String {
    let mut text = String::from(
        "
## Databases

Countries and network operators for `--geo-database`, all made up. `-` means that the database has \
none.

| database | proves | gives |
|---|---|---|
",
    );
    for database in databases::fixtures() {
        let databases::Fixture {
            name,
            proves,
            expected,
            ..
        } = database;
        writeln!(text, "| {name} | {proves} | {expected} |").expect("a String takes everything");
    }
    text
}

fn section(title: &str, fixtures: &[Fixture]) -> String {
    let mut text = format!(
        "
## {title}

| capture | proves | packets | bytes | skipped | truncated |
|---|---|---|---|---|---|
"
    );
    for fixture in fixtures {
        let Fixture {
            name,
            proves,
            packets,
            bytes,
            skipped,
            truncated,
            ..
        } = fixture;
        writeln!(
            text,
            "| {name} | {proves} | {packets} | {bytes} | {skipped} | {truncated} |"
        )
        .expect("a String takes everything");
    }
    text
}

/// A capture and its expected results.
struct Fixture {
    name: &'static str,
    /// The property that the capture proves, or its frames.
    proves: &'static str,
    packets: u64,
    bytes: u64,
    /// Reasons and numbers, in the order in which the decoder checks them, or `-`.
    skipped: &'static str,
    /// Causes and numbers, or `-`.
    truncated: &'static str,
    content: Vec<u8>,
}

impl Fixture {
    fn new(name: &'static str, proves: &'static str) -> Self {
        Self {
            name,
            proves,
            packets: 0,
            bytes: 0,
            skipped: "-",
            truncated: "-",
            content: vec![],
        }
    }

    /// `bytes` is the sum over all `packets`.
    fn counts(self, packets: u64, bytes: u64) -> Self {
        Self {
            packets,
            bytes,
            ..self
        }
    }

    fn skips(self, skipped: &'static str) -> Self {
        Self { skipped, ..self }
    }

    fn truncates(self, truncated: &'static str) -> Self {
        Self { truncated, ..self }
    }

    fn content(self, content: Vec<u8>) -> Self {
        Self { content, ..self }
    }

    /// Sets the content to a pcap file with whole frames.
    fn frames(self, link: u32, frames: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let records: Vec<Record> = frames.into_iter().map(Record::whole).collect();
        self.content(Pcap::new(link).file(&records))
    }

    /// Sets the content to a pcap file with a snap length that truncates the frames.
    fn frames_cut_at(
        self,
        snap_length: u32,
        link: u32,
        frames: impl IntoIterator<Item = Vec<u8>>,
    ) -> Self {
        let cut = usize::try_from(snap_length).expect("a snap length is small");
        let records: Vec<Record> = frames
            .into_iter()
            .map(|frame| Record::cut_at(frame, cut))
            .collect();
        self.content(
            Pcap {
                snap_length,
                ..Pcap::new(link)
            }
            .file(&records),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn testdata_is_up_to_date() {
        check().expect("every file is up to date");
    }

    /// Wireshark's reader opens every capture but those that are listed with a reason, and agrees
    /// about the number of frames.
    #[test]
    fn every_frame_is_counted_or_skipped() {
        let frames = frames_by_capinfos();
        for fixture in all() {
            let accounted = fixture.packets + sum(fixture.skipped);
            let expected = (!is_unreadable_elsewhere(&fixture)).then_some(&accounted);
            assert_eq!(frames.get(fixture.name), expected, "{}", fixture.name);
            assert!(
                sum(fixture.truncated) <= fixture.packets,
                "{}",
                fixture.name
            );
        }
    }

    /// Returns the sum of the numbers in a list such as `not_ip 1, not_udp 3`.
    fn sum(list: &str) -> u64 {
        list.split(", ")
            .filter(|item| *item != "-")
            .map(|item| {
                let (_, number) = item.rsplit_once(' ').expect("a name and a number");
                number.parse::<u64>().expect("a number")
            })
            .sum()
    }

    fn is_unreadable_elsewhere(fixture: &Fixture) -> bool {
        let mut names = chain::UNREADABLE_ELSEWHERE.iter();
        names.any(|&(name, _reason)| name == fixture.name)
    }

    fn frames_by_capinfos() -> BTreeMap<String, u64> {
        let output = Command::new("capinfos")
            .args(["-T", "-r", "-b", "-M", "-c"])
            .args(
                all()
                    .filter(|fixture| !is_unreadable_elsewhere(fixture))
                    .map(|fixture| fixture.name),
            )
            .current_dir(directory())
            .output()
            .expect("capinfos, which comes with tshark, is installed: see cargo xtask ci");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout)
            .expect("capinfos prints text")
            .lines()
            .map(|line| {
                let (name, count) = line.split_once(' ').expect("a name and a number");
                (name.to_owned(), count.parse().expect("a number"))
            })
            .collect()
    }
}
