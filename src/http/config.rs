//! The web configuration, in the format that the Prometheus exporters share:
//! <https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md>.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bcrypt::HashParts;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use thiserror::Error;
use tokio_rustls::rustls::ServerConfig;

use super::tls;

/// In bytes: far more than the certificates of all public authorities take.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// Each step doubles the time that a check takes. A cost of 16 takes seconds; more would exceed the
/// time limit of a scrape.
const COSTS: std::ops::RangeInclusive<u32> = 4..=16;

/// The web configuration, parsed and checked.
#[derive(Default)]
pub(super) struct WebConfig {
    /// `None` means plain HTTP.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Whether the TLS handshake authenticates the client.
    pub(super) verifies_clients: bool,
    /// Headers that are added to each response.
    pub(super) headers: HeaderMap,
    pub(super) users: Users,
    pub(super) rate: Option<Rate>,
}

/// Users and the bcrypt hashes of their passwords. If empty, no password is required.
pub(super) type Users = BTreeMap<String, String>;

/// One request per `interval`, and up to `burst` at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) interval: Duration,
    pub(super) burst: u32,
}

/// Why a web configuration cannot be used.
#[derive(Debug, Error)]
#[error("cannot use the web configuration {}: {problem}", path.display())]
pub struct Error {
    path: PathBuf,
    problem: String,
}

/// The contents of all files that make up a web configuration, at the time when they were read.
#[derive(PartialEq)]
pub(super) struct Sources {
    path: PathBuf,
    document: String,
    files: tls::Files<Vec<u8>>,
}

impl Sources {
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let fail = |problem| Error {
            path: path.to_owned(),
            problem,
        };
        let document = read(path).map_err(|error| fail(error.to_string()))?;
        let document = String::from_utf8(document)
            .map_err(|error| fail(format!("it is not UTF-8: {error}")))?;
        let tls = parse(&document).map_err(fail)?.tls_server_config;
        let directory = path.parent().unwrap_or(Path::new(""));
        let files = tls.unwrap_or_default().files(|name, file| {
            let file = directory.join(file);
            read(&file).map_err(|error| format!("{name} {}: {error}", file.display()))
        });
        Ok(Self {
            path: path.to_owned(),
            document,
            files: files.map_err(fail)?,
        })
    }

    pub(super) fn config(&self) -> Result<WebConfig, Error> {
        let config = parse(&self.document).and_then(|document| document.config(&self.files));
        config.map_err(|problem| self.error(problem))
    }

    /// Returns an error that names this configuration's file.
    pub(super) fn error(&self, problem: String) -> Error {
        Error {
            path: self.path.clone(),
            problem,
        }
    }

    /// Whether the file has only comments and blank lines.
    pub(super) fn is_blank(&self) -> bool {
        is_blank(&self.document)
    }

    /// Creates the sources of a file that names no other file.
    #[cfg(test)]
    pub(super) fn of_document(document: &str) -> Result<Self, Error> {
        let sources = Self {
            path: "web.yml".into(),
            document: document.to_owned(),
            files: tls::Files::default(),
        };
        let parsed = parse(document).map(drop);
        parsed.map_err(|problem| sources.error(problem))?;
        Ok(sources)
    }
}

/// Reads a regular file. Anything else, such as a pipe or a device, is an error: it could block for
/// ever.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(content)
}

/// The structure of the file. Null means the default, as in the other exporters.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Document {
    tls_server_config: Option<tls::TlsServerConfig>,
    http_server_config: Option<HttpServerConfig>,
    rate_limit: Option<RateLimit>,
    basic_auth_users: Option<Users>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HttpServerConfig {
    http2: Option<bool>,
    headers: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RateLimit {
    interval: Option<String>,
    burst: Option<u32>,
}

fn parse(document: &str) -> Result<Document, String> {
    if is_blank(document) {
        return Ok(Document::default());
    }
    // No snippets of the file in errors: it may contain a private key.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(document, options).map_err(|error| error.to_string())
}

/// Whether a document has only comments and blank lines. YAML has no value for such a document, so
/// it needs a case of its own.
fn is_blank(document: &str) -> bool {
    let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    document.lines().all(is_blank)
}

impl Document {
    fn config(self, files: &tls::Files<Vec<u8>>) -> Result<WebConfig, String> {
        let http = self.http_server_config.unwrap_or_default();
        let tls = self.tls_server_config.unwrap_or_default();
        let users = self.basic_auth_users.unwrap_or_default();
        for (user, hash) in &users {
            check_hash(hash).map_err(|problem| format!("basic_auth_users: {user}: {problem}"))?;
        }
        Ok(WebConfig {
            tls: tls.server_config(files, http.http2.unwrap_or(true))?,
            verifies_clients: tls.verifies_clients(),
            headers: headers(http.headers.unwrap_or_default())?,
            users,
            rate: self.rate_limit.unwrap_or_default().rate()?,
        })
    }
}

fn check_hash(hash: &str) -> Result<(), String> {
    const ADVICE: &str = "write what `htpasswd -nBC 10 \"\" | tr -d ':\\n'` prints";

    let parts =
        HashParts::from_str(hash).map_err(|_| format!("this is not a bcrypt hash; {ADVICE}"))?;
    if COSTS.contains(&parts.get_cost()) {
        return Ok(());
    }
    Err(format!(
        "a bcrypt cost of {} is too low or too slow: it must be {} to {}; {ADVICE}",
        parts.get_cost(),
        COSTS.start(),
        COSTS.end()
    ))
}

/// The headers that can be added, and their allowed values; an empty list allows any.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

fn headers(wanted: BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in wanted {
        let Some((known, values)) = HEADERS.iter().find(|(known, _)| *known == name) else {
            let all = HEADERS.map(|(name, _)| name).join(", ");
            return Err(format!(
                "http_server_config: headers: {name} cannot be set; these can: {all}"
            ));
        };
        if value.is_empty() {
            continue;
        }
        let is_allowed = values.is_empty() || values.contains(&value.as_str());
        match HeaderValue::from_str(&value) {
            Ok(value) if is_allowed => {
                headers.insert(
                    HeaderName::from_str(known).expect("HEADERS has valid names"),
                    value,
                );
            }
            Ok(_) => {
                let values = values.join(" or ");
                return Err(format!(
                    "http_server_config: headers: {name} must be {values}, not {value}"
                ));
            }
            Err(_) => {
                return Err(format!(
                    "http_server_config: headers: {name} has characters that headers cannot have"
                ));
            }
        }
    }
    Ok(headers)
}

impl RateLimit {
    fn rate(self) -> Result<Option<Rate>, String> {
        let interval = match self.interval.as_deref() {
            None | Some("" | "0") => return Ok(None),
            Some(interval) => humantime::parse_duration(interval).map_err(|error| {
                format!("rate_limit: interval: {error}; write a time such as 1s or 500ms")
            })?,
        };
        if interval.is_zero() {
            return Ok(None);
        }
        match self.burst {
            Some(burst) if burst > 0 => Ok(Some(Rate { interval, burst })),
            _ => Err("rate_limit: burst must be at least 1, or no request gets through".to_owned()),
        }
    }
}
