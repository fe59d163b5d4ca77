//! Certificates for tests, and what is said about bad ones. Handshakes are tested in `listen`.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// An authority and the files that it signed, in a directory that vanishes with it.
pub(crate) struct TestAuthority {
    dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl TestAuthority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), certificate.pem()).unwrap();
        Self {
            dir,
            issuer: Issuer::new(params, key),
        }
    }
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
    /// Writes `<file>.pem` and `<file>.key` for a host name.
    pub(crate) fn issue(&self, file: &str, host: &str) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (cert_file, key_file) = (
            self.file(&format!("{file}.pem")),
            self.file(&format!("{file}.key")),
        );
        std::fs::write(&cert_file, certificate.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        (cert_file, key_file)
    }
    pub(crate) fn server(&self, host: &str) -> ServerTls {
        let (cert_file, key_file) = self.issue("server", host);
        ServerTls {
            cert_file,
            key_file,
            client_ca_file: None,
        }
    }
    pub(crate) fn client(&self) -> ClientTls {
        ClientTls {
            ca_file: Some(self.ca_file()),
            ..ClientTls::default()
        }
    }
}

#[test]
fn bad_files_are_named() {
    let authority = TestAuthority::new();
    let good = authority.server("localhost");
    let (other_cert, _) = authority.issue("other", "localhost");
    let empty = authority.file("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    let check = |tls: ServerTls, file: &Path, says: &str| {
        let error = server_config(&tls).unwrap_err();
        let start = format!("TLS file {}: {says}", file.display());
        assert!(error.message().starts_with(&start), "{error} instead of {start}");
    };
    assert!(server_config(&good).is_ok());
    let with = |change: &dyn Fn(&mut ServerTls)| {
        let mut tls = good.clone();
        change(&mut tls);
        tls
    };
    let missing = authority.file("missing.pem");
    check(
        with(&|t| t.cert_file = missing.clone()),
        &missing,
        "cannot be read: No such file",
    );
    check(
        with(&|t| t.cert_file = empty.clone()),
        &empty,
        "there is no PEM certificate in it",
    );
    check(
        with(&|t| t.key_file = empty.clone()),
        &empty,
        "there is no usable PEM private key in it",
    );
    check(
        with(&|t| t.cert_file = other_cert.clone()),
        &other_cert,
        "does not fit the key",
    );
    check(
        with(&|t| t.client_ca_file = Some(empty.clone())),
        &empty,
        "there is no PEM certificate in it",
    );
}

#[test]
fn a_client_needs_both_halves_of_its_certificate() {
    let authority = TestAuthority::new();
    let (cert, key) = authority.issue("client", "agent");
    let with = |cert_file, key_file| ClientTls {
        cert_file,
        key_file,
        ..authority.client()
    };
    assert!(client_config(&with(Some(cert.clone()), Some(key))).is_ok());
    assert_eq!(
        client_config(&with(Some(cert), None)).unwrap_err().message(),
        "tls_config: cert_file and key_file must be set together"
    );
    let mut bad_name = authority.client();
    bad_name.server_name = Some("not a name".into());
    assert_eq!(
        client_config(&bad_name).unwrap_err().message(),
        "tls_config: server_name \"not a name\" is not a host name"
    );
    // Without a file the platform's roots are used, and a machine without any still gets a client.
    assert!(client_config(&ClientTls::default()).is_ok());
}
