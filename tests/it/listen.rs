//! `--web.listen-address`.

use std::net::TcpListener;

use insta::assert_snapshot;

use crate::support::{Exporter, program};

/// The URLs of the metrics in the first line of the log.
fn urls(exporter: &mut Exporter<'_>) -> Vec<String> {
    let line = exporter.wait_for_line("metrics are at");
    let (_, urls) = line.split_once("metrics are at ").unwrap();
    urls.split(" and ").map(str::to_owned).collect()
}

#[test]
fn every_listen_address_is_served() {
    let mut exporter = Exporter::start(&[
        "--listen-port",
        "0",
        "--web.listen-address",
        "127.0.0.1:0",
        "--web.listen-address",
        "[::1]:0",
        "--web.listen-address=:0",
    ]);
    let urls = urls(&mut exporter);
    assert_eq!(urls.len(), 3);
    for (url, host) in urls.iter().zip(["127.0.0.1", "[::1]", "localhost"]) {
        assert!(url.starts_with(&format!("http://{host}:")), "{url}");
        assert_eq!(ureq::get(url).call().unwrap().status(), 200, "{url}");
    }
    // The port of one address is not served on another.
    let refused = urls[0].replace("127.0.0.1", "[::1]");
    let refusal = ureq::get(&refused).call().unwrap_err().to_string();
    assert!(refusal.contains("Connection refused"), "{refusal}");
}

#[test]
fn an_address_that_cannot_be_bound_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let output = program()
        .args(["--listen-port", "0", "--web.listen-address", "[::1]:0"])
        .args(["--web.listen-address", &taken])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let (_, port) = taken.rsplit_once(':').unwrap();
    let beginning = format!("error: cannot publish metrics on TCP port {port} of 127.0.0.1: ");
    assert!(stderr.starts_with(&beginning), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

fn refusal(arguments: &[&str]) -> String {
    let output = program().args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn listen_addresses_replace_the_publish_options() {
    assert_snapshot!(refusal(&[
        "--web.listen-address",
        ":1",
        "--publish-port",
        "2"
    ]));
    assert_snapshot!(refusal(&[
        "--publish-address",
        "::1",
        "--web.listen-address",
        ":1"
    ]));
}

#[test]
fn a_listen_address_has_a_port() {
    assert_snapshot!(refusal(&["--web.listen-address", "localhost"]));
}

#[test]
fn listen_addresses_with_the_same_port_must_differ() {
    assert_snapshot!(refusal(&[
        "--web.listen-address=:1",
        "--web.listen-address=[::1]:1"
    ]));
}
