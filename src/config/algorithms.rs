//! `algorithms`: the permitted signature algorithms, of a provider or of proofs of possession.

use super::error::ConfigError;
use super::node::Node;
use crate::jose::{Algorithm, AlgorithmSet};

/// `algorithms`; without the list, all of them.
pub(super) fn read(node: Option<&Node<'_>>) -> Result<AlgorithmSet, Box<ConfigError>> {
    let Some(node) = node else {
        return Ok(AlgorithmSet::ALL);
    };
    let allowed: Vec<(&'static str, Algorithm)> = Algorithm::ALL
        .iter()
        .map(|algorithm| (algorithm.name(), *algorithm))
        .collect();
    let mut set = AlgorithmSet::EMPTY;
    for element in node.some_list()? {
        let name = element.text()?;
        if name.eq_ignore_ascii_case("none") {
            return Err(
                element.invalid("`none` means no signature at all and is never accepted; leave it out")
            );
        }
        if name.starts_with("HS") {
            return Err(element.invalid(format!(
                "`{name}` needs a secret shared with the issuer and is never accepted; ask the issuer for RS256, ES256 or EdDSA"
            )));
        }
        if *name == *"Ed25519" {
            return Err(element.invalid("write `EdDSA`: it accepts both names of this algorithm"));
        }
        set.insert(element.one_of(&allowed)?);
    }
    Ok(set)
}
