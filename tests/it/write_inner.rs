//! `--write-inner`: the mirrored frames as a capture, against tshark's own decapsulation.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use insta::assert_snapshot;
use nix::sys::signal::Signal;
use predicates::str::is_empty;
use serde_json::Value;
use tempfile::TempDir;

use crate::scrape::Scrape;
use crate::support::{Fed, PROGRAM, captures, command, file_name, program, testdata, tool};

/// A frame as a capture holds it.
#[derive(Debug, PartialEq)]
struct Record {
    time: String,
    bytes: String,
}

/// Where tshark and we differ on purpose, and why.
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
fn every_mirrored_frame_comes_out_as_tshark_decapsulates_it() {
    let captures = captures();
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

/// How many frames were compared, and what is wrong.
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
    // It changes nothing of what is counted.
    let alone = program().arg("analyze").arg(capture).assert();
    assert_eq!(run.get_output().stdout, alone.get_output().stdout, "{name}");

    let ours: Vec<_> = dissect(&out).iter().map(whole).collect();
    let theirs: Vec<_> = dissect(capture).iter().filter_map(mirrored).collect();
    let known = KNOWN_DIFFERENCES.iter().any(|(known, _)| *known == name);
    let wrong = (known == (ours == theirs))
        .then(|| format!("{name}, known: {known}, ours, tshark's: {ours:#?}, {theirs:#?}"));
    (ours.len(), wrong)
}

/// The layers of each frame, and their bytes.
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

