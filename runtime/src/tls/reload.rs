//! A server certificate that is read again when its files change.

use super::read_certified_key;
use model::Result;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Looks at the files' times and sizes at each handshake, and reads them when those changed.
#[derive(Debug)]
pub(super) struct ReloadingCertificate {
    cert_file: PathBuf,
    key_file: PathBuf,
    provider: Arc<CryptoProvider>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    stamps: Stamps,
    key: Arc<CertifiedKey>,
}

/// Time of the last change and size, of both files.
type Stamps = [Option<(SystemTime, u64)>; 2];

impl ReloadingCertificate {
    pub(super) fn load(cert_file: &Path, key_file: &Path, provider: Arc<CryptoProvider>) -> Result<Self> {
        let stamps = stamps(cert_file, key_file);
        let key = Arc::new(read_certified_key(cert_file, key_file, &provider)?);
        Ok(Self {
            cert_file: cert_file.to_owned(),
            key_file: key_file.to_owned(),
            provider,
            current: Mutex::new(Current { stamps, key }),
        })
    }
    fn key(&self) -> Arc<CertifiedKey> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamps(&self.cert_file, &self.key_file);
        if now != current.stamps {
            match read_certified_key(&self.cert_file, &self.key_file, &self.provider) {
                Ok(key) => {
                    tracing::info!(file = %self.cert_file.display(), "took up a new TLS certificate");
                    current.key = Arc::new(key);
                }
                // The two files are seldom replaced at once: the next change of either is another chance.
                Err(e) => tracing::warn!("keeping the old TLS certificate: {e}"),
            }
            current.stamps = now;
        }
        current.key.clone()
    }
}

impl ResolvesServerCert for ReloadingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }
}

fn stamps(cert: &Path, key: &Path) -> Stamps {
    [cert, key].map(|file| {
        let metadata = std::fs::metadata(file).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}
