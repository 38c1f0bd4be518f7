//! TLS: certificates, keys and protocols as the configuration has them, for rustls. What it reads is kept until it is read again
//! (`CONFIG SET` of any directive that begins with `tls-`); if that fails, what was read before stays in use.
//!
//! As in Redis, a server that is connected to must show a certificate of the authority that is configured, for whatever name.

use crate::config::{Directive, Settings, TlsAuthClients};
use parking_lot::RwLock;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, CipherSuite, ClientConfig, DigitallySignedStruct, Error, InconsistentKeys, RootCertStore,
    ServerConfig, SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion,
};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// What this server is to clients, and to servers that it connects to.
#[derive(Default)]
pub struct Tls {
    both: RwLock<Option<Both>>,
}

#[derive(Clone)]
struct Both {
    server: Arc<ServerConfig>,
    /// The same for clients that speak HTTP.
    http: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// The cipher suites of TLS 1.2 by the names of OpenSSL, in which `tls-ciphers` is written.
const TLS12_SUITES: [(&str, CipherSuite); 6] = [
    ("ECDHE-ECDSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];
/// Those of TLS 1.3, in which `tls-ciphersuites` is written.
const TLS13_SUITES: [(&str, CipherSuite); 3] = [
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
];

/// Classes of suites of OpenSSL to which none of these belongs: to exclude them is no effort.
const ABSENT_CLASSES: [&str; 24] = [
    "MEDIUM", "LOW", "EXP", "EXPORT", "NULL", "aNULL", "eNULL", "ADH", "AECDH", "MD5", "SHA1", "SHA", "RC4", "RC2",
    "DES", "3DES", "IDEA", "SEED", "CAMELLIA", "PSK", "SRP", "DSS", "aDSS", "kRSA",
];

/// Whether the configuration asks for TLS.
pub fn is_wanted(settings: &Settings) -> bool {
    settings.int(Directive::TlsPort) != 0
        || settings.flag(Directive::HttpTls) && settings.int(Directive::HttpPort) != 0
        || settings.flag(Directive::TlsReplication)
        || settings.flag(Directive::TlsCluster)
}

impl Tls {
    /// Reads certificates and keys, if TLS is wanted. Errors: why that cannot be; everything stays as it was.
    pub fn configure(&self, settings: &Settings) -> Result<(), String> {
        let both = if is_wanted(settings) { Some(read(settings)?) } else { None };
        *self.both.write() = both;
        Ok(())
    }

    /// How clients are served. Errors: TLS is off.
    pub fn server(&self) -> std::io::Result<Arc<ServerConfig>> {
        self.both.read().as_ref().map(|both| Arc::clone(&both.server)).ok_or_else(is_off)
    }

    /// How clients of the gateway are served. Errors: TLS is off.
    pub fn http(&self) -> std::io::Result<Arc<ServerConfig>> {
        self.both.read().as_ref().map(|both| Arc::clone(&both.http)).ok_or_else(is_off)
    }

    /// How other servers are connected to. Errors: TLS is off.
    pub fn client(&self) -> std::io::Result<Arc<ClientConfig>> {
        self.both.read().as_ref().map(|both| Arc::clone(&both.client)).ok_or_else(is_off)
    }
}

fn is_off() -> std::io::Error {
    std::io::Error::other("TLS is not configured")
}

/// What a server is called in a handshake: a name that cannot be one of a certificate makes no difference, as none does.
pub fn name_of(host: &str) -> ServerName<'static> {
    ServerName::try_from(host.to_owned()).unwrap_or(ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()))
}

/// A certificate with those that lead to an authority, and its key.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    fn read(
        settings: &Settings,
        certificate: Directive,
        key: Directive,
        password: Directive,
    ) -> Result<Option<Identity>, String> {
        let (Some(certificate), Some(key)) = (settings.path(certificate), settings.path(key)) else { return Ok(None) };
        let chain = certificates(&certificate)
            .map_err(|error| format!("Failed to load certificate: {}: {error}", certificate.display()))?;
        let key = private_key(&key, &settings.string(password))
            .map_err(|error| format!("Failed to load private key: {}: {error}", key.display()))?;
        Ok(Some(Identity { chain, key }))
    }

    /// The same for handshakes. Errors: the key is of no known kind, or not the certificate's.
    fn certified(self, provider: &CryptoProvider) -> Result<Arc<SingleCertAndKey>, String> {
        let failed = |error: Error| format!("Failed to load private key: {error}");
        let key = provider.key_provider.load_private_key(self.key).map_err(failed)?;
        let certified = CertifiedKey::new(self.chain, key);
        // Of certificates that are too old to be understood, only the other side can tell.
        match certified.keys_match() {
            Err(error @ Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(failed(error)),
            _ => Ok(Arc::new(SingleCertAndKey::from(certified))),
        }
    }
}

