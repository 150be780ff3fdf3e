//! TLS and passwords, tested with curl.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{Exporter, eventually};
use crate::website::{Authority, HASH, Website};

const TLS: &str = "tls_server_config: {cert_file: server.crt, key_file: server.key";

/// A web configuration with more settings at the end of `tls_server_config`.
fn tls(more: &str) -> String {
    format!("{TLS}{more}}}\n")
}

fn users() -> String {
    format!("basic_auth_users:\n  prometheus: {HASH}\n")
}

#[test]
fn http_2_and_http_1_are_spoken_over_tls() {
    let site = Website::new(&tls(""));
    let exporter = site.start(&[]);
    for (option, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let answer = site.curl(&exporter, "/metrics", &[option]);
        assert_eq!((answer.status, answer.version.as_str()), (200, version));
        assert!(answer.body.contains("\ntzsp_capture_up 1\n"), "{answer:?}");
    }
    site.write("web.yml", &(tls("") + "http_server_config: {http2: false}"));
    eventually("HTTP/1 alone", || {
        let answer = site.curl(&exporter, "/metrics", &["--http2"]);
        assert_eq!(answer.status, 200);
        (answer.version == "1.1").then_some(())
    });
}

#[test]
fn plain_http_to_a_tls_server_gets_an_explanation() {
    let site = Website::new(&tls(""));
    let exporter = site.start(&[]);
    let answer = site.curl_url(&exporter.url("/metrics"), &[]);
    assert_eq!(answer.status, 400);
    assert_eq!(answer.body, "This is an HTTPS server. Use https://.\n");
    assert_eq!(refused(&site, &exporter, "tls", &[]), 1.0);
}

#[test]
fn only_health_checks_are_served_without_the_password() {
    let site = Website::new(&(tls("") + &users()));
    let exporter = site.start(&[]);
    let without_password: [&[&str]; 7] = [
        &[],
        &["--user", "prometheus:wrong"],
        &["--user", "prometheus:"],
        &["--user", "nobody:secret"],
        &["--header", "Authorization: Basic !"],
        &["--header", "Authorization: Bearer secret"],
        &["--request", "DELETE"],
    ];
    for arguments in without_password {
        for page in ["/metrics", "/", "/nowhere"] {
            let answer = site.curl(&exporter, page, &[&["--http1.1"], arguments].concat());
            assert_eq!(answer.status, 401, "{arguments:?} {page}");
            assert_eq!(answer.body, "Unauthorized.\n");
            let headers: Vec<_> = answer
                .headers
                .lines()
                .filter(|line| !line.starts_with("date: "))
                .collect();
            assert_eq!(
                headers,
                [
                    "HTTP/1.1 401 Unauthorized",
                    "content-type: text/plain; charset=utf-8",
                    "www-authenticate: Basic realm=\"metrics\", charset=\"UTF-8\"",
                    "x-content-type-options: nosniff",
                    "content-length: 14",
                ]
            );
        }
    }
    for (page, body) in [("/-/healthy", "Healthy.\n"), ("/-/ready", "Ready.\n")] {
        let answer = site.curl(&exporter, page, &[]);
        assert_eq!((answer.status, answer.body.as_str()), (200, body));
    }
    let user = ["--user", "prometheus:secret"];
    for version in ["--http1.1", "--http2"] {
        let answer = site.curl(&exporter, "/metrics", &[&user[..], &[version]].concat());
        assert_eq!(answer.status, 200);
    }
    assert_eq!(site.curl(&exporter, "/nowhere", &user).status, 404);
    assert_eq!(refused(&site, &exporter, "unauthorized", &user), 21.0);
}

