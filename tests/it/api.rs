//! The JSON API behind the landing page.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::landing::load;
use crate::support::{Exporter, tool};

/// Applies a jq filter to an answer of the API. jq fails if it is not valid JSON.
#[track_caller]
pub(crate) fn jq(exporter: &Exporter<'_>, path: &str, filter: &str) -> Value {
    let command = "curl --silent --fail \"$1\" | jq --compact-output \"$2\"";
    let output = tool(Command::new("sh").args(["-c", command, "sh", &exporter.url(path), filter]));
    serde_json::from_str(&output).unwrap()
}

#[test]
fn the_api_returns_the_flows_as_json() {
    let mut exporter = Exporter::start(&["--listen-port", "0"]);
    load(&mut exporter);
    let port = exporter.udp_port();
    let flow = jq(&exporter, "/api/flows?top=2", ".flows[1]");
    assert_eq!(
        flow,
        json!({
            "from": "151.101.1.140", "from_type": "public",
            "to": "192.168.88.23", "to_type": "private",
            "protocol": "udp", "listen_port": port, "bytes": 2_500_000, "packets": 2000,
        })
    );
    let check = |filter: &str, expected: Value| {
        assert_eq!(
            jq(&exporter, "/api/flows?top=2", filter),
            expected,
            "{filter}"
        );
    };
    check("[.flows[].packets]", json!([3000, 2000]));
    check(".total", json!({"bytes": 8_890_000, "packets": 8300}));
    check(".overflow", json!({"bytes": 0, "packets": 0}));
    check(".window.active_flows", json!(9));
    check(".frames | [.received, .counted]", json!([8302, 8300]));
    check(
        ".frames.skipped | with_entries(select(.value > 0))",
        json!({"tzsp_keepalive": 1, "inner_not_ip": 1}),
    );
    check(".frames.truncated.sensor", json!(8300));
    check(".limits | [.flows, .max_flows]", json!([9, 10_000]));
    check(
        ".capture | [.up, .iterations, .lost_seconds, .dropped]",
        json!([true, 1, 0, 0]),
    );
    check(
        ".capture.source",
        json!(format!("receiving TZSP on UDP port {port}")),
    );
    // Times are in order, and `seconds` is the length of the window.
    check(
        "[.capture.since, .frames.first, .frames.last, .window.until] | . == sort",
        json!(true),
    );
    let seconds = "def at: sub(\"[.][0-9]+Z\"; \"Z\") | fromdate;
        .window | (.until | at) - (.since | at) - .seconds | fabs < 1";
    check(seconds, json!(true));
    assert_eq!(jq(&exporter, "/api/flows", ".flows | length"), json!(9));
    assert_eq!(
        jq(&exporter, "/api/flows?top=1000&", ".flows | length"),
        json!(9)
    );
    assert_eq!(jq(&exporter, "/api/flows?", ".flows | length"), json!(9));
}

/// The hosts of the load are its private addresses. 192.168.88.50 receives the first flow, and sends
/// the fourth, the sixth and the last two.
#[test]
fn the_api_returns_the_hosts_as_json() {
    let names = TempDir::new().unwrap();
    let hosts = names.path().join("hosts");
    fs::write(&hosts, "192.168.88.50 laptop\n192.168.88.23 \"tv\"\n").unwrap();
    let source = format!("hosts={}", hosts.display());
    let mut exporter = Exporter::start(&["--listen-port", "0", "--names", &source]);
    load(&mut exporter);
    let check = |query: &str, filter: &str, expected: Value| {
        let path = format!("/api/hosts{query}");
        assert_eq!(jq(&exporter, &path, filter), expected, "{filter}");
    };
    check(
        "?top=2",
        ".hosts",
        json!([
            {
                "host": "192.168.88.50", "name": "laptop",
                "received": {"bytes": 4_200_000, "packets": 3000},
                "sent": {"bytes": 725_000, "packets": 1600},
            },
            {
                "host": "192.168.88.23", "name": "\"tv\"",
                "received": {"bytes": 2_500_000, "packets": 2000},
                "sent": {"bytes": 0, "packets": 0},
            },
        ]),
    );
    // Two hosts have equally many bytes. Their order is that of their addresses.
    let others = json!([
        ["192.168.88.10", null],
        ["192.168.88.51", null],
        ["192.168.88.31", null],
        ["192.168.88.53", null],
        ["192.168.88.1", null],
    ]);
    check("", "[.hosts[2:][] | [.host, .name]]", others);
    let total = json!({
        "received": {"bytes": 7_915_000, "packets": 6300},
        "sent": {"bytes": 2_190_000, "packets": 3300},
    });
    check("?top=1", ".total", total);
    check("?top=1", ".window.active_hosts", json!(7));
    check("?top=1", ".other.sent", json!({"bytes": 0, "packets": 0}));
    let limits = json!({"hosts": 7, "max_hosts": 1000, "forgotten_hosts": 0});
    check("", ".limits", limits);
    check("", ".capture.up", json!(true));
}

#[test]
fn hosts_beyond_the_limit_and_without_a_name_are_in_the_answer() {
    let mut exporter = Exporter::start(&["--listen-port", "0", "--max-hosts", "1"]);
    load(&mut exporter);
    let hosts = "[.hosts[] | [.host, .name, .received.bytes, .sent.bytes]]";
    let first = json!([["192.168.88.50", null, 4_200_000, 725_000]]);
    assert_eq!(jq(&exporter, "/api/hosts", hosts), first);
    let other = "[.other.received.bytes, .other.sent.bytes]";
    assert_eq!(
        jq(&exporter, "/api/hosts", other),
        json!([3_715_000, 1_465_000])
    );

    let exporter = Exporter::start(&["--listen-port", "0", "--max-hosts", "0"]);
    assert_eq!(jq(&exporter, "/api/hosts", ".hosts"), json!([]));
    assert_eq!(jq(&exporter, "/api/hosts", ".limits.max_hosts"), json!(0));
}

#[test]
fn the_api_answers_before_the_first_frame() {
    let exporter = Exporter::start(&["--listen-port", "0"]);
    assert_eq!(jq(&exporter, "/api/flows", ".flows"), json!([]));
    assert_eq!(
        jq(&exporter, "/api/flows", "[.frames.first, .frames.last]"),
        json!([null, null])
    );
    assert_eq!(jq(&exporter, "/api/flows", ".total.packets"), json!(0));
    assert_eq!(jq(&exporter, "/api/hosts", ".hosts"), json!([]));
    assert_eq!(jq(&exporter, "/api/hosts", ".total.sent.bytes"), json!(0));
}

#[test]
fn invalid_api_parameters_are_refused() {
    let exporter = Exporter::start(&["--listen-port", "0"]);
    let number = "Write a number from 1 to 1000 after top=.\n";
    let other = "The only parameter is top, as in ?top=5.\n";
    for (query, expected) in [
        ("top=0", number),
        ("top=1001", number),
        ("top=", number),
        ("top=+5", number),
        ("top=-1", number),
        ("top=99999999999999999999", number),
        ("top=%3Cscript%3E", number),
        ("top", other),
        ("limit=5", other),
        ("top=5&by=packets", other),
        ("top=5&top=6", "Write top= once.\n"),
    ] {
        for path in ["/api/flows", "/api/hosts"] {
            let answer = exporter.get(&format!("{path}?{query}"));
            assert_eq!(answer, (400, expected.to_owned()), "{path}?{query}");
        }
    }
}