/// The key in a file, which may be encrypted with a password (PKCS #8).
fn private_key(path: &Path, password: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| crate::config::error_text(&error))?;
    if !text.contains("BEGIN ENCRYPTED PRIVATE KEY") {
        return PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| pem_text(&error));
    }
    let decrypt = || {
        let (_, document) = pkcs8::SecretDocument::from_pem(&text)?;
        pkcs8::EncryptedPrivateKeyInfo::try_from(document.as_bytes())?.decrypt(password)
    };
    let key = decrypt().map_err(|error| format!("it cannot be decrypted: {error}"))?;
    Ok(PrivateKeyDer::Pkcs8(key.as_bytes().to_vec().into()))
}

/// The certificates in a file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err("there is no certificate in it".into()),
        read => read.map_err(|error| pem_text(&error)),
    }
}

fn pem_text(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => crate::config::error_text(error),
        pem::Error::NoItemsFound => "there is none in it".into(),
        error => error.to_string(),
    }
}

fn read(settings: &Settings) -> Result<Both, String> {
    if settings.path(Directive::TlsCertFile).is_none() {
        return Err("No tls-cert-file configured!".into());
    }
    let own = Identity::read(settings, Directive::TlsCertFile, Directive::TlsKeyFile, Directive::TlsKeyFilePass)?;
    let own = own.ok_or("No tls-key-file configured!")?;
    let other = Identity::read(
        settings,
        Directive::TlsClientCertFile,
        Directive::TlsClientKeyFile,
        Directive::TlsClientKeyFilePass,
    )?;
    let auth = settings.choice::<TlsAuthClients>(Directive::TlsAuthClients);
    let roots = Arc::new(authorities(settings)?);
    let verifies =
        auth != TlsAuthClients::No || settings.flag(Directive::TlsCluster) || settings.flag(Directive::TlsReplication);
    if roots.is_empty() && verifies {
        return Err(
            "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, tls-replication or \
                    tls-auth-clients are enabled!"
                .into(),
        );
    }
    let provider = Arc::new(provider(settings)?);
    let versions = versions(settings)?;
    let whole = |error: &dyn fmt::Display| format!("Failed to configure TLS: {error}");

    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|error| whole(&error))?;
    let builder = if auth == TlsAuthClients::No {
        builder.with_no_client_auth()
    } else {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let verifier = if auth == TlsAuthClients::Optional { verifier.allow_unauthenticated() } else { verifier };
        builder.with_client_cert_verifier(verifier.build().map_err(|error| whole(&error))?)
    };
    let own = own.certified(&provider)?;
    let mut server = builder.with_cert_resolver(Arc::clone(&own) as _);
    server.ignore_client_order = settings.flag(Directive::TlsPreferServerCiphers);
    server.session_storage = if settings.flag(Directive::TlsSessionCaching) {
        // Redis' own limit, 0, means that there is none.
        match settings.int(Directive::TlsSessionCacheSize) as usize {
            0 => ServerSessionMemoryCache::new(SESSIONS_MAX),
            sessions => ServerSessionMemoryCache::new(sessions.min(SESSIONS_MAX)),
        }
    } else {
        server.send_tls13_tickets = 0;
        Arc::new(NoServerSessionStorage {})
    };

    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|error| whole(&error))?;
    let shown = other.map_or(Ok(own), |other| other.certified(&provider))?;
    let client = if roots.is_empty() {
        // Nobody is connected to then.
        builder.with_root_certificates(roots).with_no_client_auth()
    } else {
        let inner = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        let verifier = OfAnyName(inner.map_err(|error| whole(&error))?);
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        builder.with_client_cert_resolver(shown)
    };
    let mut http = server.clone();
    http.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Both { server: Arc::new(server), http: Arc::new(http), client: Arc::new(client) })
}

