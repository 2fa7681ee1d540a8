//! Certificates for TLS with client authentication: an authority and the certificates that it signs.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData, SignatureAlgorithm,
};
use serde_json::{Value, json};

use minting::encode_segment;
use minting::{Algorithm, SigningKey};

/// A certificate authority that Envoy trusts. Its files are deleted when it is dropped.
#[derive(Debug)]
pub struct Authority {
    dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    pem: PathBuf,
}

/// A certificate and its key, as files.
#[derive(Debug, Clone)]
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    der: Vec<u8>,
}

impl Authority {
    /// Makes a new authority.
    pub fn generate() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut params = named("test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let pem = write(dir.path(), "ca.pem", &certificate.pem());
        Self {
            issuer: Issuer::new(params, key),
            dir,
            pem,
        }
    }

    /// The authority's certificate, in PEM.
    pub fn pem_path(&self) -> &Path {
        &self.pem
    }

    /// A certificate for this name, of a server or a client.
    pub fn issue(&self, name: &str) -> Certificate {
        self.sign(name, &named(name))
    }

    fn sign(&self, name: &str, params: &CertificateParams) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certificate {
            chain: write(self.dir.path(), &format!("{name}.pem"), &certificate.pem()),
            key: write(self.dir.path(), &format!("{name}.key"), &key.serialize_pem()),
            der: certificate.der().to_vec(),
        }
    }

    /// A server's certificate for these host names.
    pub fn issue_for(&self, hosts: &[String]) -> Certificate {
        let mut params = CertificateParams::new(hosts.to_vec()).expect("names of hosts");
        let name = hosts.first().map_or("server", String::as_str);
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign(name, &params)
    }

    /// A cluster's transport socket that trusts this authority instead of its own. All other checks stay.
    pub fn trusted_by(&self, socket: &Value) -> Value {
        let mut socket = socket.clone();
        let context = &mut socket["typed_config"]["common_tls_context"];
        let validation = match context.get("combined_validation_context") {
            Some(_) => &mut context["combined_validation_context"]["default_validation_context"],
            None => &mut context["validation_context"],
        };
        // Without an authority, Envoy would accept any certificate, here as in production.
        if let Some(validation) = validation.as_object_mut() {
            validation.remove("system_root_certs");
            validation.insert("trusted_ca".into(), json!({"filename": self.pem}));
        }
        socket
    }

    /// The transport socket of a listener that shows this certificate, and requests certificates of clients
    /// without requiring them.
    pub fn downstream(&self, server: &Certificate) -> Value {
        let mut context = self.context(Some(server));
        context["@type"] =
            "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext".into();
        json!({"name": "envoy.transport_sockets.tls", "typed_config": context})
    }

    /// The transport socket of a cluster whose connections show this certificate, or none.
    pub fn upstream(&self, client: Option<&Certificate>) -> Value {
        let mut context = self.context(client);
        context["@type"] =
            "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext".into();
        json!({"name": "envoy.transport_sockets.tls", "typed_config": context})
    }

    fn context(&self, own: Option<&Certificate>) -> Value {
        let certificates: Vec<Value> = own
            .iter()
            .map(|own| json!({"certificate_chain": {"filename": own.chain}, "private_key": {"filename": own.key}}))
            .collect();
        json!({"common_tls_context": {
            "tls_certificates": certificates,
            "validation_context": {"trusted_ca": {"filename": self.pem}},
        }})
    }
}

/// A certificate in PEM for the public half of this key, as issuers publish it.
pub fn certificate_of(key: &SigningKey) -> String {
    let authority = KeyPair::generate().expect("a key");
    let issuer = Issuer::new(named("test authority"), authority);
    let certificate = named("key of an issuer").signed_by(&Subject(key), &issuer);
    certificate.expect("a certificate").pem()
}

struct Subject<'k>(&'k SigningKey);

impl PublicKeyData for Subject<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.0.algorithm() {
            Algorithm::Es256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Algorithm::Es384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Algorithm::Es512 => &rcgen::PKCS_ECDSA_P521_SHA512,
            Algorithm::EdDsa => &rcgen::PKCS_ED25519,
            _ => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

impl Certificate {
    /// The file of the certificate, in PEM.
    pub fn chain_path(&self) -> &Path {
        &self.chain
    }

    /// The file of its private key, in PEM.
    pub fn key_path(&self) -> &Path {
        &self.key
    }

    /// Its SHA-256 as a token's `cnf["x5t#S256"]` has it (RFC 8705 section 3.1).
    pub fn thumbprint(&self) -> String {
        encode_segment(digest::digest(&digest::SHA256, &self.der).as_ref())
    }

    /// The same in hexadecimal digits, as `x-forwarded-client-cert` has it.
    pub fn fingerprint(&self) -> String {
        let digest = digest::digest(&digest::SHA256, &self.der);
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params =
        CertificateParams::new(vec![format!("{}.example", name.replace(' ', "-"))]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("a file in a temporary directory");
    path
}
