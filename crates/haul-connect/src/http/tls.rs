//! TLS: rustls on ring, the system's certificate authorities, sessions resumed.

use std::io;
use std::sync::Arc;

use haul_core::Fault;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::url::Url;
use super::wire::Counted;

/// Whom to believe.
#[derive(Clone, Debug, Default)]
pub enum Roots {
    /// The certificate authorities of the system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    #[default]
    System,
    /// These only.
    Given(Arc<RootCertStore>),
}

/// HTTP/2 over TLS, as ALPN names it.
pub(crate) const H2: &[u8] = b"h2";

/// Opens TLS sessions. The authorities are loaded when the first one is needed.
pub(crate) struct Tls {
    roots: Roots,
    connectors: OnceCell<Connectors>,
}

/// One for each choice of protocols.
struct Connectors {
    http1: TlsConnector,
    any: TlsConnector,
}

impl Tls {
    pub(crate) fn new(roots: Roots) -> Self {
        Tls { roots, connectors: OnceCell::new() }
    }

    /// `any`: HTTP/2 is offered as well as HTTP/1.1.
    pub(crate) async fn handshake(
        &self,
        url: &Url,
        tcp: Counted,
        any: bool,
    ) -> Result<TlsStream<Counted>, Fault> {
        let connectors = self.connectors.get_or_try_init(|| self.load(url)).await?;
        let connector = if any { &connectors.any } else { &connectors.http1 };
        let host = url.host().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            Fault::transient(UNTRUSTED, format!("{}: no certificate can name this host", url.base()))
        })?;
        connector.connect(name, tcp).await.map_err(|e| refused(url, &e))
    }

    async fn load(&self, url: &Url) -> Result<Connectors, Fault> {
        let roots = match &self.roots {
            Roots::Given(roots) => Arc::clone(roots),
            Roots::System => {
                // Hundreds of files may be read: not on the thread that serves all connections.
                let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
                let mut roots = RootCertStore::empty();
                let mut why = String::new();
                if let Ok(found) = loaded {
                    roots.add_parsable_certificates(found.certs);
                    if let Some(e) = found.errors.first() {
                        why = format!(" ({e})");
                    }
                }
                if roots.is_empty() {
                    return Err(Fault::fatal(
                        "tls",
                        format!(
                            "{}: this system has no certificate authorities{why}: install them (ca-certificates) or set SSL_CERT_FILE",
                            url.base()
                        ),
                    ));
                }
                Arc::new(roots)
            }
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| Fault::fatal("tls", format!("TLS cannot be set up: {e}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut any = config.clone();
        any.alpn_protocols.insert(0, H2.to_vec());
        Ok(Connectors { http1: TlsConnector::from(Arc::new(config)), any: TlsConnector::from(Arc::new(any)) })
    }
}

/// The code of a peer that cannot be believed, in contrast to a handshake that broke.
pub(crate) const UNTRUSTED: &str = "untrusted";

/// What a failed handshake means: a certificate that does not verify is the same for every item, and
/// may be renewed; a connection that broke says nothing.
fn refused(url: &Url, e: &io::Error) -> Fault {
    let base = url.base();
    let Some(tls) = e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return Fault::transient(
            "tls",
            format!("{base}: the TLS handshake was cut off ({e}); is it an http:// service?"),
        );
    };
    let why = match tls {
        rustls::Error::InvalidCertificate(bad) => certificate(url.host(), bad),
        rustls::Error::InvalidMessage(_) => "it does not speak TLS (is it an http:// service?)".to_owned(),
        rustls::Error::AlertReceived(alert) => format!("it refused the TLS handshake: {alert:?}"),
        rustls::Error::PeerIncompatible(why) => {
            format!("it shares no TLS version or cipher with haul: {why:?}")
        }
        rustls::Error::NoCertificatesPresented => "it presented no certificate".to_owned(),
        other => format!("the TLS handshake failed: {other}"),
    };
    Fault::transient(UNTRUSTED, format!("{base}: {why}"))
}

fn certificate(host: &str, bad: &CertificateError) -> String {
    match bad {
        CertificateError::UnknownIssuer => format!(
            "the certificate of {host} is signed by an unknown authority: if you trust it, set SSL_CERT_FILE to a file with its certificate"
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate of {host} has expired")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate of {host} is not valid yet: is the clock of this machine right?")
        }
        CertificateError::NotValidForName => format!("its certificate is not for {host}"),
        CertificateError::NotValidForNameContext { presented, .. } => {
            let mut names = presented.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
            if presented.len() > 5 {
                names.push_str(", …");
            }
            format!("its certificate is not for {host}, only for {names}")
        }
        CertificateError::Revoked => format!("the certificate of {host} is revoked"),
        other => format!("the certificate of {host} does not verify: {other}"),
    }
}
