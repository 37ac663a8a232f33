//! TLS to an upstream: who is trusted, and which HTTP is spoken then.
//!
//! Promise: an upstream shows a certificate for its name that the system trusts, or nothing is sent to it.
//! Cost: the trusted certificates are read once a client; a dial takes a round trip or two more.

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::BoxError;
use crate::sync::Arc;

const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// What handshakes with one upstream have in common.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
}

impl Tls {
    /// Trusts whom the system trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
    ///
    /// # Errors
    ///
    /// The system has no certificate to trust.
    pub(super) fn of_system() -> Result<Self, BoxError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (trusted, _) = roots.add_parsable_certificates(found.certs);
        if trusted == 0 {
            let why = found.errors.first().map_or_else(
                || String::from("the system trusts no certificate"),
                |error| format!("the system's trusted certificates cannot be read: {error}"),
            );
            return Err(format!("{why}; name a file of them in SSL_CERT_FILE").into());
        }
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Shakes hands; tells whether HTTP/2 was agreed on.
    ///
    /// # Errors
    ///
    /// What is wrong with the name or the certificate.
    pub(super) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, bool), BoxError> {
        let name = ServerName::try_from(host.to_owned())?;
        let stream = self.connector.connect(name, stream).await?;
        let agreed = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
        Ok((stream, agreed))
    }
}