#[test]
fn a_changed_password_applies_to_open_connections() {
    let site = Website::new(&users());
    let exporter = site.start(&[]);
    let url = exporter.url("/metrics");
    let agent = ureq::Agent::config_builder().http_status_as_error(false);
    let agent = agent.build().new_agent();
    let status = |credentials| {
        let authorization = format!("Basic {credentials}");
        let call = agent.get(&url).header("Authorization", authorization);
        let mut response = call.call().unwrap();
        // Read the whole body, so that the connection is reused.
        response.body_mut().read_to_string().unwrap();
        response.status().as_u16()
    };
    // prometheus:secret and prometheus:pässword.
    let (old, new) = ("cHJvbWV0aGV1czpzZWNyZXQ=", "cHJvbWV0aGV1czpww6Rzc3dvcmQ=");
    assert_eq!((status(old), status(new)), (200, 401));
    // Hashed with `htpasswd -nbBC 5 "" pässword`.
    let hash = "$2y$05$rFfFZpThAukdYqcBXYgeUOiB9GTZ18Wt6RY.mMvjmpPsdVW4VRStW";
    site.write("web.yml", &users().replace(HASH, hash));
    eventually("the old password is refused", || {
        (status(old) == 401).then_some(())
    });
    assert_eq!(status(new), 200);
}

/// Checks the HTTP status for four clients: with a valid certificate, with an expired one, with one
/// of an unknown authority, and without one. 0 means that the handshake failed.
#[track_caller]
fn check_clients(configuration: &str, expected: [u16; 4]) {
    let site = Website::new(&tls(configuration));
    let exporter = site.start(&[]);
    let [client, expired, other] = ["client", "expired", "other"].map(|name| {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
        let answer = site.curl(
            &exporter,
            "/metrics",
            &["--key", &key, "--cert", &certificate],
        );
        answer.status
    });
    let without = site.curl(&exporter, "/metrics", &[]).status;
    let found = [client, expired, other, without];
    assert_eq!(found, expected, "{configuration}");
}

#[test]
fn client_certificates_follow_the_five_policies_of_go() {
    let ca = "client_ca_file: ca.pem";
    check_clients(", client_auth_type: NoClientCert", [200; 4]);
    check_clients(", client_auth_type: RequestClientCert", [200; 4]);
    check_clients(
        ", client_auth_type: RequireAnyClientCert",
        [200, 200, 200, 0],
    );
    check_clients(
        &format!(", client_auth_type: VerifyClientCertIfGiven, {ca}"),
        [200, 0, 0, 200],
    );
    check_clients(
        &format!(", client_auth_type: RequireAndVerifyClientCert, {ca}"),
        [200, 0, 0, 0],
    );
}

#[test]
fn clients_need_one_of_the_allowed_names() {
    let verified = ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem";
    let any = ", client_auth_type: RequireAnyClientCert";
    for (policy, named) in [(verified, [200, 0, 0, 0]), (any, [200, 200, 200, 0])] {
        let sans = |sans| format!("{policy}, client_allowed_sans: [{sans}]");
        check_clients(&sans("x, prometheus.example"), named);
        check_clients(&sans("example, prometheus.example.org"), [0; 4]);
        check_clients(&sans(""), [0; 4]);
    }

    let names = [
        "192.0.2.7",
        "2001:db8::7",
        "ops@example",
        "spiffe://example/p",
    ];
    for name in names {
        let site = Website::new(&tls(&format!(
            "{verified}, client_allowed_sans: ['{name}']"
        )));
        let exporter = site.start(&[]);
        for other in names {
            site.write_identity("named", &site.authority.issue(&[other]));
            let arguments = ["--key", "named.key", "--cert", "named.crt"];
            let answer = site.curl(&exporter, "/metrics", &arguments);
            assert_eq!(answer.status == 200, name == other, "{name} {other}");
        }
    }
}