/// A frame that TZSP carries, by where tshark says that the layers lie.
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
    let (_, start) = place(layers, "tzsp")?;
    let frame = layers["frame_raw"][0].as_str().unwrap();
    let mut end = frame.len() / 2;
    if let Some((udp, _)) = place(layers, "udp").filter(|(udp, _)| *udp < start) {
        let claimed = number(&first(layers, "udp")?["udp.length"]);
        end = end.min(udp + claimed);
        if let Some((ip, _)) = place(layers, "ip").filter(|(ip, _)| *ip < udp) {
            let claimed = number(&first(layers, "ip")?["ip.len"]);
            end = end.min(ip + claimed);
        }
    }
    // A check sequence that radiotap tells of is not written.
    let radiotap = first(layers, "radiotap").map(Value::to_string);
    if radiotap.is_some_and(|text| text.contains("\"radiotap.flags.fcs\":\"1\"")) {
        end -= 4;
    }
    let hex = |from: usize| frame.get(2 * from..2 * end).unwrap_or_default();
    let bytes = match tzsp["tzsp.encap"].as_str()? {
        "1" => hex(start).to_owned(),
        "18" | "119" | "126" | "127" => {
            let (wlan, llc) = (first(layers, "wlan")?, first(layers, "llc")?);
            // Of an aggregate, these are of the first frame in it.
            first(layers, "wlan_aggregate").is_none().then_some(())?;
            let field = |value: &Value| Some(value.as_str()?.replace(':', "").replace("0x", ""));
            let addresses = field(&wlan["wlan.da"])? + &field(&wlan["wlan.sa"])?;
            let (_, payload) = place(layers, "llc")?;
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

/// Where the outermost layer of this name begins and ends.
fn place(layers: &Value, name: &str) -> Option<(usize, usize)> {
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

/// A simple packet block has none.
fn time(layers: &Value) -> String {
    let time = layers["frame"]["frame.time_epoch"].as_str();
    time.unwrap_or("0.000000000").to_owned()
}

/// Runs in testdata/ and returns what is said, and the length and the size of each frame written.
fn lengths(arguments: &[&str]) -> (String, String) {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out.pcap");
    let mut command = program();
    command.current_dir(testdata()).arg("analyze");
    command.args(arguments).arg("--write-inner").arg(&out);
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let mut command = Command::new("tshark");
    command.arg("-r").arg(&out).args(["-T", "fields"]);
    for field in ["frame.len", "frame.cap_len", "eth.type"] {
        command.args(["-e", field]);
    }
    let directory = format!("{}/", directory.path().display());
    (stderr.replace(&directory, ""), tool(&mut command))
}

#[test]
fn what_was_cut_says_how_long_it_was() {
    let of = |capture: &str| lengths(&[capture]).1;
    // By the datagram's UDP header, by the IP header inside, and by the capture's own length.
    assert_eq!(of("lone_first_fragment.pcap"), "1514\t1467\t0x0800\n");
    let cut = of("inner_frame_cut_at_100_bytes.pcap");
    assert_eq!(cut, "66\t66\t0x0800\n1514\t100\t0x0800\n");
    // 64 bytes less 5 of TZSP.
    let alone = of("link_type_tzsp_snap_length_64.pcap");
    assert_eq!(
        alone,
        "1514\t59\t0x0800\n9014\t59\t0x0800\n1414\t59\t0x0800\n"
    );
    // 802.11: 24 bytes of header and 8 of LLC and SNAP became 14.
    let fragment = of("wlan_fragments_inside.pcap");
    assert_eq!(fragment, "1514\t522\t0x0800\n");
    // A tag says it of frames that hold no IP.
    let arp = [
        &[0x01, 0x00, 0x00, 0x01, 0x29, 0x02, 0x02, 0x00, 0x01][..],
        &[0xff; 12],
        &[0x08, 0x06],
    ]
    .concat();
    let capture = tzsp_alone(&arp);
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("arp.pcap");
    fs::write(&file, capture).unwrap();
    assert_eq!(of(file.to_str().unwrap()), "512\t14\t0x0806\n");
}

/// A pcap of link type 128 with this frame.
fn tzsp_alone(frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).unwrap();
    let words = [
        0xa1b2_c3d4,
        0x0002_0004,
        0,
        0,
        65_535,
        128,
        1,
        2,
        length,
        length,
    ];
    let mut capture: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
    capture.extend(frame);
    capture
}

#[test]
fn all_mirrored_ethernet_is_written_and_what_is_not_is_told() {
    let (told, written) = lengths(&["not_ip_inside.pcap", "raw_ip_inside.pcap"]);
    assert_snapshot!(told, @"warning: out.pcap: mirrored frames that were not written: 5 raw IP, 1 empty");
    assert_eq!(written.lines().count(), 5);
    let (told, written) = lengths(&["wlan_llc_inside.pcap", "wlan_encrypted_inside.pcap"]);
    assert_snapshot!(told, @"warning: out.pcap: mirrored frames that were not written: 9 802.11 that Ethernet cannot carry");
    assert_eq!(written.lines().count(), 6);
    // Only of the ports that are named.
    let (told, written) = lengths(&["--port", "1234", "listen_ports_keep_flows_apart.pcap"]);
    assert_eq!(told, "");
    assert_eq!(written.lines().count(), 1);
    // A capture of nothing is one too.
    let (_, written) = lengths(&["not_udp.pcap"]);
    assert_eq!(written, "");
}

/// Runs `sh -c` in testdata/, with the program as `$0`.
fn shell(script: &str) -> Output {
    let mut command = command("sh");
    command.current_dir(testdata()).args(["-c", script]);
    command.arg(PROGRAM);
    command.output().unwrap()
}

#[test]
fn standard_output_takes_what_a_file_would() {
    let to_a_file = lengths(&["type_transmit.pcap", "inner_frame_cut_at_100_bytes.pcap"]).1;
    let run = shell(
        "\"$0\" analyze --write-inner - --format none type_transmit.pcap \
            inner_frame_cut_at_100_bytes.pcap |
            tshark -r - -T fields -e frame.len -e frame.cap_len -e eth.type",
    );
    assert_eq!(String::from_utf8(run.stdout).unwrap(), to_a_file);
    assert_eq!(
        to_a_file,
        "66\t66\t0x0800\n66\t66\t0x0800\n1514\t100\t0x0800\n"
    );
}

/// Wireshark shows what has come so far: 24 bytes of header, 16 of the first record's, and its frame.
#[test]
fn standard_output_does_not_wait_for_the_end_of_the_input() {
    let capture = fs::read(testdata().join("type_transmit.pcap")).unwrap();
    let (header, record) = capture.split_at(24);
    let capture = [header, &record.repeat(3)].concat();
    let mut child = command(PROGRAM)
        .args(["analyze", "-", "--write-inner", "-", "--format", "none"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&capture).unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 24 + 16 + 66]).unwrap();
    drop(stdin);
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), 2 * (16 + 66));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn whoever_reads_standard_output_may_have_seen_enough() {
    // Far more than a pipe holds, and no end of it.
    let run = shell(
        "record() { tail -c +25 type_transmit.pcap; }
        { cat type_transmit.pcap; while record; do :; done; } 2>/dev/null |
            { \"$0\" analyze --write-inner - --format none - nope.pcap; echo $? >&2; } | head -c 1",
    );
    assert_eq!(run.stdout.len(), 1);
    assert_snapshot!(String::from_utf8(run.stderr).unwrap(), @r"
    error: nope.pcap: No such file or directory (os error 2)
    1
    ");
}

#[test]
fn a_full_standard_output_hides_nothing_about_the_inputs() {
    let run = shell(
        "\"$0\" analyze --write-inner - --format none README.md type_transmit.pcap > /dev/full",
    );
    assert_eq!(run.status.code(), Some(1));
    assert_snapshot!(String::from_utf8(run.stderr).unwrap(), @r"
    error: README.md: this is text, not a capture; write one with: tcpdump -w FILE, or tshark -w FILE
    error: cannot write standard output: No space left on device (os error 28); the file is incomplete
    ");
}

/// It would be read without end.
#[test]
fn standard_output_is_none_of_the_captures() {
    let directory = TempDir::new().unwrap();
    let capture = directory.path().join("a.pcap");
    fs::copy(testdata().join("type_transmit.pcap"), &capture).unwrap();
    let before = fs::read(&capture).unwrap();
    let path = capture.display();
    let run = shell(&format!(
        "\"$0\" analyze --write-inner - --format none {path} >> {path}"
    ));
    assert_eq!(run.status.code(), Some(1));
    assert_snapshot!(String::from_utf8(run.stderr).unwrap(), @"error: cannot write standard output: it is an input");
    assert_eq!(fs::read(&capture).unwrap(), before);
}

#[test]
fn what_is_written_counts_the_same_when_read_plainly() {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out.pcap");
    for capture in [
        "address_class_edges_from.pcap",
        "protocols.pcap",
        "labels_inside.pcap",
        "wlan_qos_inside.pcap",
        "snap_length_96.pcap",
        "pppoe_under_vlan_inside.pcap",
        "pppoe_mpls_inside.pcap",
        "mpls_inside.pcap",
        "ieee_802_3_inside.pcap",
        "tzsp_prism_inside.pcap",
        "tzsp_radiotap_inside.pcap",
        "tzsp_avs_inside.pcap",
    ] {
        let labels = "from,to,protocol,from_port,to_port,vlan,dscp,ip_version";
        let flows = |arguments: &[&str]| {
            let mut command = program();
            command.current_dir(testdata()).arg("analyze");
            command.args(["--ipv6", "--labels", labels]).args(arguments);
            let run = command.assert().success().stderr(is_empty());
            let text = String::from_utf8(run.get_output().stdout.clone()).unwrap();
            let flows = text
                .lines()
                .filter(|line| line.starts_with("tzsp_observed"));
            flows.map(str::to_owned).collect::<Vec<_>>()
        };
        let out = out.to_str().unwrap();
        let mirrored = flows(&[capture, "--write-inner", out]);
        assert!(!mirrored.is_empty());
        assert_eq!(flows(&["--plain", out]), mirrored, "{capture}");
    }
}

#[test]
fn several_and_compressed_captures_come_out_in_the_order_given() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let capture = fs::read(testdata().join("lone_first_fragment.pcap")).unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&capture).unwrap();
    fs::write(path("a.pcap.gz"), encoder.finish().unwrap()).unwrap();
    let gz = path("a.pcap.gz");
    let (told, written) = lengths(&["type_transmit.pcap", &gz, "raw_ip_link_type_101.pcap"]);
    assert_eq!(told, "");
    assert_eq!(
        written,
        "66\t66\t0x0800\n1514\t1467\t0x0800\n66\t66\t0x0800\n66\t66\t0x0800\n"
    );
}

#[test]
fn a_file_that_must_not_be_overwritten_is_refused() {
    let directory = TempDir::new().unwrap();
    let capture = fs::read(testdata().join("type_transmit.pcap")).unwrap();
    fs::write(directory.path().join("a.pcap"), &capture).unwrap();
    fs::hard_link(
        directory.path().join("a.pcap"),
        directory.path().join("b.pcap"),
    )
    .unwrap();
    let run = |arguments: &[&str]| {
        let mut command = program();
        command.current_dir(directory.path()).arg("analyze");
        let run = command.args(arguments).assert().code(1).stdout(is_empty());
        String::from_utf8(run.get_output().stderr.clone()).unwrap()
    };
    assert_snapshot!(run(&["a.pcap", "--write-inner", "b.pcap"]), @"error: cannot write b.pcap: it is an input");
    assert_eq!(fs::read(directory.path().join("a.pcap")).unwrap(), capture);
    assert_snapshot!(run(&["a.pcap", "--write-inner", "/dev/stdout"]), @"error: cannot write /dev/stdout: standard output is this file");
    assert_snapshot!(run(&["a.pcap", "--write-inner", "nowhere/b.pcap"]), @"error: cannot write nowhere/b.pcap: No such file or directory (os error 2)");
}

#[test]
fn a_full_disk_is_an_error_and_everything_counts() {
    let run = program()
        .current_dir(testdata())
        .args(["analyze", "protocols.pcap", "--write-inner", "/dev/full"])
        .assert()
        .code(1);
    let output = run.get_output();
    assert_snapshot!(String::from_utf8_lossy(&output.stderr), @"error: cannot write /dev/full: No space left on device (os error 28); the file is incomplete");
    let scrape = Scrape::parse(std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!(scrape.sum("tzsp_observed_packets_total"), 14.0);
}

#[test]
fn a_signal_leaves_a_whole_capture() {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out.pcap");
    let capture = fs::read(testdata().join("pcap_little_endian_microseconds.pcap")).unwrap();
    let (header, records) = capture.split_at(24);
    let long = [header, &records.repeat(5000)].concat();
    let fed = Fed::start(&["analyze", "-", "--write-inner", out.to_str().unwrap()]).feed(&long);
    let output = fed.signal(Signal::SIGTERM).ended();
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
    let frames = output.scrape().value("tzsp_frames_received_total");
    let counted = tool(
        Command::new("capinfos")
            .args(["-M", "-r", "-T", "-c"])
            .arg(&out),
    );
    let (_, counted) = counted.trim().rsplit_once('\t').unwrap();
    assert_eq!(counted.parse::<f64>().unwrap(), frames);
}
