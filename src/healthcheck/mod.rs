//! Asks a running exporter whether it is healthy, for health checks of containers.

mod url;

use std::error::Error as _;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, AlertDescription, ClientConfig, DigitallySignedStruct, SignatureScheme,
};

pub use url::{DEFAULT_URL, Url};

/// A healthy exporter answers in milliseconds, even while many clients scrape it. Docker ends a
/// check after 30 seconds by default.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why the exporter is not healthy, with the URL that was requested.
#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot prepare the request")]
    System(#[source] io::Error),
    #[error("{0} does not answer; if the exporter publishes elsewhere, give that as --url")]
    Connection(String, #[source] io::Error),
    #[error("{0} does not answer with HTTP; if the exporter has TLS, write https in --url")]
    Http(String, #[source] hyper::Error),
    #[error("{0} does not answer with TLS; if the exporter has none, write http in --url")]
    Tls(String, #[source] io::Error),
    #[error("{0} does not answer within {seconds} seconds", seconds = TIMEOUT.as_secs())]
    Timeout(String),
    #[error("{0} needs a password; /-/healthy and /-/ready need none")]
    Password(String),
    #[error("{0} is an HTTPS server; write https in --url")]
    NeedsTls(String),
    #[error("{0} answers {1}")]
    Status(String, StatusCode),
}

/// Requests `url` once. Success is a status of 2xx. It is also a success if the server refuses the
/// request because it requires a client certificate: this client has none, but such a server runs.
///
/// # Errors
/// The exporter does not answer, or not with a status of success.
pub fn run(url: &Url) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::System)?;
    let answer = runtime.block_on(async { tokio::time::timeout(TIMEOUT, request(url)).await });
    // Does not wait for a thread that may still be resolving a name.
    runtime.shutdown_background();
    match answer.unwrap_or_else(|_| Err(Error::Timeout(url.to_string())))? {
        status if status.is_success() => Ok(()),
        StatusCode::UNAUTHORIZED => Err(Error::Password(url.to_string())),
        StatusCode::BAD_REQUEST if !url.is_tls() => Err(Error::NeedsTls(url.to_string())),
        status => Err(Error::Status(url.to_string(), status)),
    }
}

async fn request(url: &Url) -> Result<StatusCode, Error> {
    let stream = connect(url).await;
    let stream = stream.map_err(|error| Error::Connection(url.to_string(), error))?;
    let answer = match url.tls_name() {
        None => status(stream, url).await,
        Some(name) => {
            let stream = TlsConnector::from(Arc::new(tls())).connect(name, stream);
            match stream.await {
                Ok(stream) => status(stream, url).await,
                Err(error) if requires_certificate(&error) => return Ok(StatusCode::OK),
                Err(error) => return Err(Error::Tls(url.to_string(), error)),
            }
        }
    };
    match answer {
        Err(error) if error.source().is_some_and(is_refusal_of_certificate) => Ok(StatusCode::OK),
        answer => answer.map_err(|error| Error::Http(url.to_string(), error)),
    }
}

/// Connects to the server. `localhost` needs no resolver, which a minimal image may lack.
async fn connect(url: &Url) -> io::Result<TcpStream> {
    let port = url.port();
    if url.host() != "localhost" {
        return TcpStream::connect((url.host(), port)).await;
    }
    match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        Ok(stream) => Ok(stream),
        Err(error) => {
            let stream = TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await;
            stream.map_err(|_| error)
        }
    }
}

/// Sends the request and returns the status of the response.
async fn status(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    url: &Url,
) -> Result<StatusCode, hyper::Error> {
    let stream = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    // If the connection fails, so does the request.
    tokio::spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = url.path();
    request.headers_mut().insert(HOST, url.authority());
    Ok(sender.send_request(request).await?.status())
}

fn requires_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let alert = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
    inner == Some(&alert)
}

fn is_refusal_of_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(requires_certificate)
}

fn tls() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth()
}

/// Accepts every certificate. The request has no secrets and its answer is only "healthy" or not, so
/// there is nothing to protect; and the certificate is rarely for `localhost`.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = ring::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
