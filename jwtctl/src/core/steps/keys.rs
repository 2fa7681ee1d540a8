//! The checks that need a key of the issuer: the signature, and the binding to the client.

use proxy_wasm_jwt::binding::nonce::NonceSecret;
use proxy_wasm_jwt::binding::{Binding, Presented};
use proxy_wasm_jwt::claims::{SignatureCheck, UnverifiedClaims, VerifiedJwt};
use proxy_wasm_jwt::credential::Location;
use proxy_wasm_jwt::denial::{Denial, Reason};
use proxy_wasm_jwt::ids::LocationId;
use proxy_wasm_jwt::jose::{AlgorithmSet, Checks, JoseHeader, JwkSet, Sandbox, Spent, UnverifiedJwt};
use proxy_wasm_jwt::keys::KeySource;
use proxy_wasm_jwt::pattern::Effort;

use super::token::{Walker, shorten};
use crate::core::NONCE_SECRET;

impl Walker<'_> {
    pub(super) fn keys(
        &mut self,
        location: LocationId,
        text: &[u8],
        token: &UnverifiedJwt<'_>,
        header: &JoseHeader,
        algorithm: proxy_wasm_jwt::jose::Algorithm,
        claims: &UnverifiedClaims<'_>,
    ) {
        let key_id = header.key_id.as_deref().filter(|key_id| !key_id.is_empty());
        let seen = match key_id {
            Some(key_id) => format!("kid \"{}\", {}", shorten(key_id), algorithm.name()),
            None => format!("no kid, {}", algorithm.name()),
        };
        let set = match &self.provider.keys {
            KeySource::Local(parsed) => &parsed.set,
            KeySource::Remote(_) => {
                let denial = Denial::new(Reason::KeysUnavailable);
                let expected = "a key of the issuer";
                self.add("key", Err(denial), "no keys are known here", expected);
                self.unreached("signature", "there are no keys", "");
                return;
            }
        };
        let expected = describe_keys(set);
        let mut spent = Spent::default();
        let checks = Checks::new(&Sandbox, &spent);
        let of_any_key: AlgorithmSet = self.provider.algorithms_of_any_key;
        let outcome = VerifiedJwt::verify(token, algorithm, key_id, claims, set, of_any_key, checks);
        let key = match &outcome {
            SignatureCheck::KeyNotFound { tried: false } => Err(Denial::new(Reason::KeyUnknown)),
            SignatureCheck::AlgorithmMismatch | SignatureCheck::KeyTooLarge => {
                Err(Denial::new(Reason::AlgorithmRejected))
            }
            _ => Ok(()),
        };
        let is_known = key.is_ok();
        self.add("key", key, seen, expected);
        if !is_known {
            self.unreached("signature", "there is no key that could verify it", "");
            return;
        }
        let SignatureCheck::Verified(jwt) = outcome else {
            let denial = Denial::new(Reason::SignatureInvalid);
            self.add("signature", Err(denial), "not valid", "made with that key");
            if self.authorize.is_some() {
                self.unreached("authorize", "the filter does not read unverified claims", "");
            }
            return;
        };
        self.add("signature", Ok(()), "valid", "made with that key");
        spent.clear();
        if let Some(authorization) = &self.provider.authorization {
            let outcome = authorization
                .check(&jwt, self.head, &mut Effort::of_a_request())
                .map_err(|shortfall| Denial::new(Reason::TokenRejected).short_of(shortfall));
            let expected = "the conditions of the provider";
            self.add("provider conditions", outcome, "", expected);
        }
        let is_checked = !matches!(self.provider.binding, Binding::Off);
        let secret = NonceSecret::from_bytes(&NONCE_SECRET);
        let presented = Presented {
            token: text,
            by_dpop: self
                .config
                .locations
                .get(location.index())
                .is_some_and(Location::is_dpop),
            request: self.head,
            nonce_secret: secret.as_ref(),
        };
        let is_bound = jwt.members().any(|(name, _)| name == "cnf");
        let expected = match is_bound || self.provider.binding.asks_each_request(&jwt) {
            true => "a proof that the client owns the token",
            false => "none is needed",
        };
        if is_checked {
            let checks = Checks::new(&Sandbox, &spent);
            let outcome = self
                .provider
                .binding
                .check(&jwt, presented, checks, self.now)
                .map(drop);
            let seen = match (&outcome, is_bound) {
                (Err(_), _) => String::new(),
                (Ok(()), true) => "the client owns the token".to_owned(),
                (Ok(()), false) => "not bound to a client".to_owned(),
            };
            self.add("binding", outcome, seen, expected);
        }
        self.authorize(&jwt);
    }
}

/// The keys of a set that fit on a line.
fn describe_keys(set: &JwkSet) -> String {
    const MOST: usize = 4;
    let mut shown: Vec<String> = set
        .keys()
        .iter()
        .take(MOST)
        .map(|key| {
            let id = key
                .key_id()
                .map_or_else(|| "no kid".to_owned(), |id| format!("kid \"{}\"", shorten(id)));
            match key.algorithm() {
                Some(algorithm) => format!("{id}, {}", algorithm.name()),
                None => id,
            }
        })
        .collect();
    if set.len() > MOST {
        shown.push(format!("and {} more", set.len() - MOST));
    }
    format!("one of the keys: {}", shown.join("; "))
}
