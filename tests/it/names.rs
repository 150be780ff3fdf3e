//! Names for addresses: files that change, messages in the traffic, and every output.

use std::fs;
use std::process::Command;

use insta::assert_snapshot;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::jq;
use crate::live::send;
use crate::namespace::{COLLECTOR_LINK, Network, SENSOR_LINK};
use crate::network::{capture, frames_of, wait_for};
use crate::scrape::Scrape;
use crate::support::{Exporter, program, testdata, tool};

/// What the laptop and the server of the captures are called in DHCP and DNS.
const LEARNT: &str = "dhcp_and_dns_inside.pcap";
/// Ethernet, IPv4 and UDP, which the sockets of the exporter do not see.
const OUTER_HEADERS: usize = 14 + 20 + 8;

/// The samples of the families of names.
fn of_names(scrape: &Scrape) -> String {
    let families = [
        "tzsp_from_info",
        "tzsp_to_info",
        "tzsp_names",
        "tzsp_host_info",
    ];
    let lines = scrape.text.lines();
    let lines = lines.filter(|line| families.iter().any(|family| line.starts_with(family)));
    lines.collect::<Vec<_>>().join("\n")
}

fn analyze(capture: &str, arguments: &[&str]) -> String {
    let mut program = program();
    program.arg("analyze").arg(testdata().join(capture));
    let output = program.args(arguments).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((stderr.as_str(), output.status.code()), ("", Some(0)));
    String::from_utf8(output.stdout).unwrap()
}

fn send_frames(port: u16, frames: &[Vec<u8>]) {
    for frame in frames {
        send(port, &frame[OUTER_HEADERS..]);
    }
}

/// tshark sees the same names in the messages.
#[test]
fn names_are_learnt_as_tshark_shows_them() {
    let fields = |capture: &str, fields: &[&str]| {
        let mut tshark = Command::new("tshark");
        tshark
            .arg("-r")
            .arg(testdata().join(capture))
            .args(["-T", "fields"]);
        for field in fields {
            tshark.args(["-e", field]);
        }
        let lines = tool(&mut tshark);
        let lines = lines.lines().filter(|line| !line.trim().is_empty());
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        fields(LEARNT, &["dhcp.option.hostname", "dhcp.ip.your"]),
        ["laptop\t0.0.0.0", "\t192.168.88.50"]
    );
    assert_eq!(
        fields(LEARNT, &["dns.qry.name", "dns.a"]),
        ["www.example.org\t", "www.example.org\t142.250.74.110"]
    );
    let scrape = analyze(LEARNT, &["--names", "dhcp", "--names", "dns"]);
    let scrape = Scrape::parse(&scrape);
    scrape.value("tzsp_from_info{from=\"192.168.88.50\",from_name=\"laptop\"}");
    scrape.value("tzsp_to_info{to=\"142.250.74.110\",to_name=\"www.example.org\"}");

    let ipv6 = "dhcpv6_inside.pcap";
    let shown = ["dhcpv6.client_domain", "dhcpv6.iaaddr.ip"];
    assert_eq!(fields(ipv6, &shown), ["nas\t", "\t2001:db8:88::10"]);
    let scrape = Scrape::parse(&analyze(ipv6, &["--ipv6", "--names", "dhcp"]));
    scrape.value("tzsp_to_info{to=\"2001:db8:88::10\",to_name=\"nas\"}");
}

#[test]
fn every_output_of_analyze_has_names() {
    let names = ["--names", "dhcp", "--names", "dns"];
    let with = |arguments: &[&str]| analyze(LEARNT, &[&names[..], arguments].concat());
    assert_snapshot!(
        "names_prometheus",
        with(&["--labels", "from,to,from_name,to_name"])
    );
    assert_snapshot!(
        "names_openmetrics",
        with(&["--format", "openmetrics", "--labels", "from,to"])
    );
    assert_snapshot!(
        "names_table",
        with(&["--format", "table", "--labels", "from,to,protocol"])
    );
    let json: Value = serde_json::from_str(&with(&["--format", "json"])).unwrap();
    let flow = &json["flows"][0];
    assert_eq!(
        [
            &flow["from"],
            &flow["from_name"],
            &flow["to"],
            &flow["to_name"]
        ],
        [
            &json!("142.250.74.110"),
            &json!("www.example.org"),
            &json!("192.168.88.50"),
            &json!("laptop")
        ]
    );
    // An address without a name.
    let unnamed = json["flows"].as_array().unwrap();
    let unnamed = unnamed.iter().find(|flow| flow["from"] == json!("8.8.8.8"));
    assert_eq!(unnamed.unwrap()["from_name"], Value::Null);
    let labels = ["--every", "1h", "--labels", "from,to,from_name"];
    let timeline = with(&[&["--format", "openmetrics"], &labels[..]].concat());
    assert!(
        timeline.contains("from=\"192.168.88.50\",to=\"142.250.74.110\",from_name=\"laptop\"} 60"),
        "{timeline}"
    );
}

