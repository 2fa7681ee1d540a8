//! The demo's signing keys. They are made once: an issuer that another run started accepts the tokens of
//! `demo token`.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use testkit::{Algorithm, SigningKey};

/// The algorithm of the demo's own issuer.
const ALGORITHM: Algorithm = Algorithm::Rs256;

/// The key of the demo's own issuer, kept in `dir`; its `kid` is its thumbprint.
pub(crate) fn stable(dir: &Path) -> Result<SigningKey, String> {
    stable_for(dir, ALGORITHM)
}

/// The key for this algorithm, kept in `dir`.
pub(crate) fn stable_for(dir: &Path, algorithm: Algorithm) -> Result<SigningKey, String> {
    let path = dir.join(match algorithm {
        ALGORITHM => "signing-key.pem".to_owned(),
        _ => format!("signing-key.{}.pem", algorithm.name().to_lowercase()),
    });
    if !path.exists() {
        create(dir, &path, algorithm).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
    }
    let key = SigningKey::load(&path, algorithm, None)?;
    Ok(key.with_kid(Some(&key.thumbprint())))
}

/// Written to a temporary file and linked into place: if two processes start at once, one key stays, and
/// neither reads half of it.
fn create(dir: &Path, path: &Path, algorithm: Algorithm) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let aside = dir.join(format!(".signing-key.{}", std::process::id()));
    SigningKey::generate(algorithm, None).save(&aside)?;
    let linked = fs::hard_link(&aside, path);
    fs::remove_file(&aside)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
