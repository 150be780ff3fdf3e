//! Metrics over TLS, whose cryptography has code for each processor.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::live::Exporter;
use super::runner::Runner;
use crate::dist::create;
use crate::dist::targets::Target;
use crate::project::{root, succeed};
use crate::tools::{self, Tool};

/// Creates the certificate.
const OPENSSL: Tool = Tool::new("openssl", "version", "openssl");

/// Serves with the program, and asks for its health over TLS with the program itself and with that of
/// this machine.
pub(super) fn check(
    target: &Target,
    runner: &Runner,
    program: &Path,
    native: &Path,
) -> anyhow::Result<()> {
    let config = web_config(&root().join("target/dist-check/tls"))?;
    let config = config.to_str().context("paths are text")?;
    let exporter = Exporter::start(runner, program, &["--web.config.file", config])?;
    let url = format!("https://127.0.0.1:{}", exporter.publish_port);
    for mut client in [runner.command(program), Command::new(native)] {
        succeed(client.args(["healthcheck", "--url", &url]))?;
    }
    exporter.stop(target.system)
}

/// Writes a certificate, its key and a web configuration with both to a directory. Returns the path
/// of the configuration.
fn web_config(directory: &Path) -> anyhow::Result<PathBuf> {
    tools::ensure(&[OPENSSL])?;
    create(directory)?;
    let mut openssl = Command::new("openssl");
    openssl
        .current_dir(directory)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"])
        .args(["-subj", "/CN=localhost"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"]);
    let output = openssl.output().context("cannot run openssl")?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let config = directory.join("web.yml");
    let text = "tls_server_config:\n  cert_file: certificate.pem\n  key_file: key.pem\n";
    fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
    Ok(config)
}
