//! Certificates, web configurations, and curl as a client.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};
use tempfile::TempDir;

use crate::support::Exporter;

/// The password "secret", hashed with `htpasswd -nbBC 10 "" secret`.
pub(crate) const HASH: &str = "$2y$10$dU7BGeOZ8m5zLBNcgDprJ.CmjcaQB4nW/yykP4UXbPxr40gU905Lu";

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key, in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params(&[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// Issues a certificate. Names are IP addresses, URIs, mail addresses or host names.
    pub(crate) fn issue(&self, names: &[&str]) -> Identity {
        self.sign(&params(names))
    }

    pub(crate) fn issue_expired(&self, names: &[&str]) -> Identity {
        let mut params = params(names);
        params.not_after = date_time_ymd(2020, 1, 1);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names
        .iter()
        .map(|name| {
            if let Ok(address) = name.parse::<IpAddr>() {
                SanType::IpAddress(address)
            } else if name.contains("://") {
                SanType::URI((*name).try_into().unwrap())
            } else if name.contains('@') {
                SanType::Rfc822Name((*name).try_into().unwrap())
            } else {
                SanType::DnsName((*name).try_into().unwrap())
            }
        })
        .collect();
    params
}

/// A directory with the web configuration of an exporter, and certificates for it and its clients.
pub(crate) struct Website {
    pub(crate) directory: TempDir,
    pub(crate) authority: Authority,
}

/// A response as curl reports it.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status; 0 if there was no response.
    pub(crate) status: u16,
    pub(crate) version: String,
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Website {
    /// Creates certificates of its own authority for the server and for clients (`client`, and
    /// `expired`), and one of another authority (`other`).
    pub(crate) fn new(configuration: &str) -> Self {
        let site = Self {
            directory: TempDir::new().unwrap(),
            authority: Authority::new("own authority"),
        };
        let other = Authority::new("other authority");
        site.write("ca.pem", &site.authority.pem);
        site.write_identity("server", &site.authority.issue(&["localhost", "127.0.0.1"]));
        site.write_identity("client", &site.authority.issue(&["prometheus.example"]));
        site.write_identity("other", &other.issue(&["prometheus.example"]));
        site.write_identity(
            "expired",
            &site.authority.issue_expired(&["prometheus.example"]),
        );
        site.write("web.yml", configuration);
        site
    }

    pub(crate) fn write_identity(&self, name: &str, identity: &Identity) {
        self.write(&format!("{name}.key"), &identity.key);
        self.write(&format!("{name}.crt"), &identity.certificate);
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        // Renaming makes the change atomic: no reader sees a file that is half written.
        let new = self.directory.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> String {
        let path: &Path = self.directory.path();
        path.join(name).to_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn start(&self, arguments: &[&str]) -> Exporter<'static> {
        let configuration = self.path("web.yml");
        let own = ["--listen-port", "0", "--web.config.file", &configuration];
        Exporter::start(&[&own, arguments].concat())
    }

    /// Requests a page over TLS with curl and these arguments.
    #[track_caller]
    pub(crate) fn curl(&self, exporter: &Exporter<'_>, page: &str, arguments: &[&str]) -> Answer {
        let url = format!("https://localhost:{}{page}", exporter.port);
        self.curl_url(&url, arguments)
    }

    #[track_caller]
    pub(crate) fn curl_url(&self, url: &str, arguments: &[&str]) -> Answer {
        let run = Command::new("curl")
            .current_dir(self.directory.path())
            .args(["--silent", "--show-error", "--max-time", "20"])
            .args(["--cacert", "ca.pem", "--include"])
            .args(["--write-out", "\n%{http_code} %{http_version}"])
            .args(arguments)
            .arg(url)
            .output()
            .expect("curl is missing; `cargo xtask ci` installs it");
        let output = String::from_utf8(run.stdout).unwrap();
        let (answer, code) = output.rsplit_once('\n').unwrap();
        let (status, version) = code.split_once(' ').unwrap();
        let (headers, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        Answer {
            status: status.parse().unwrap(),
            version: version.to_owned(),
            headers: headers.to_owned(),
            body: body.to_owned(),
        }
    }
}
