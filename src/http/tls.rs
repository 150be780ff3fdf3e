//! Builds the configuration of rustls from `tls_server_config`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tokio_rustls::rustls::crypto::ring::{self, kx_group};
use tokio_rustls::rustls::crypto::{CryptoProvider, SupportedKxGroup};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::clients::{Clients, Policy};

/// The structure of `tls_server_config` in the file.
#[derive(Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsServerConfig {
    cert: Option<String>,
    key: Option<String>,
    client_ca: Option<String>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    client_ca_file: Option<PathBuf>,
    client_auth_type: Option<String>,
    client_allowed_sans: Option<Vec<String>>,
    min_version: Option<String>,
    max_version: Option<String>,
    cipher_suites: Option<Vec<String>>,
    curve_preferences: Option<Vec<String>>,
    prefer_server_cipher_suites: Option<bool>,
}

/// Certificates and keys, from separate files or inline.
#[derive(Default, PartialEq)]
pub(super) struct Files<T> {
    cert: Option<T>,
    key: Option<T>,
    client_ca: Option<T>,
}

impl TlsServerConfig {
    /// Returns the certificates and keys, with `read` for those that are in files of their own.
    pub(super) fn files<E>(
        &self,
        read: impl Fn(&str, &Path) -> Result<Vec<u8>, E>,
    ) -> Result<Files<Vec<u8>>, E> {
        let one = |name, file: &Option<PathBuf>, text: &Option<String>| {
            if let Some(file) = file.as_deref().filter(|file| !file.as_os_str().is_empty()) {
                return read(name, file).map(Some);
            }
            let text = text.as_deref().filter(|text| !text.is_empty());
            Ok(text.map(|text| text.as_bytes().to_vec()))
        };
        Ok(Files {
            cert: one("cert_file", &self.cert_file, &self.cert)?,
            key: one("key_file", &self.key_file, &self.key)?,
            client_ca: one("client_ca_file", &self.client_ca_file, &self.client_ca)?,
        })
    }

    /// Whether no field is set.
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether every client must have a certificate of a trusted authority.
    pub(super) fn verifies_clients(&self) -> bool {
        self.policy() == Ok(Policy::RequireAndVerify)
    }

    /// Returns the configuration of rustls, or `None` for plain HTTP.
    pub(super) fn server_config(
        &self,
        files: &Files<Vec<u8>>,
        http2: bool,
    ) -> Result<Option<Arc<ServerConfig>>, String> {
        if self.is_empty() {
            return Ok(None);
        }
        self.build(files, http2)
            .map(Some)
            .map_err(|problem| format!("tls_server_config: {problem}"))
    }