/// Sessions that are kept at most for clients that come back.
const SESSIONS_MAX: usize = 20 * 1024;

/// The authorities of `tls-ca-cert-file` and `tls-ca-cert-dir`.
fn authorities(settings: &Settings) -> Result<RootCertStore, String> {
    let failed = |path: &Path, error: &dyn fmt::Display| {
        format!("Failed to configure CA certificate(s) file/directory: {}: {error}", path.display())
    };
    let mut roots = RootCertStore::empty();
    let mut files: Vec<_> = settings.path(Directive::TlsCaCertFile).into_iter().collect();
    if let Some(directory) = settings.path(Directive::TlsCaCertDir) {
        for entry in std::fs::read_dir(&directory).map_err(|error| failed(&directory, &error))? {
            let path = entry.map_err(|error| failed(&directory, &error))?.path();
            // As OpenSSL does, what is no certificate is passed over.
            if path.is_file() && certificates(&path).is_ok() {
                files.push(path);
            }
        }
    }
    for file in files {
        for certificate in certificates(&file).map_err(|error| failed(&file, &error))? {
            roots.add(certificate).map_err(|error| failed(&file, &error))?;
        }
    }
    Ok(roots)
}

/// The protocols of `tls-protocols`; both that there are by default.
fn versions(settings: &Settings) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let text = settings.string(Directive::TlsProtocols);
    let text = String::from_utf8_lossy(&text);
    let mut versions = Vec::new();
    for word in text.split_ascii_whitespace() {
        versions.push(match word.to_ascii_lowercase().as_str() {
            "tlsv1.2" => &rustls::version::TLS12,
            "tlsv1.3" => &rustls::version::TLS13,
            "tlsv1" | "tlsv1.1" => return Err(format!("Invalid tls-protocols specified: {word} is not safe any more")),
            _ => return Err("Invalid tls-protocols specified. Use a combination of TLSv1.2 and TLSv1.3.".into()),
        });
    }
    if versions.is_empty() { Ok(rustls::ALL_VERSIONS.to_vec()) } else { Ok(versions) }
}

/// The cryptography, with the suites that `tls-ciphers` and `tls-ciphersuites` name, in their order.
fn provider(settings: &Settings) -> Result<CryptoProvider, String> {
    let mut provider = ring::default_provider();
    let mut suites = chosen(settings, Directive::TlsCiphersuites, &TLS13_SUITES, &provider.cipher_suites)?;
    suites.extend(chosen(settings, Directive::TlsCiphers, &TLS12_SUITES, &provider.cipher_suites)?);
    provider.cipher_suites = suites;
    Ok(provider)
}

