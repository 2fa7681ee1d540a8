//! The demo's signing key: made once, so that a token of `demo token` is good at an issuer that another run started.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use testkit::{Algorithm, SigningKey};

const ALGORITHM: Algorithm = Algorithm::Rs256;

/// The key kept in `dir`; its `kid` is its thumbprint.
pub(crate) fn stable(dir: &Path) -> Result<SigningKey, String> {
    let path = dir.join("signing-key.pem");
    if !path.exists() {
        create(dir, &path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
    }
    let key = SigningKey::load(&path, ALGORITHM, None)?;
    Ok(key.with_kid(Some(&key.thumbprint())))
}

/// Written aside and linked into place: of two that start at once one key stays, and nobody reads half of it.
fn create(dir: &Path, path: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let aside = dir.join(format!(".signing-key.{}", std::process::id()));
    SigningKey::generate(ALGORITHM, None).save(&aside)?;
    let linked = fs::hard_link(&aside, path);
    fs::remove_file(&aside)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
