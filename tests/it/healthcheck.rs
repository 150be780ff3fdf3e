//! `healthcheck` against a running exporter, against none, and against other servers.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use nix::sys::signal::Signal;

use crate::support::{Exporter, program};
use crate::website::{HASH, Website};

const TLS: &str = "tls_server_config: {cert_file: server.crt, key_file: server.key";

/// The exit status of a health check, and what it printed on standard error. On standard output it
/// prints nothing.
fn healthcheck(url: &str) -> (i32, String) {
    let output = program().args(["healthcheck", "--url", url]).output();
    let output = output.unwrap();
    assert_eq!(output.stdout, b"");
    let printed = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), printed)
}

#[track_caller]
fn check_healthy(url: &str) {
    assert_eq!(healthcheck(url), (0, String::new()), "{url}");
}

#[track_caller]
fn check_unhealthy(url: &str, message: &str) {
    let (status, printed) = healthcheck(url);
    assert_eq!(status, 1, "{url}");
    let expected = format!("error: {url} {message}");
    assert!(printed.starts_with(&expected), "{printed}");
    assert_eq!(printed.lines().count(), 1, "{printed}");
}

#[test]
fn a_running_exporter_is_healthy() {
    let exporter = Exporter::start(&["--listen-port", "0"]);
    check_healthy(&exporter.url(""));
    check_healthy(&exporter.url("/-/healthy"));
    check_healthy(&exporter.url("/-/ready"));
    check_healthy(&format!("http://127.0.0.1:{}", exporter.port));
    check_healthy(&format!("http://[::1]:{}/", exporter.port));
    check_unhealthy(&exporter.url("/nowhere"), "answers 404 Not Found\n");
    let url = format!("https://localhost:{}/-/healthy", exporter.port);
    check_unhealthy(&url, "does not answer with TLS; if the exporter has none");
}

#[test]
fn an_exporter_may_publish_on_one_address_only() {
    for address in ["127.0.0.1", "::1"] {
        let exporter = Exporter::start(&["--listen-port", "0", "--publish-address", address]);
        check_healthy(&exporter.url(""));
    }
}

#[test]
fn an_exporter_that_has_ended_is_not_healthy() {
    let exporter = Exporter::start(&["--listen-port", "0"]);
    let url = exporter.url("/-/healthy");
    exporter.signal(Signal::SIGTERM);
    assert!(exporter.wait_for_exit().0.success());
    let message = "does not answer; if the exporter publishes elsewhere, give that as --url: \
                   Connection refused (os error 111)\n";
    check_unhealthy(&url, message);
}

/// A stopped process still accepts connections, through the kernel's queue, but does not answer.
#[test]
fn an_exporter_that_hangs_is_not_healthy() {
    let exporter = Exporter::start(&["--listen-port", "0"]);
    exporter.signal(Signal::SIGSTOP);
    let url = exporter.url("/-/healthy");
    check_unhealthy(&url, "does not answer within 5 seconds\n");
}

#[test]
fn certificates_are_not_verified_and_no_password_is_needed() {
    let users = format!("basic_auth_users:\n  prometheus: {HASH}\n");
    let site = Website::new(&format!("{TLS}}}\n{users}"));
    let exporter = site.start(&[]);
    let url = |scheme, page| format!("{scheme}://localhost:{}{page}", exporter.port);
    check_healthy(&url("https", ""));
    check_healthy(&format!("https://127.0.0.1:{}", exporter.port));
    check_unhealthy(&url("https", "/metrics"), "needs a password; /-/healthy");
    check_unhealthy(
        &url("http", "/-/healthy"),
        "is an HTTPS server; write https in --url\n",
    );
}

#[test]
fn an_exporter_that_requires_a_client_certificate_is_healthy() {
    for version in ["TLS12", "TLS13"] {
        let site = Website::new(&format!(
            "{TLS}, client_ca_file: ca.pem, client_auth_type: RequireAndVerifyClientCert, \
             max_version: {version}}}\n"
        ));
        let exporter = site.start(&[]);
        // The server closes the connection after its alert, which must not be lost by that.
        for _ in 0..20 {
            check_healthy(&format!("https://localhost:{}", exporter.port));
        }
    }
}

/// Starts a server that answers each connection with `answer`, whatever it is asked.
fn server(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

#[test]
fn another_answer_is_not_healthy() {
    let answers = [
        (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            "answers 503 Service Unavailable\n",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
            "answers 302 Found\n",
        ),
        ("220 mail.example ESMTP\r\n", "does not answer with HTTP"),
        ("", "does not answer with HTTP"),
    ];
    for (answer, message) in answers {
        let url = format!("http://localhost:{}/-/ready", server(answer));
        check_unhealthy(&url, message);
    }
}

#[test]
fn a_wrong_url_is_a_wrong_command_line() {
    for (url, message) in [
        (
            "localhost:9184",
            "write a URL such as https://localhost:9184",
        ),
        (
            "http://me:secret@localhost",
            "leave out the user and the password",
        ),
    ] {
        let (status, printed) = healthcheck(url);
        assert_eq!(status, 2);
        assert!(printed.contains(message), "{printed}");
    }
}
