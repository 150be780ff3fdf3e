//! The address of a health check.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;
use hyper::header::HeaderValue;
use tokio_rustls::rustls::pki_types::ServerName;

/// Where an exporter answers that was started without options.
pub const DEFAULT_URL: &str = "http://localhost:9184/-/healthy";

/// The path that is requested if a URL has none.
const PATH: &str = "/-/healthy";

/// An absolute URL of HTTP or HTTPS.
#[derive(Debug, Clone)]
pub struct Url {
    is_tls: bool,
    /// A host name, or an IP address without brackets.
    host: String,
    port: u16,
    tls_name: ServerName<'static>,
    /// The host and the port as they were written.
    authority: HeaderValue,
    path: Uri,
}

impl Url {
    pub(super) fn is_tls(&self) -> bool {
        self.is_tls
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the name that TLS asks for, or `None` for plain HTTP.
    pub(super) fn tls_name(&self) -> Option<ServerName<'static>> {
        self.is_tls.then(|| self.tls_name.clone())
    }

    pub(super) fn authority(&self) -> HeaderValue {
        self.authority.clone()
    }

    pub(super) fn path(&self) -> Uri {
        self.path.clone()
    }
}

impl FromStr for Url {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "write a URL such as https://localhost:9184";
        let uri: Uri = text.parse().map_err(|_| WRONG)?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(WRONG),
        };
        let authority = uri.authority().ok_or(WRONG)?.as_str();
        if authority.contains('@') {
            return Err("leave out the user and the password: /-/healthy needs none");
        }
        let host = uri.host().ok_or(WRONG)?;
        // Of a port that is not a number of 16 bits, hyper says that there is none.
        let has_port = authority.len() > host.len();
        let port = match uri.port_u16() {
            Some(port) => port,
            None if has_port => return Err(WRONG),
            None if is_tls => 443,
            None => 80,
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let path = uri
            .path_and_query()
            .map(hyper::http::uri::PathAndQuery::as_str);
        let path = path.filter(|path| *path != "/").unwrap_or(PATH);
        Ok(Self {
            is_tls,
            host: host.to_owned(),
            port,
            tls_name: ServerName::try_from(host.to_owned()).map_err(|_| WRONG)?,
            authority: authority.parse().map_err(|_| WRONG)?,
            path: path.parse().map_err(|_| WRONG)?,
        })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        let authority = self.authority.to_str().unwrap_or(&self.host);
        write!(out, "{scheme}://{authority}{}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, host: &str, port: u16, whole: &str) {
        let url: Url = text.parse().expect(text);
        assert_eq!((url.host(), url.port()), (host, port));
        assert_eq!(url.to_string(), whole);
    }

    #[test]
    fn the_path_and_the_port_have_defaults() {
        check(DEFAULT_URL, "localhost", 9184, DEFAULT_URL);
        check(
            "http://10.0.0.1",
            "10.0.0.1",
            80,
            "http://10.0.0.1/-/healthy",
        );
        check("https://[::1]/", "::1", 443, "https://[::1]/-/healthy");
        check(
            "HTTPS://tzsp_exporter:1/-/ready?x",
            "tzsp_exporter",
            1,
            "https://tzsp_exporter:1/-/ready?x",
        );
    }

    #[test]
    fn other_urls_are_refused() {
        for wrong in [
            "",
            "localhost",
            "localhost:9184",
            "/-/healthy",
            "ftp://localhost",
            "http://",
            "http://:9184",
            "http://localhost:65536",
            "http://local host",
            "http://user:secret@localhost",
        ] {
            wrong.parse::<Url>().expect_err(wrong);
        }
    }
}