fn chosen(
    settings: &Settings,
    directive: Directive,
    known: &[(&str, CipherSuite)],
    all: &[SupportedCipherSuite],
) -> Result<Vec<SupportedCipherSuite>, String> {
    let find = |suite: CipherSuite| all.iter().copied().find(move |other| other.suite() == suite);
    let every = || known.iter().filter_map(|(_, suite)| find(*suite));
    let text = settings.string(directive);
    let text = String::from_utf8_lossy(&text);
    if text.is_empty() {
        return Ok(every().collect());
    }
    let name = directive.entry().name;
    let named = |word: &str| known.iter().find(|(name, _)| *name == word).and_then(|(_, suite)| find(*suite));
    let (mut chosen, mut excluded): (Vec<SupportedCipherSuite>, Vec<SupportedCipherSuite>) = (Vec::new(), Vec::new());
    for word in text.split([':', ',', ' ']).filter(|word| !word.is_empty()) {
        if let Some(unwanted) = word.strip_prefix(['!', '-']) {
            let is_absent = unwanted.contains('-') || ABSENT_CLASSES.contains(&unwanted);
            match named(unwanted) {
                Some(suite) => excluded.push(suite),
                None if is_absent => {}
                None => {
                    return Err(format!(
                        "Failed to configure {name}: '{word}' is not understood, name suites one by one"
                    ));
                }
            }
        } else if matches!(word, "DEFAULT" | "ALL" | "HIGH") {
            chosen.extend(every());
        } else if !word.starts_with(['+', '@']) {
            // Others, which OpenSSL has, cannot be had; nor can another order than the one in which they are named.
            chosen.extend(named(word));
        }
    }
    let mut suites: Vec<SupportedCipherSuite> = Vec::new();
    for suite in chosen {
        if !excluded.contains(&suite) && !suites.contains(&suite) {
            suites.push(suite);
        }
    }
    if suites.is_empty() {
        Err(format!("Failed to configure {name}: it names no suite that there is"))
    } else {
        Ok(suites)
    }
}

/// Accepts the certificate of a server whatever it is called, if an authority has signed it.
#[derive(Debug)]
struct OfAnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for OfAnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that OpenSSL 3.0 has encrypted with the password `1234`.
    const ENCRYPTED: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjONiGVAdXnUwICCAAw\n\
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEOKOAShENZvf08dwkCygbFUEgZAc\n\
R7XIXwHsy32LrUdRAbcXTVArMfd6OsxN2RvmvgdAKklX7nMvCsHtsWAoq+a0SZ1+\n\
mojyorXjOviDBvfGAephfSMVnysE4E+qAd9K1aDbANv/rKoQr7olo29CeXBxYFET\n\
R/5t4ybeRhG3WkNttXkM+MpDtZRBmoLP+r5TocpliaEvfY2C+jA5YgiVU6UCsGk=\n\
-----END ENCRYPTED PRIVATE KEY-----
";

    #[test]
    fn an_encrypted_key_is_read_with_its_password() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), ENCRYPTED).expect("it can be written");
        let key = private_key(file.path(), b"1234").expect("the password is right");
        assert!(ring::default_provider().key_provider.load_private_key(key).is_ok());
        for wrong in [b"".as_slice(), b"12345"] {
            let error = private_key(file.path(), wrong).expect_err("the password is wrong");
            assert!(error.starts_with("it cannot be decrypted: "), "{error}");
        }
    }

    #[test]
    fn suites_are_chosen_as_openssl_names_them() {
        let settings = Settings::new();
        let suites = |text: &str| {
            let asker = crate::config::Asker { may_set_protected: false, is_loading: false };
            settings
                .set([(b"tls-ciphers".as_slice(), text.as_bytes())].into_iter(), asker, |_| Ok(()))
                .expect("it is text");
            let provider = provider(&settings)?;
            let suites = provider.cipher_suites.into_iter().map(|suite| suite.suite());
            Ok::<_, String>(
                suites.filter(|suite| TLS12_SUITES.iter().any(|(_, known)| known == suite)).collect::<Vec<_>>(),
            )
        };
        let all: Vec<_> = TLS12_SUITES.iter().map(|(_, suite)| *suite).collect();
        for text in
            ["", "DEFAULT:!MEDIUM", "HIGH:!aNULL:!MD5:ECDHE-RSA-AES128-GCM-SHA256", "ALL:-AES128-SHA256:@STRENGTH"]
        {
            assert_eq!(suites(text), Ok(all.clone()), "{text}");
        }
        assert_eq!(suites("ALL:!ECDHE-ECDSA-AES256-GCM-SHA384"), Ok(all[1..].to_vec()));
        let two = vec![all[4], all[0]];
        assert_eq!(suites("ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA:ECDHE-ECDSA-AES256-GCM-SHA384"), Ok(two));
        for text in ["ALL:!AES128", "AES128-SHA", "NO-SUCH"] {
            assert!(suites(text).is_err(), "{text}");
        }
    }
}
