//! TLS for servers and clients, through rustls with the ring provider.

mod reload;

use model::{Error, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod verify;

/// A listener's `tls:` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// PEM file with the certificate and its chain. Read again when it changes.
    pub cert_file: PathBuf,
    /// PEM file with the private key. Read again when it changes.
    pub key_file: PathBuf,
    /// PEM file with the authorities whose client certificates are let in; without it none is asked for.
    #[serde(default)]
    pub client_ca_file: Option<PathBuf>,
}

/// A client's `tls_config:` section, with Prometheus' names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientTls {
    /// PEM file with the authorities to trust; without it the platform's are.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client's own certificate, for servers that ask for one.
    pub cert_file: Option<PathBuf>,
    /// PEM file with the client's private key.
    pub key_file: Option<PathBuf>,
    /// The name that the server's certificate must be for, when it is not the host of the URL.
    pub server_name: Option<String>,
    /// Take any certificate. Only for tests.
    pub insecure_skip_verify: bool,
}

/// Installs ring as the process's provider, once. [`server_config`] and [`client_config`] do it themselves.
pub fn install_provider() -> Arc<CryptoProvider> {
    if CryptoProvider::get_default().is_none() {
        // Somebody else may have been faster; then theirs stands.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    CryptoProvider::get_default()
        .expect("a provider has just been installed")
        .clone()
}

/// A server's configuration with ALPN for HTTP/2 and HTTP/1.1. Fails when a file cannot be read or does not fit;
/// files that change later are taken up at the next handshake, or the old ones stay when the new ones are bad.
pub fn server_config(tls: &ServerTls) -> Result<Arc<ServerConfig>> {
    let provider = install_provider();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal(format!("TLS: {e}")))?;
    let builder = match &tls.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let roots = Arc::new(read_roots(file)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
                .build()
                .map_err(|e| in_file(file, e))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let resolver = reload::ReloadingCertificate::load(&tls.cert_file, &tls.key_file, provider)?;
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A client's configuration with ALPN for HTTP/2 and HTTP/1.1.
pub fn client_config(tls: &ClientTls) -> Result<ClientConfig> {
    let provider = install_provider();
    let verifier = server_verifier(tls, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal(format!("TLS: {e}")))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match (&tls.cert_file, &tls.key_file) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(read_certificates(cert)?, read_key(key)?)
            .map_err(|e| in_file(cert, e))?,
        _ => {
            return Err(Error::bad_data(
                "tls_config: cert_file and key_file must be set together",
            ));
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn server_verifier(tls: &ClientTls, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>> {
    if tls.insecure_skip_verify {
        return Ok(Arc::new(verify::AcceptAny::new(provider)));
    }
    let verifier: Arc<dyn ServerCertVerifier> = match &tls.ca_file {
        Some(file) => {
            let roots = Arc::new(read_roots(file)?);
            WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                .build()
                .map_err(|e| in_file(file, e))?
        }
        None => Arc::new(verify::Platform::new(provider)),
    };
    let Some(name) = &tls.server_name else {
        return Ok(verifier);
    };
    let name = ServerName::try_from(name.clone())
        .map_err(|_| Error::bad_data(format!("tls_config: server_name {name:?} is not a host name")))?;
    Ok(Arc::new(verify::OtherName::new(verifier, name)))
}

fn read_roots(file: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(file)? {
        roots.add(certificate).map_err(|e| in_file(file, e))?;
    }
    Ok(roots)
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read_pem(file)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|e| in_file(file, e))?;
    if certificates.is_empty() {
        return Err(in_file(file, "there is no PEM certificate in it"));
    }
    Ok(certificates)
}

fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    let pem = read_pem(file)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| in_file(file, "there is no usable PEM private key in it"))
}

fn read_certified_key(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey> {
    let pair = CertifiedKey::from_der(read_certificates(cert)?, read_key(key)?, provider);
    pair.map_err(|e| in_file(cert, format!("does not fit the key {}: {e}", key.display())))
}

fn read_pem(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|e| in_file(file, format!("cannot be read: {e}")))
}

fn in_file(file: &Path, e: impl std::fmt::Display) -> Error {
    Error::bad_data(format!("TLS file {}: {e}", file.display()))
}

#[cfg(test)]
pub(crate) mod tests;
