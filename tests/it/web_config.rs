//! Web configurations: invalid, empty, and those of other exporters.

use std::fs;
use std::process::Command;

use insta::assert_snapshot;

use crate::support::{program, tool};
use crate::website::{HASH, Website};

/// Starts the program with this configuration, and returns its error message.
fn start(site: &Website, configuration: &str) -> String {
    site.write("web.yml", configuration);
    let output = program()
        .current_dir(site.directory.path())
        .args(["--listen-port", "0", "--publish-port", "0"])
        .args(["--web.config.file", "web.yml"])
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{configuration}\n{stderr}");
    assert_eq!(output.stdout, b"");
    format!("{configuration}\n=> {stderr}\n")
}

#[test]
fn problems_of_a_configuration_are_reported() {
    let site = Website::new("");
    site.write("empty", "");
    fs::create_dir(site.directory.path().join("folder")).unwrap();
    let tls = |more: &str| {
        format!("tls_server_config: {{cert_file: server.crt, key_file: server.key, {more}}}")
    };
    let dear = HASH.replace("$10$", "$17$");
    let wrong = [
        "tls_server_config: [".to_owned(),
        "tls: {}".to_owned(),
        "tls_server_config: {certificate: server.crt}".to_owned(),
        "tls_server_config: {min_version: TLS12}".to_owned(),
        "tls_server_config: {cert_file: server.crt}".to_owned(),
        "tls_server_config: {cert_file: '', key_file: ''}".to_owned(),
        "tls_server_config: {cert_file: nowhere.crt, key_file: server.key}".to_owned(),
        "tls_server_config: {cert_file: folder, key_file: server.key}".to_owned(),
        "tls_server_config: {cert_file: empty, key_file: server.key}".to_owned(),
        "tls_server_config: {cert_file: server.crt, key_file: empty}".to_owned(),
        "tls_server_config: {cert_file: server.crt, key_file: client.key}".to_owned(),
        tls("client_auth_type: Always"),
        tls("client_auth_type: RequireAndVerifyClientCert"),
        tls("client_auth_type: RequireAndVerifyClientCert, client_ca_file: empty"),
        tls("client_ca_file: ca.pem"),
        tls("client_auth_type: RequestClientCert, client_allowed_sans: [x]"),
        tls("min_version: TLS10"),
        tls("max_version: TLS14"),
        tls("min_version: TLS13, max_version: TLS12"),
        tls("cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]"),
        tls("curve_preferences: [X25519, CurveP521]"),
        "http_server_config: {http3: true}".to_owned(),
        "http_server_config: {http2: maybe}".to_owned(),
        "http_server_config: {headers: {Server: x}}".to_owned(),
        "http_server_config: {headers: {X-Frame-Options: DENY}}".to_owned(),
        "http_server_config: {headers: {Content-Security-Policy: \"a\\nb\"}}".to_owned(),
        "basic_auth_users: {prometheus: secret}".to_owned(),
        format!("basic_auth_users: {{prometheus: {dear}}}"),
        format!("basic_auth_users: {{a: {HASH}, a: {HASH}}}"),
        "rate_limit: {interval: 1s}".to_owned(),
        "rate_limit: {interval: often, burst: 1}".to_owned(),
    ];
    let all: String = wrong.iter().map(|wrong| start(&site, wrong)).collect();
    assert_snapshot!(all);
}

#[test]
fn a_missing_configuration_is_an_error() {
    let output = program()
        .args(["--listen-port", "0", "--publish-port", "0"])
        .args(["--web.config.file", "/nowhere/web.yml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_snapshot!(String::from_utf8(output.stderr).unwrap());
}

#[test]
fn a_publish_address_of_another_host_is_an_error_with_a_remedy() {
    let output = program()
        .args(["--listen-port", "0", "--publish-port", "0"])
        .args(["--publish-address", "192.0.2.1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_snapshot!(String::from_utf8(output.stderr).unwrap());
}

/// All the ways to write a configuration without settings.
#[test]
fn empty_configurations_mean_plain_http_without_passwords() {
    for configuration in [
        "",
        "# nothing\n\n",
        "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\nrate_limit:\n",
        "tls_server_config: {}\nhttp_server_config: {headers: {}}\nbasic_auth_users: {}\n",
    ] {
        let exporter = Website::new(configuration).start(&[]);
        assert_eq!(exporter.get("/metrics").0, 200, "{configuration}");
    }
}

/// promtool contains the parser that other exporters use.
#[test]
fn configurations_of_other_exporters_are_accepted() {
    let site = Website::new(&format!(
        "tls_server_config:\n  \
           cert_file: server.crt\n  \
           key_file: server.key\n  \
           client_auth_type: VerifyClientCertIfGiven\n  \
           client_ca_file: ca.pem\n  \
           min_version: TLS12\n  \
           max_version: TLS13\n  \
           cipher_suites:\n  \
           - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\n  \
           - TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256\n  \
           - TLS_AES_128_GCM_SHA256\n  \
           prefer_server_cipher_suites: false\n  \
           curve_preferences: [CurveP256, X25519]\n\
         http_server_config:\n  \
           http2: true\n  \
           headers:\n    \
             Content-Security-Policy: default-src 'self'\n    \
             X-Frame-Options: sameorigin\n    \
             X-Content-Type-Options: nosniff\n    \
             X-XSS-Protection: 1; mode=block\n    \
             Strict-Transport-Security: max-age=31536000\n\
         basic_auth_users:\n  \
           alice: {HASH}\n  \
           \"42\": {HASH}\n"
    ));
    let path = site.path("web.yml");
    tool(Command::new("promtool").args(["check", "web-config", &path]));
    let exporter = site.start(&[]);
    for user in ["alice:secret", "42:secret"] {
        let answer = site.curl(&exporter, "/metrics", &["--user", user]);
        assert_eq!(answer.status, 200, "{user}");
    }
}
