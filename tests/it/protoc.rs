//! Decodes the protobuf format with protoc and the schema that Prometheus publishes.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// A family as `protoc` decodes it.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) kind: String,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug, Default)]
pub(crate) struct Sample {
    /// In the order in which they are written.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
    /// Seconds and nanoseconds.
    pub(crate) start: Option<(u64, u64)>,
}

/// Decodes a series of messages, each behind its length.
#[track_caller]
pub(crate) fn decoded(messages: &[u8]) -> Vec<Family> {
    split(messages).into_iter().map(decoded_family).collect()
}

/// Decodes one message.
#[track_caller]
pub(crate) fn decoded_family(message: &[u8]) -> Family {
    parsed(&protoc(message))
}

/// Splits a series of messages, each behind its length.
#[track_caller]
pub(crate) fn split(mut messages: &[u8]) -> Vec<&[u8]> {
    let mut split = Vec::new();
    while !messages.is_empty() {
        let mut length = 0;
        for shift in (0..).step_by(7) {
            let (&byte, rest) = messages.split_first().unwrap();
            messages = rest;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (message, rest) = messages.split_at(length);
        messages = rest;
        split.push(message);
    }
    split
}

fn protoc(message: &[u8]) -> String {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/schema");
    let mut protoc = Command::new("protoc")
        .arg("--decode=io.prometheus.client.MetricFamily")
        .arg("--proto_path")
        .arg(&schema)
        .arg(schema.join("metrics.proto"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("protoc is missing; `cargo xtask ci` installs it");
    let mut stdin = protoc.stdin.take().unwrap();
    let message = message.to_owned();
    let writer = thread::spawn(move || stdin.write_all(&message).unwrap());
    let output = protoc.wait_with_output().unwrap();
    writer.join().unwrap();
    let problems = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{problems}");
    String::from_utf8(output.stdout).unwrap()
}

/// Parses what `protoc --decode` prints: `name: value`, and messages in braces.
#[track_caller]
fn parsed(text: &str) -> Family {
    let mut family = Family::default();
    let mut messages = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(message) = line.strip_suffix(" {") {
            messages.push(message);
            match messages[..] {
                ["metric"] => family.samples.push(Sample::default()),
                ["metric", "label"] => {
                    let sample = family.samples.last_mut().unwrap();
                    sample.labels.push(Default::default());
                }
                ["metric", "counter", "created_timestamp"] => {
                    family.samples.last_mut().unwrap().start = Some((0, 0));
                }
                ["metric", "counter" | "gauge"] => {}
                _ => panic!("{messages:?}"),
            }
            continue;
        }
        if line == "}" {
            messages.pop();
            continue;
        }
        let (field, value) = line.split_once(": ").expect(line);
        if messages.is_empty() {
            match field {
                "name" => family.name = unquoted(value),
                "help" => family.help = unquoted(value),
                "type" => family.kind = value.to_lowercase(),
                _ => panic!("{line}"),
            }
            continue;
        }
        let sample = family.samples.last_mut().unwrap();
        match (&messages[1..], field) {
            (["label"], "name") => sample.labels.last_mut().unwrap().0 = unquoted(value),
            (["label"], "value") => sample.labels.last_mut().unwrap().1 = unquoted(value),
            (["counter"], "value") if family.kind == "counter" => {
                sample.value = value.parse().unwrap();
            }
            (["gauge"], "value") if family.kind == "gauge" => {
                sample.value = value.parse().unwrap();
            }
            (["counter", "created_timestamp"], "seconds") => {
                sample.start.as_mut().unwrap().0 = value.parse().unwrap();
            }
            (["counter", "created_timestamp"], "nanos") => {
                sample.start.as_mut().unwrap().1 = value.parse().unwrap();
            }
            _ => panic!("{messages:?} {line}"),
        }
    }
    family
}

/// A text without its quotation marks and the escapes of C.
#[track_caller]
fn unquoted(text: &str) -> String {
    let text = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let mut bytes = text.unwrap().bytes();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        plain.push(match bytes.next().unwrap() {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            escaped @ (b'\\' | b'"' | b'\'') => escaped,
            first => [bytes.next(), bytes.next()]
                .iter()
                .fold(first - b'0', |code, digit| code * 8 + digit.unwrap() - b'0'),
        });
    }
    String::from_utf8(plain).unwrap()
}
