//! `--write-inner`, compared with tshark's own decapsulation.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{file_name, program, tool};
use crate::tshark::readable_captures;

/// A frame of a capture: its time, and its bytes in hexadecimal.
#[derive(Debug, PartialEq)]
struct Record {
    time: String,
    bytes: String,
}

/// Captures for which the program differs from tshark on purpose, with the reason.
const KNOWN_DIFFERENCES: &[(&str, &str)] = &[
    (
        "ipv4_total_length_zero_outside.pcap",
        "tshark refuses a UDP length of 0",
    ),
    (
        "null_families_of_ipv6.pcap",
        "tshark does not know AF_INET6 of Linux",
    ),
    (
        "tzsp_fcs_error.pcap",
        "tshark takes a value out of a tag of length 0",
    ),
    (
        "tzsp_radio_headers_malformed_inside.pcap",
        "tshark takes 144 bytes for a Prism header, whatever its length says",
    ),
    ("udp_length_zero.pcap", "tshark refuses a UDP length of 0"),
];

#[test]
fn every_mirrored_frame_is_written_as_tshark_decapsulates_it() {
    let captures = readable_captures();
    let (left, right) = captures.split_at(captures.len() / 2);
    let compared = |half: &[PathBuf]| half.iter().map(|path| compare(path)).collect::<Vec<_>>();
    let all = std::thread::scope(|scope| {
        let other = scope.spawn(|| compared(right));
        [compared(left), other.join().unwrap()].concat()
    });
    let wrong: Vec<_> = all.iter().filter_map(|(_, wrong)| wrong.as_ref()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let compared: usize = all.iter().map(|(compared, _)| compared).sum();
    assert!(compared > 320, "only {compared} frames were compared");
}

/// Returns the number of compared frames, and a description of a difference.
fn compare(capture: &Path) -> (usize, Option<String>) {
    let name = file_name(capture);
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out.pcap");
    let run = program()
        .arg("analyze")
        .arg(capture)
        .arg("--write-inner")
        .arg(&out)
        .assert()
        .success();
    // The option must not change the metrics.
    let alone = program().arg("analyze").arg(capture).assert();
    assert_eq!(run.get_output().stdout, alone.get_output().stdout, "{name}");

    let ours: Vec<_> = dissect(&out).iter().map(whole).collect();
    let theirs: Vec<_> = dissect(capture).iter().filter_map(mirrored).collect();
    let known = KNOWN_DIFFERENCES.iter().any(|(known, _)| *known == name);
    let wrong = (known == (ours == theirs))
        .then(|| format!("{name}, known: {known}, ours, tshark's: {ours:#?}, {theirs:#?}"));
    (ours.len(), wrong)
}

/// The layers of each frame with their bytes, as tshark prints them in JSON.
fn dissect(capture: &Path) -> Vec<Value> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture);
    for port in [37008, 37009, 1234, 31337, 65535] {
        command.args(["-d", &format!("udp.port=={port},tzsp")]);
    }
    command.args(["-d", "ethertype==0x9200,vlan"]);
    for protocol in ["ip", "ipv6", "wlan"] {
        command.args(["-o", &format!("{protocol}.defragment:FALSE")]);
    }
    command.args(["-T", "json", "-x", "--no-duplicate-keys"]);
    let frames: Value = serde_json::from_str(&tool(&mut command)).unwrap();
    let frames = frames.as_array().unwrap().iter();
    frames
        .map(|frame| frame["_source"]["layers"].clone())
        .collect()
}

fn whole(layers: &Value) -> Record {
    Record {
        time: time(layers),
        bytes: layers["frame_raw"][0].as_str().unwrap().to_owned(),
    }
}

/// The frame that TZSP carries, cut out at the offsets of tshark's layers.
fn mirrored(layers: &Value) -> Option<Record> {
    let tzsp = first(layers, "tzsp")?;
    let is = |field: &str, values: &[&str]| {
        let value = tzsp[field].as_str();
        value.is_some_and(|value| values.contains(&value))
    };
    let damaged = tzsp
        .to_string()
        .contains("\"tzsp.wlan.status.fcs_err\":\"1\"");
    if !is("tzsp.version", &["1"]) || !is("tzsp.type", &["0", "1"]) || damaged {
        return None;
    }
    let (_, start) = layer_range(layers, "tzsp")?;
    let frame = layers["frame_raw"][0].as_str().unwrap();
    let mut end = frame.len() / 2;
    if let Some((udp, _)) = layer_range(layers, "udp").filter(|(udp, _)| *udp < start) {
        let claimed = number(&first(layers, "udp")?["udp.length"]);
        end = end.min(udp + claimed);
        if let Some((ip, _)) = layer_range(layers, "ip").filter(|(ip, _)| *ip < udp) {
            let claimed = number(&first(layers, "ip")?["ip.len"]);
            end = end.min(ip + claimed);
        }
    }
    // A frame check sequence announced by radiotap is not written.
    let radiotap = first(layers, "radiotap").map(Value::to_string);
    if radiotap.is_some_and(|text| text.contains("\"radiotap.flags.fcs\":\"1\"")) {
        end -= 4;
    }
    let hex = |from: usize| frame.get(2 * from..2 * end).unwrap_or_default();
    let bytes = match tzsp["tzsp.encap"].as_str()? {
        "1" => hex(start).to_owned(),
        "18" | "119" | "126" | "127" => {
            let (wlan, llc) = (first(layers, "wlan")?, first(layers, "llc")?);
            // In an aggregate, these fields belong to its first frame.
            first(layers, "wlan_aggregate").is_none().then_some(())?;
            let field = |value: &Value| Some(value.as_str()?.replace(':', "").replace("0x", ""));
            let addresses = field(&wlan["wlan.da"])? + &field(&wlan["wlan.sa"])?;
            let (_, payload) = layer_range(layers, "llc")?;
            addresses + &field(&llc["llc.type"])? + hex(payload)
        }
        _ => return None,
    };
    let time = time(layers);
    (!bytes.is_empty()).then_some(Record { time, bytes })
}

/// The outermost layer of this name.
fn first<'a>(layers: &'a Value, name: &str) -> Option<&'a Value> {
    match layers.get(name)? {
        Value::Array(several) => several.first(),
        one => Some(one),
    }
}

/// The offsets in bytes at which the outermost layer of this name begins and ends.
fn layer_range(layers: &Value, name: &str) -> Option<(usize, usize)> {
    let mut raw = layers.get(format!("{name}_raw"))?;
    if raw[0].is_array() {
        raw = &raw[0];
    }
    let [begin, size] = [1, 2].map(|index| usize::try_from(raw[index].as_u64().unwrap()).unwrap());
    Some((begin, begin + size))
}

fn number(field: &Value) -> usize {
    field.as_str().unwrap().parse().unwrap()
}

/// The time of a frame. Simple packet blocks have none, so theirs is 0.
fn time(layers: &Value) -> String {
    let time = layers["frame"]["frame.time_epoch"].as_str();
    time.unwrap_or("0.000000000").to_owned()
}
