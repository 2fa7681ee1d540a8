//! Secrets that Envoy gets for the module: generic secrets of its bootstrap, or by SDS.
//!
//! The main thread asks for each of them once a second, so all workers take a new one at the same time. Only
//! as long as a secret is missing, a worker asks for it too: Envoy starts to listen once the secret is there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use proxy_wasm_jwt::binding::nonce::{NamedSecret, NonceSecret, SecretSource};
use proxy_wasm_jwt::config::check_secret;
use proxy_wasm_jwt::settings::Config;

use crate::binding::{ConfigHost, Host, SecretId, has_secrets};

/// The secrets in use. Each worker parses the configuration for itself, and gets the same secret.
static IN_USE: Mutex<Vec<NamedSecret>> = Mutex::new(Vec::new());

/// The secret with this name, from this source.
pub(crate) fn find(name: &str, sds_config: Option<&str>) -> NamedSecret {
    let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    in_use.retain(NamedSecret::has_users);
    let is_same = |known: &&NamedSecret| known.name() == name && known.sds_config() == sds_config;
    if let Some(known) = in_use.iter().find(is_same) {
        return known.clone();
    }
    let new = NamedSecret::new(name, sds_config);
    in_use.push(new.clone());
    new
}

/// The secrets of one configuration.
#[derive(Debug)]
pub(crate) struct Secrets(Box<[Secret]>);

#[derive(Debug)]
struct Secret {
    id: SecretId,
    named: NamedSecret,
    /// The log has the fault of the secret that Envoy has now.
    is_faulty: AtomicBool,
}

impl Secrets {
    /// Subscribes to the secrets that the configuration names. Only while the configuration is made.
    ///
    /// # Errors
    ///
    /// Fails with the fault if Envoy does not supply secrets to modules, or not this one.
    pub(crate) fn subscribe(config: &Config, host: ConfigHost<'_>) -> Result<Self, String> {
        let mut secrets: Vec<Secret> = Vec::new();
        for provider in &config.providers {
            let Some(SecretSource::Named(named)) = provider.binding.nonces().map(|nonces| &nonces.secret)
            else {
                continue;
            };
            if secrets.iter().any(|known| known.named == *named) {
                continue;
            }
            let name = named.name().escape_debug();
            if !has_secrets() {
                return Err(format!(
                    "provider `{}`: this Envoy does not supply the secret `{name}` to a module; Envoy 1.40 does",
                    provider.name
                ));
            }
            let id = host
                .subscribe_secret(named.name(), named.sds_config())
                .ok_or_else(|| {
                    format!(
                        "provider `{}`: Envoy does not supply the secret `{name}`, and its log says why; without `sds_config` \
                         the secret must be in `static_resources.secrets`, and with it Envoy needs `node.id` and \
                         `node.cluster`",
                        provider.name
                    )
                })?;
            secrets.push(Secret {
                id,
                named: named.clone(),
                is_faulty: AtomicBool::new(false),
            });
        }
        Ok(Self(secrets.into()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes each secret as Envoy has it now. On the main thread.
    pub(crate) fn refresh(&self, host: ConfigHost<'_>) {
        for secret in &self.0 {
            if let Some(bytes) = host.secret(secret.id) {
                secret.take(&bytes);
            }
        }
    }

    /// Takes the secrets that have not arrived yet.
    pub(crate) fn complete(&self, host: &Host<'_>) {
        for secret in &self.0 {
            if secret.named.current().is_none()
                && let Some(bytes) = host.secret(secret.id)
            {
                secret.take(&bytes);
            }
        }
    }
}

impl Secret {
    fn take(&self, bytes: &[u8]) {
        // SDS has not answered yet, or has removed the secret: the last one stays valid.
        if bytes.is_empty() {
            return;
        }
        let name = self.named.name().escape_debug();
        if let Err(fault) = check_secret(bytes) {
            if !self.is_faulty.swap(true, Ordering::Relaxed) {
                log::error!("the secret `{name}` {fault}; it is not used");
            }
            return;
        }
        self.is_faulty.store(false, Ordering::Relaxed);
        let secret = NonceSecret::derive(bytes);
        match self.named.current() {
            Some(current) if current == secret => return,
            Some(_) => log::info!("the secret `{name}` was replaced"),
            None => log::info!("the secret `{name}` has arrived"),
        }
        self.named.replace(secret);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shared_by_name_and_source_for_as_long_as_it_is_used() {
        let source = Some(r#"{"ads":{}}"#);
        let (one, other) = (find("shared", source), find("shared", source));
        assert_eq!(one, other);
        assert_ne!(one, find("shared", None));
        assert_ne!(one, find("other", source));
        one.replace(NonceSecret::new([1; 32]));
        assert_eq!(find("shared", source).current(), Some(NonceSecret::new([1; 32])));
        drop((one, other));
        assert_eq!(find("shared", source).current(), None);
    }
}