#[test]
fn versions_suites_and_curves_can_be_restricted() {
    let status = |configuration: &str, arguments: &[&str]| {
        let site = Website::new(&tls(configuration));
        let exporter = site.start(&[]);
        site.curl(&exporter, "/metrics", arguments).status
    };
    let old = ["--tls-max", "1.2"];
    let new = ["--tlsv1.3"];
    assert_eq!(status("", &old), 200);
    assert_eq!(status("", &new), 200);
    assert_eq!(status(", min_version: TLS13", &old), 0);
    assert_eq!(status(", min_version: TLS13", &new), 200);
    assert_eq!(status(", max_version: TLS12", &old), 200);
    assert_eq!(status(", max_version: TLS12", &new), 0);

    let suite = ", cipher_suites: [TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]";
    let aes = [
        "--tls-max",
        "1.2",
        "--ciphers",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
    ];
    let chacha = [
        "--tls-max",
        "1.2",
        "--ciphers",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ];
    assert_eq!(status(suite, &aes), 0);
    assert_eq!(status(suite, &chacha), 200);
    // The cipher suites of TLS 1.3 cannot be restricted.
    assert_eq!(status(suite, &new), 200);

    let curve = ", curve_preferences: [CurveP384]";
    assert_eq!(status(curve, &["--curves", "X25519:P-256"]), 0);
    assert_eq!(status(curve, &["--curves", "X25519:P-384"]), 200);
}

#[test]
fn certificates_may_be_inline() {
    let site = Website::new("");
    let identity = site.authority.issue(&["localhost"]);
    let indented = |text: &str| text.replace('\n', "\n    ");
    site.write(
        "web.yml",
        &format!(
            "tls_server_config:\n  cert: |\n    {}\n  key: |\n    {}\n  client_ca: |\n    {}\n  \
             client_auth_type: RequireAndVerifyClientCert\n",
            indented(&identity.certificate),
            indented(&identity.key),
            indented(&site.authority.pem)
        ),
    );
    let exporter = site.start(&[]);
    let client = ["--key", "client.key", "--cert", "client.crt"];
    assert_eq!(site.curl(&exporter, "/metrics", &client).status, 200);
    assert_eq!(site.curl(&exporter, "/metrics", &[]).status, 0);
}

#[test]
fn a_renewed_certificate_is_used_without_a_restart() {
    let site = Website::new(&tls(""));
    let mut exporter = site.start(&[]);
    assert_eq!(site.curl(&exporter, "/metrics", &[]).status, 200);

    // The key is replaced first, then the certificate. A key and a certificate that do not match
    // are never used.
    let new = Authority::new("successors");
    let identity = new.issue(&["localhost"]);
    site.write("new.pem", &new.pem);
    site.write("server.key", &identity.key);
    assert_eq!(site.curl(&exporter, "/metrics", &[]).status, 200);
    site.write("server.crt", &identity.certificate);
    eventually("the new certificate", || {
        let answer = site.curl(&exporter, "/metrics", &["--cacert", "new.pem"]);
        (answer.status == 200).then_some(())
    });
    assert_eq!(site.curl(&exporter, "/metrics", &[]).status, 0);
    exporter.wait_for_line("INFO the web configuration has changed and is in force");
}

#[test]
fn an_invalid_configuration_leaves_the_previous_one_in_force() {
    let site = Website::new(&tls(""));
    let mut exporter = site.start(&[]);
    let state = |exporter: &Exporter<'_>| {
        let answer = site.curl(exporter, "/metrics", &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
        let name = "\ntzsp_web_config_last_reload_successful ";
        let (_, value) = answer.body.split_once(name).unwrap();
        value.split_once('\n').unwrap().0.to_owned()
    };
    assert_eq!(state(&exporter), "1");

    site.write("web.yml", "tls_server_config: {cert: [}");
    eventually("the problem is reported", || {
        (state(&exporter) == "0").then_some(())
    });
    let path = site.path("web.yml");
    let line = exporter.wait_for_line("WARN");
    assert!(
        line.contains(&format!("cannot use the web configuration {path}: ")),
        "{line}"
    );
    assert!(
        line.ends_with("; the previous configuration stays in force"),
        "{line}"
    );

    site.write("web.yml", &(tls("") + "# mended"));
    eventually("the corrected configuration is used", || {
        (state(&exporter) == "1").then_some(())
    });
    site.write("server.crt", "no certificate");
    let line = exporter.wait_for_line("it has no certificate");
    assert!(line.contains("tls_server_config: cert_file: "), "{line}");
    exporter.signal(nix::sys::signal::Signal::SIGTERM);
    let (status, log) = exporter.wait_for_exit();
    assert!(status.success());
    assert_eq!(log.matches("WARN").count(), 2, "{log}");
}

