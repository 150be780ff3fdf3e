//! Verifies client certificates: Go's five policies, and allowed names.

use std::net::IpAddr;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Go's `ClientAuthType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    None,
    Request,
    RequireAny,
    VerifyIfGiven,
    RequireAndVerify,
}

/// Verifies the certificates of clients by a policy.
#[derive(Debug)]
pub(super) struct Clients {
    policy: Policy,
    provider: Arc<CryptoProvider>,
    /// Names of the certificate authorities, sent to clients so that they choose a certificate
    /// that one of them signed.
    hints: Vec<DistinguishedName>,
    /// `None` if any certificate is accepted.
    authorities: Option<Arc<dyn ClientCertVerifier>>,
    /// A certificate must have one of these names; `None` allows any.
    allowed_sans: Option<Vec<String>>,
}

impl Clients {
    pub(super) fn new(
        policy: Policy,
        roots: RootCertStore,
        allowed_sans: Option<Vec<String>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let hints = roots.subjects();
        let authorities = match policy {
            Policy::VerifyIfGiven | Policy::RequireAndVerify => {
                let provider = Arc::clone(provider);
                let builder =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                Some(builder.build()?)
            }
            Policy::None | Policy::Request | Policy::RequireAny => None,
        };
        Ok(Self {
            policy,
            provider: Arc::clone(provider),
            hints,
            authorities,
            allowed_sans,
        })
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        matches!(self.policy, Policy::RequireAny | Policy::RequireAndVerify)
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(authorities) = &self.authorities {
            authorities.verify_client_cert(end_entity, intermediates, now)?;
        }
        if let Some(allowed) = &self.allowed_sans
            && !sans(end_entity)?.iter().any(|san| allowed.contains(san))
        {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Returns the subject alternative names of a certificate, in the notation of the other exporters.
fn sans(certificate: &CertificateDer<'_>) -> Result<Vec<String>, Error> {
    let (_, certificate) =
        X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let extension = certificate
        .subject_alternative_name()
        .map_err(|_| CertificateError::BadEncoding)?;
    let names = extension.map(|extension| &extension.value.general_names);
    Ok(names.into_iter().flatten().filter_map(san).collect())
}

fn san(name: &GeneralName<'_>) -> Option<String> {
    match *name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
            Some(name.to_owned())
        }
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(bytes).map(IpAddr::from);
            v4.or(v6).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}