/// Names do not depend on the number of threads, nor on whether their packets come first.
#[test]
fn names_are_those_of_the_whole_run() {
    let capture = testdata().join(LEARNT);
    let office = testdata().join("five_minutes_of_an_office.pcap");
    let run = |jobs: &str| {
        let mut program = program();
        program.arg("analyze").args([&office, &capture]);
        let names = ["--names", "dns", "--names", "dhcp", "--jobs", jobs];
        let output = program.args(names).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let alone = run("1");
    Scrape::parse(&alone).value("tzsp_from_info{from=\"192.168.88.50\",from_name=\"laptop\"}");
    assert_eq!(run("4"), alone);
}

#[test]
fn a_live_exporter_learns_names() {
    let mut exporter =
        Exporter::start(&["--listen-port", "0", "--names", "dhcp", "--names", "dns"]);
    exporter.wait_for_line("names: dhcp: 0 names");
    let port = exporter.udp_port();
    send_frames(port, &frames_of(&[LEARNT]));
    let scrape = wait_for(&exporter, 6.0);
    assert_snapshot!(of_names(&scrape));
    assert_eq!(
        jq(
            &exporter,
            "/api/flows?top=1",
            ".flows[0] | [.from_name, .to_name]"
        ),
        json!(["www.example.org", "laptop"])
    );
    let (status, page) = exporter.get("/");
    assert_eq!(status, 200);
    assert!(page.contains("<small>laptop</small>"), "{page}");
    assert_eq!(
        scrape.value("tzsp_names_failures_total{source=\"dhcp\"}"),
        0.0
    );

    // A new name replaces the one before.
    let renamed = frames_of(&[LEARNT]).into_iter().take(2).map(|frame| {
        let text = frame.windows(6).position(|bytes| bytes == b"laptop");
        let mut frame = frame;
        if let Some(text) = text {
            frame[text..][..6].copy_from_slice(b"tablet");
        }
        frame
    });
    send_frames(port, &renamed.collect::<Vec<_>>());
    let scrape = wait_for(&exporter, 8.0);
    scrape.value("tzsp_from_info{from=\"192.168.88.50\",from_name=\"tablet\"}");
    assert_eq!(scrape.sum("tzsp_names"), 2.0);

    // A message that the sensor cut short cannot be read.
    let cut = &frames_of(&[LEARNT])[0];
    send(port, &cut[OUTER_HEADERS..cut.len() - 20]);
    let scrape = wait_for(&exporter, 9.0);
    assert_eq!(
        scrape.value("tzsp_names_failures_total{source=\"dhcp\"}"),
        1.0
    );
    assert_eq!(
        scrape.value("tzsp_names_failures_total{source=\"dns\"}"),
        0.0
    );
}

/// The default snap length holds the messages, with each way to capture.
#[test]
fn a_packet_capture_learns_names() {
    for method in ["tshark", "native"] {
        let network = Network::new();
        let interface = ["--interface", COLLECTOR_LINK, "--capture", method];
        let arguments = [&interface[..], &["--names", "dhcp", "--names", "dns"]].concat();
        let exporter = capture(&network, &[], &arguments);
        network
            .sensor
            .send_frames(SENSOR_LINK, &frames_of(&[LEARNT]));
        let scrape = wait_for(&exporter, 6.0);
        scrape.value("tzsp_from_info{from=\"192.168.88.50\",from_name=\"laptop\"}");
        scrape.value("tzsp_to_info{to=\"142.250.74.110\",to_name=\"www.example.org\"}");
    }
}

/// A file that changes is read again; one that cannot be used keeps the names before it.
#[test]
fn a_file_is_read_again_when_it_changes() {
    let directory = TempDir::new().unwrap();
    let hosts = directory.path().join("hosts");
    let write = |content: &str| fs::write(&hosts, content).unwrap();
    write("192.168.88.50 laptop\n");
    let source = format!("hosts={}", hosts.display());
    let mut exporter = Exporter::start(&["--listen-port", "0", "--names", &source]);
    exporter.wait_for_line(&format!("names: {source}: 1 name"));
    let port = exporter.udp_port();
    send_frames(port, &frames_of(&[LEARNT]));
    let named = |name: &str| {
        let sample = format!("tzsp_from_info{{from=\"192.168.88.50\",from_name=\"{name}\"}} 1");
        exporter.scrape_until(name, |scrape| scrape.text.contains(&sample))
    };
    named("laptop");
    write("192.168.88.50 tablet\n192.168.88.51 phone\n");
    let scrape = named("tablet");
    assert_eq!(scrape.sum("tzsp_names"), 2.0);

    write("192.168.88.50");
    let failed = format!("tzsp_names_failures_total{{source=\"{source}\"}} 1");
    let scrape = exporter.scrape_until("a failure", |scrape| scrape.text.contains(&failed));
    scrape.value("tzsp_from_info{from=\"192.168.88.50\",from_name=\"tablet\"}");
    exporter.wait_for_line(&format!(
        "names: {source}: line 1: no name behind: '192.168.88.50'; the names before it are used"
    ));
    fs::remove_file(&hosts).unwrap();
    exporter.wait_for_line("No such file or directory");
    let scrape = exporter.scrape();
    scrape.value("tzsp_from_info{from=\"192.168.88.50\",from_name=\"tablet\"}");
    write("192.168.88.50 \"quoted\"\\\n");
    exporter.scrape_until("the new name", |scrape| {
        let name = "from_name=\"\\\"quoted\\\"\\\\092\"";
        scrape.text.contains(name)
    });
}

/// A hostile name does not break the format of any output.
#[test]
fn hostile_names_are_quoted_in_every_output() {
    let directory = TempDir::new().unwrap();
    let leases = directory.path().join("leases");
    let name = "\"}<b>&\\u\u{1b}[31m\u{202e}K\u{fc}che";
    let lease = format!("0 02:00:00:00:00:0a 192.168.88.50 {name} *\n");
    fs::write(&leases, lease).unwrap();
    let source = format!("leases={}", leases.display());
    let labels = ["--names", &source, "--labels", "from,to,from_name"];
    let shown = "\"}<b>&\\092u\\027[31m\\226\\128\\174K\u{fc}che";

    let scrape = analyze(LEARNT, &labels);
    let quoted = shown.replace('\\', r"\\").replace('"', "\\\"");
    Scrape::parse(&scrape).value(&format!(
        "tzsp_from_info{{from=\"192.168.88.50\",from_name=\"{quoted}\"}}"
    ));
    let file = directory.path().join("metrics");
    fs::write(&file, &scrape).unwrap();
    let check = "promtool check metrics < \"$1\"";
    tool(Command::new("sh").args(["-c", check, "sh", file.to_str().unwrap()]));
    let json = analyze(LEARNT, &[&labels[..], &["--format", "json"]].concat());
    let json: Value = serde_json::from_str(&json).unwrap();
    let flows = json["flows"].as_array().unwrap();
    assert!(flows.iter().any(|flow| flow["from_name"] == json!(shown)));
    let table = analyze(LEARNT, &[&labels[..], &["--format", "table"]].concat());
    assert!(table.contains(shown), "{table}");
    assert!(!table.contains('\u{1b}'), "{table}");

    let mut exporter = Exporter::start(&["--listen-port", "0", "--names", &source]);
    send_frames(exporter.udp_port(), &frames_of(&[LEARNT]));
    wait_for(&exporter, 6.0);
    let (_, page) = exporter.get("/");
    assert!(!page.contains("<b>"), "{page}");
    assert!(page.contains("&lt;b&gt;&amp;"), "{page}");
}

#[test]
fn sources_that_cannot_be_used_are_errors() {
    let run = |arguments: &[&str]| {
        let output = program().args(arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let first = stderr.lines().next().unwrap_or_default().to_owned();
        format!("{}: {first}\n", output.status.code().unwrap())
    };
    let capture = testdata().join(LEARNT);
    let capture = capture.to_str().unwrap();
    let all = [
        run(&["--publish-port", "0", "--names", "hosts=/nowhere/hosts"]),
        run(&["analyze", "x.pcap", "--names", "leases=/nowhere/leases"]),
        run(&["--names", "arp"]),
        run(&["--names", "hosts"]),
        run(&["--names", "dhcp=eth0"]),
        run(&["--names", "dns", "--names", "dns"]),
        run(&["analyze", capture, "--names", "resolve"]),
        run(&["--labels", "from,to,from_name"]),
        run(&["--names", "dns", "--labels", "from,to_name"]),
    ];
    assert_snapshot!(all.concat());
}
