//! Responses of the web server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use crate::scrape::Scrape;
use crate::support::Exporter;

fn exporter() -> Exporter<'static> {
    Exporter::start(&["--listen-port", "0"])
}

/// Sends raw bytes, and returns the answer up to the end of the connection.
fn exchange(exporter: &Exporter<'_>, request: &str) -> String {
    let mut stream = TcpStream::connect(("localhost", exporter.port)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn a_scrape_before_the_first_frame_is_complete() {
    let exporter = exporter();
    let scrape = exporter.scrape();
    assert_eq!(scrape.value("tzsp_frames_received_total"), 0.0);
    assert_eq!(scrape.family("tzsp_frames_skipped_total").count(), 19);
    assert_eq!(scrape.family("tzsp_frames_truncated_total").count(), 3);
    assert_eq!(scrape.value("tzsp_capture_up"), 1.0);
    assert_eq!(scrape.value("tzsp_capture_iterations_total"), 1.0);
    assert_eq!(scrape.value("tzsp_flows"), 0.0);
    assert_eq!(scrape.sum("tzsp_exporter_build_info"), 1.0);
    assert!(scrape.value("process_resident_memory_bytes") > 0.0);
    scrape.assert_every_frame_is_accounted_for();
}

#[test]
fn promtool_reports_no_problem_in_a_scrape() {
    let mut exporter = exporter();
    let port = exporter.udp_port();
    let empty = exporter.scrape().text;
    crate::live::send(port, &crate::live::DATAGRAM);
    let filled = exporter.scrape_until("a flow", |scrape| scrape.value("tzsp_flows") == 1.0);
    for text in [empty, filled.text] {
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool is missing; `cargo xtask ci` installs it");
        let mut stdin = promtool.stdin.take().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        drop(stdin);
        let output = promtool.wait_with_output().unwrap();
        let output_text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output_text, "");
        assert!(output.status.success());
    }
}

#[test]
fn gzip_is_sent_only_on_request() {
    let exporter = exporter();
    let ask = |accept: &str| {
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {accept}\r\nConnection: close\r\n\r\n"
        );
        let mut stream = TcpStream::connect(("localhost", exporter.port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        answer.contains("content-encoding: gzip\r\n")
    };
    assert!(ask("gzip"));
    assert!(ask("deflate, GZIP;q=0.5"));
    assert!(!ask("identity"));
    assert!(!ask("gzip;q=0, br"));
    assert!(!ask("gzip;q=0.0"));
    assert!(!ask(""));

    // ureq requests gzip and decompresses the answer.
    let mut response = ureq::get(exporter.url("/metrics")).call().unwrap();
    let scrape = Scrape::parse(&response.body_mut().read_to_string().unwrap());
    assert_eq!(scrape.value("tzsp_capture_up"), 1.0);
}

#[test]
fn the_landing_page_names_the_program_and_links_to_the_metrics() {
    let exporter = exporter();
    let mut response = ureq::get(exporter.url("/")).call().unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "text/html; charset=utf-8"
    );
    let page = response.body_mut().read_to_string().unwrap();
    assert!(page.contains(concat!(
        "tzsp_packetstream_exporter ",
        env!("CARGO_PKG_VERSION")
    )));
    assert!(page.contains("<a href=\"/metrics\">"));
}

#[test]
fn other_paths_and_methods_are_refused() {
    let exporter = exporter();
    let status = |request: &str| {
        let request = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        exchange(&exporter, &request)
            .lines()
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(status("GET /metrics?x=y"), "HTTP/1.1 200 OK");
    assert_eq!(status("GET /metric"), "HTTP/1.1 404 Not Found");
    assert_eq!(status("POST /nowhere"), "HTTP/1.1 404 Not Found");
    assert_eq!(status("POST /metrics"), "HTTP/1.1 405 Method Not Allowed");
    assert_eq!(status("DELETE /"), "HTTP/1.1 405 Method Not Allowed");

    let refused = exchange(
        &exporter,
        "PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    assert!(refused.contains("\r\nallow: GET, HEAD\r\n"), "{refused}");
}

#[test]
fn head_requests_get_only_headers() {
    let exporter = exporter();
    for path in ["/", "/metrics"] {
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = exchange(&exporter, &request);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[test]
fn only_the_publish_address_is_served() {
    for (address, host, others) in [
        ("127.0.0.1", "127.0.0.1", ["127.0.0.2", "[::1]"]),
        ("::1", "[::1]", ["127.0.0.1", "127.0.0.2"]),
    ] {
        let arguments = ["--listen-port", "0", "--publish-address", address];
        let mut exporter = Exporter::start(&arguments);
        let line = exporter.wait_for_line("metrics are at");
        let url = |host| format!("http://{host}:{}/metrics", exporter.port);
        assert!(
            line.ends_with(&format!("metrics are at {}", url(host))),
            "{line}"
        );
        assert_eq!(ureq::get(&url(host)).call().unwrap().status(), 200);
        for other in others {
            let refusal = ureq::get(&url(other)).call().unwrap_err().to_string();
            assert!(refusal.contains("Connection refused"), "{other}: {refusal}");
        }
    }
}

#[test]
fn both_address_families_are_served() {
    let exporter = exporter();
    for host in ["127.0.0.1", "[::1]"] {
        let url = format!("http://{host}:{}/metrics", exporter.port);
        assert_eq!(ureq::get(&url).call().unwrap().status(), 200, "{host}");
    }
}