    fn build(&self, files: &Files<Vec<u8>>, http2: bool) -> Result<Arc<ServerConfig>, String> {
        let cert = files.cert.as_ref().ok_or("cert_file is missing")?;
        let key = files.key.as_ref().ok_or("key_file is missing")?;
        let chain = certificates(cert).map_err(|problem| format!("cert_file: {problem}"))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            format!("key_file: no private key, or one with a passphrase: {error}")
        })?;
        let provider = Arc::new(self.provider()?);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions()?)
            .map_err(|error| format!("no connection is possible: {error}"))?;
        let builder = match self.clients(files, &provider)? {
            Some(clients) => builder.with_client_cert_verifier(Arc::new(clients)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    "cert_file and key_file do not belong together".to_owned()
                }
                error => format!("cert_file and key_file cannot be used: {error}"),
            })?;
        config.ignore_client_order = self.prefer_server_cipher_suites.unwrap_or(true);
        // No session resumption: a client that resumes a session does not present its certificate
        // again, so the server would continue to accept an expired one. Resumption would save
        // little, because Prometheus keeps its connection open.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let protocols: &[&[u8]] = if http2 {
            &[b"h2", b"http/1.1"]
        } else {
            &[b"http/1.1"]
        };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }

    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
        let minimum = version("min_version", self.min_version.as_deref(), 2)?;
        let maximum = version("max_version", self.max_version.as_deref(), 3)?;
        let versions: Vec<_> = [(2, &TLS12), (3, &TLS13)]
            .into_iter()
            .filter(|(minor, _)| (minimum..=maximum).contains(minor))
            .map(|(_, version)| version)
            .collect();
        if versions.is_empty() {
            return Err("min_version is above max_version".to_owned());
        }
        Ok(versions)
    }

    /// Returns the cipher suites and key exchange groups, in the order of preference.
    fn provider(&self) -> Result<CryptoProvider, String> {
        let mut provider = ring::default_provider();
        if let Some(names) = self
            .cipher_suites
            .as_deref()
            .filter(|names| !names.is_empty())
        {
            let mut chosen = Vec::new();
            for name in names {
                let suite = provider
                    .cipher_suites
                    .iter()
                    .find(|suite| suite_name(suite.suite()) == *name);
                chosen.push(*suite.ok_or_else(|| {
                    let known = provider.cipher_suites.iter();
                    let known: Vec<_> = known.map(|suite| suite_name(suite.suite())).collect();
                    format!(
                        "cipher_suites: {name} is not supported; these are: {}",
                        known.join(", ")
                    )
                })?);
            }
            // As in Go, the suites of TLS 1.3 are always enabled.
            chosen.retain(|suite| suite.tls13().is_none());
            let modern = provider.cipher_suites.iter();
            chosen.extend(modern.filter(|suite| suite.tls13().is_some()));
            provider.cipher_suites = chosen;
        }
        if let Some(names) = self
            .curve_preferences
            .as_deref()
            .filter(|names| !names.is_empty())
        {
            let groups = names.iter().map(|name| curve(name));
            provider.kx_groups = groups.collect::<Result<_, _>>()?;
        }
        Ok(provider)
    }

    fn policy(&self) -> Result<Policy, String> {
        match self.client_auth_type.as_deref() {
            None | Some("" | "NoClientCert") => Ok(Policy::None),
            Some("RequestClientCert") => Ok(Policy::Request),
            // The second is an old name that the other exporters accept as well.
            Some("RequireAnyClientCert" | "RequireClientCert") => Ok(Policy::RequireAny),
            Some("VerifyClientCertIfGiven") => Ok(Policy::VerifyIfGiven),
            Some("RequireAndVerifyClientCert") => Ok(Policy::RequireAndVerify),
            Some(other) => Err(format!(
                "client_auth_type: {other} is unknown; write NoClientCert, RequestClientCert, \
                 RequireAnyClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert"
            )),
        }
    }

    fn clients(
        &self,
        files: &Files<Vec<u8>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Clients>, String> {
        let policy = self.policy()?;
        let sans = self.client_allowed_sans.clone();
        if sans.is_some() && !matches!(policy, Policy::RequireAny | Policy::RequireAndVerify) {
            return Err(
                "client_allowed_sans needs a client_auth_type that requires a certificate: \
                 RequireAndVerifyClientCert, or RequireAnyClientCert"
                    .to_owned(),
            );
        }
        let mut roots = RootCertStore::empty();
        if let Some(authorities) = &files.client_ca {
            let fail = |problem| format!("client_ca_file: {problem}");
            for certificate in certificates(authorities).map_err(fail)? {
                let added = roots.add(certificate);
                added.map_err(|error| fail(format!("not a certificate authority: {error}")))?;
            }
        }
        match policy {
            Policy::None if files.client_ca.is_some() => {
                Err("client_ca_file has no effect without client_auth_type; \
                     write client_auth_type: RequireAndVerifyClientCert"
                    .to_owned())
            }
            Policy::None => Ok(None),
            Policy::VerifyIfGiven | Policy::RequireAndVerify if files.client_ca.is_none() => {
                Err("client_auth_type needs client_ca_file to verify certificates".to_owned())
            }
            _ => Clients::new(policy, roots, sans, provider)
                .map(Some)
                .map_err(|error| format!("client_ca_file: {error}")),
        }
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err("it has no certificate".to_owned()),
        Ok(chain) => Ok(chain),
        Err(error) => Err(format!("not in PEM format: {error}")),
    }
}

/// Parses the name of a TLS version. Returns the minor version: 2 for TLS 1.2.
fn version(field: &str, name: Option<&str>, default: u8) -> Result<u8, String> {
    match name {
        None | Some("") => Ok(default),
        Some("TLS12") => Ok(2),
        Some("TLS13") => Ok(3),
        Some(name @ ("TLS10" | "TLS11")) => Err(format!(
            "{field}: {name} is insecure and not supported; write TLS12 or TLS13"
        )),
        Some(name) => Err(format!("{field}: {name} is unknown; write TLS12 or TLS13")),
    }
}

/// Returns the name that Go and the standard use. rustls adds the version to names of TLS 1.3.
fn suite_name(suite: rustls::CipherSuite) -> String {
    let name = suite.as_str().unwrap_or_default();
    name.replacen("TLS13_", "TLS_", 1)
}

fn curve(name: &str) -> Result<&'static dyn SupportedKxGroup, String> {
    match name {
        "X25519" => Ok(kx_group::X25519),
        "CurveP256" => Ok(kx_group::SECP256R1),
        "CurveP384" => Ok(kx_group::SECP384R1),
        _ => Err(format!(
            "curve_preferences: {name} is not supported; these are: X25519, CurveP256, CurveP384"
        )),
    }
}