/// Writes into the existing file, as `>` does in a shell, instead of replacing it.
fn write_in_place(site: &Website, text: &str) {
    std::fs::write(site.path("web.yml"), text).unwrap();
}

#[test]
fn removing_tls_or_passwords_requires_a_restart() {
    let secure = tls("") + &users();
    let site = Website::new(&secure);
    let mut exporter = site.start(&[]);
    let user = ["--user", "prometheus:secret"];
    assert_eq!(site.curl(&exporter, "/metrics", &user).status, 200);
    for (written, problem) in [
        ("", "it has become empty"),
        (&users(), "it no longer has tls_server_config"),
        (&tls(""), "it no longer has basic_auth_users"),
    ] {
        write_in_place(&site, written);
        let refusal = format!("{problem}; restart the program to apply this change");
        eventually(problem, || {
            // At no time is a request without TLS and password accepted.
            assert_eq!(site.curl(&exporter, "/metrics", &[]).status, 401);
            exporter.has_logged(&refusal).then_some(())
        });
        assert_eq!(site.curl(&exporter, "/metrics", &user).status, 200);
    }
    drop(exporter);
    let restarted = site.start(&[]);
    assert_eq!(site.curl(&restarted, "/metrics", &[]).status, 200);
}

#[test]
fn enabling_tls_or_passwords_closes_earlier_connections() {
    for protection in [tls(""), users()] {
        let site = Website::new("http_server_config: {http2: true}");
        let mut exporter = site.start(&[]);
        let mut stream = TcpStream::connect(("127.0.0.1", exporter.port)).unwrap();
        let timeout = Some(std::time::Duration::from_secs(20));
        stream.set_read_timeout(timeout).unwrap();
        let request = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(request).unwrap();
        site.write("web.yml", &protection);
        exporter.wait_for_line("the web configuration has changed and is in force");
        let mut answer = String::new();
        // The connection is closed well before the idle timeout.
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[test]
fn headers_are_added_to_every_answer() {
    let headers = "http_server_config: {headers: {X-Frame-Options: deny, \
                   Strict-Transport-Security: max-age=1, X-XSS-Protection: ''}}\n";
    let site = Website::new(&(tls("") + headers + &users()));
    let exporter = site.start(&[]);
    let user = ["--user", "prometheus:secret"];
    for (page, arguments) in [
        ("/metrics", &user[..]),
        ("/metrics", &[]),
        ("/-/ready", &[]),
    ] {
        let answer = site.curl(&exporter, page, arguments);
        let headers = answer.headers + "\r\n";
        assert!(
            headers.contains("\r\nx-frame-options: deny\r\n"),
            "{headers}"
        );
        assert!(
            headers.contains("\r\nstrict-transport-security: max-age=1\r\n"),
            "{headers}"
        );
        assert!(!headers.contains("x-xss-protection"), "{headers}");
    }
}

#[test]
fn requests_beyond_the_rate_are_refused() {
    let site = Website::new("rate_limit: {interval: 1h, burst: 2}");
    let exporter = site.start(&[]);
    assert_eq!(exporter.get("/metrics").0, 200);
    assert_eq!(exporter.get("/-/healthy").0, 200);
    let (status, body) = exporter.get("/metrics");
    assert_eq!(status, 429);
    assert_eq!(
        body,
        "Too many requests: the limit is rate_limit. Try again later.\n"
    );
}

/// A sample of `tzsp_http_refused_total`.
#[track_caller]
fn refused(site: &Website, exporter: &Exporter<'_>, reason: &str, arguments: &[&str]) -> f64 {
    let answer = site.curl(exporter, "/metrics", arguments);
    let name = format!("\ntzsp_http_refused_total{{reason=\"{reason}\"}} ");
    let (_, value) = answer.body.split_once(&name).unwrap();
    value.split_once('\n').unwrap().0.parse().unwrap()
}
