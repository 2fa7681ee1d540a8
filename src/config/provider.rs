//! `providers`: an issuer, its keys, the checks of its tokens, and the claims that the filter passes on.

use std::sync::Arc;
use std::time::Duration;

use super::error::{ConfigError, ConfigProblem};
use super::fields::{JwtCacheObject, ProviderObject};
use super::node::Node;
use super::reader::Fields;
use super::{
    Names, algorithms, authorize, binding, claim_to_header, header_name, issuer, key_source, location,
    metadata, string_matcher,
};
use crate::binding::Binding;
use crate::claims::{Audiences, ClaimPath, ClaimRules, Profile};
use crate::forward::HeaderRules;
use crate::http::is_token_byte;
use crate::jose::AlgorithmSet;
use crate::keys::KeySource;
use crate::policy::Authorization;
use crate::provider::Provider;

/// Reads a provider, and records its faults. A faulty provider may lack any part. It only exists so that
/// other parts of the configuration can name it.
pub(super) fn read(name: &str, node: &Node<'_>, names: &mut Names) -> Result<Provider, Box<ConfigError>> {
    if name.is_empty() {
        return Err(node.invalid("a provider needs a name"));
    }
    let fields = node.fields(ProviderObject)?;
    let claims = read_claim_rules(&fields);
    let written_algorithms = fields.get(ProviderObject::algorithms);
    let algorithms = fields.or_default(algorithms::read(written_algorithms));
    let authorization = fields.get(ProviderObject::authorize);
    let authorization = authorization.and_then(|node| node.keep(read_authorization(node, names)));
    let token_types = fields.or_default(read_token_types(&fields, claims.profile));
    let binding = match fields.get(ProviderObject::binding) {
        Some(node) => fields.or_default(binding::read(node, names)),
        None => Binding::default(),
    };
    let locations = fields.or_default(location::read(&fields, binding.dpop().is_some(), names));
    let preferred = match fields.get(ProviderObject::prefer) {
        Some(node) => fields.or_default(location::read_preferred(node, &locations, names)),
        None => Vec::new(),
    };
    let headers = fields.or_default(read_header_rules(&fields, names));
    fields.or_default(read_jwt_cache(&fields));
    let keys = fields.keep(key_source::read(&fields, &claims.issuers, names.read_keys));
    if let (Some(node), Some(KeySource::Local(parsed))) = (written_algorithms, &keys)
        && !parsed
            .set
            .keys()
            .iter()
            .any(|key| algorithms.iter().any(|algorithm| key.fits(algorithm)))
        && !algorithms.is_empty()
    {
        node.report(
            node.invalid(
                "no token can be accepted: no key of `local_jwks` is for one of these; leave this out",
            ),
        );
    }
    Ok(Provider {
        name: name.into(),
        authorization,
        audiences: fields
            .keep(
                fields
                    .require(ProviderObject::audiences)
                    .and_then(read_audience_list),
            )
            .unwrap_or(Audiences::OneOf(Vec::new())),
        keys: keys.unwrap_or_else(|| KeySource::Local(Arc::default())),
        algorithms,
        // An operator who lists PSS knows that the issuer uses it.
        algorithms_of_any_key: match written_algorithms {
            Some(_) => algorithms,
            None => AlgorithmSet::OF_ANY_KEY,
        },
        token_types,
        claims,
        binding,
        locations,
        preferred,
        forward: fields.kept(ProviderObject::forward),
        headers,
        metadata: fields.or_default(metadata::read(&fields)),
        clear_route_cache: fields.kept(ProviderObject::clear_route_cache),
    })
}

/// Conditions for every token, in every request.
// Not inlined here and below, for the memory of Envoy: docs/adr/0010-build-settings.md.
#[inline(never)]
fn read_authorization(node: &Node<'_>, names: &mut Names) -> Result<Authorization, Box<ConfigError>> {
    let authorization = authorize::read(node, names)?;
    if authorization.optional {
        return Err(node.invalid("these conditions are for tokens alone; leave `optional` out"));
    }
    if authorization.depends_on_request() {
        return Err(
            node.invalid("`equals_request` is about one request; write it under `authorize` of the rule")
        );
    }
    Ok(authorization)
}

#[inline(never)]
fn read_claim_rules(fields: &Fields<'_, ProviderObject>) -> ClaimRules {
    let (issuers, issuer_pattern) = fields.or_default(issuer::read(fields));
    let profile = fields.or_default(fields.read(ProviderObject::profile));
    let required_claims = fields.or_default(fields.names(ProviderObject::required_claims));
    let (subjects, subjects_text) = match fields.get(ProviderObject::subjects) {
        Some(node) => (fields.keep(string_matcher::read_for_claim(node)), node.shown()),
        None => Default::default(),
    };
    let of_profile = profile.map_or(&[][..], Profile::required_claims);
    let of_profile = of_profile
        .iter()
        .map(|claim| ClaimPath::Literal(vec![(*claim).into()]));
    ClaimRules {
        issuers,
        issuer_pattern,
        require_expiration: fields.kept(ProviderObject::require_expiration),
        clock_skew: Duration::from_secs(fields.kept(ProviderObject::clock_skew_seconds)),
        max_lifetime: fields.or_default(fields.read(ProviderObject::max_lifetime)),
        subjects,
        subjects_text,
        profile,
        required_claims: required_claims
            .into_iter()
            .map(ClaimPath::Name)
            .chain(of_profile)
            .collect(),
    }
}

#[inline(never)]
fn read_header_rules(
    fields: &Fields<'_, ProviderObject>,
    names: &mut Names,
) -> Result<HeaderRules, Box<ConfigError>> {
    let mut rules = HeaderRules {
        pads_payload: fields.kept(ProviderObject::pad_forward_payload_header),
        ..HeaderRules::default()
    };
    if let Some(node) = fields.get(ProviderObject::forward_payload_header) {
        rules.payload = Some(names.owned_headers.index_of(&header_name::read_owned(node)?));
    }
    if let Some(node) = fields.get(ProviderObject::claim_to_headers) {
        for element in node.list()? {
            let Some(entry) = element.keep(claim_to_header::read(&element, names)) else {
                continue;
            };
            let mut taken = rules
                .payload
                .into_iter()
                .chain(rules.claims.iter().map(|known| known.header));
            if taken.any(|header| header == entry.header) {
                return Err(element.invalid(
                    "another claim of this provider is written to the same header; give each its own",
                ));
            }
            rules.claims.push(entry);
        }
    }
    Ok(rules)
}

/// The filter always caches verified tokens.
fn read_jwt_cache(fields: &Fields<'_, ProviderObject>) -> Result<(), Box<ConfigError>> {
    if let Some(node) = fields.get(ProviderObject::jwt_cache_config) {
        let fields = node.fields(JwtCacheObject)?;
        fields.read(JwtCacheObject::jwt_cache_size)?;
        fields.read(JwtCacheObject::jwt_max_token_size)?;
    }
    Ok(())
}

/// RFC 7515 section 4.1.9: media types, with or without `application/`.
#[inline(never)]
fn read_token_types(
    fields: &Fields<'_, ProviderObject>,
    profile: Option<Profile>,
) -> Result<Vec<Box<str>>, Box<ConfigError>> {
    let of_profile = profile.map(|profile| profile.token_type().into());
    let Some(node) = fields.get(ProviderObject::token_types) else {
        return Ok(of_profile.into_iter().collect());
    };
    let types = node.names()?;
    if of_profile.is_some() {
        return match types.is_empty() {
            true => Ok(of_profile.into_iter().collect()),
            false => Err(fields.error(ConfigProblem::Invalid(
                "`profile` says the types already; leave `token_types` out".to_owned(),
            ))),
        };
    }
    let is_type = |text: &str| text.bytes().all(|byte| byte == b'/' || is_token_byte(byte));
    match types.iter().find(|text| !is_type(text)) {
        Some(text) => Err(node.invalid(format!("`{text}` is not a media type; write it as in at+jwt"))),
        None => Ok(types),
    }
}

#[inline(never)]
pub(super) fn read_audience_list(node: &Node<'_>) -> Result<Audiences, Box<ConfigError>> {
    let audiences = node.names()?;
    if audiences.is_empty() {
        return Err(node.invalid(format!("must not be empty; {}", ProviderObject::audiences.fix)));
    }
    if audiences.iter().any(|audience| &**audience == "*") {
        if audiences.len() > 1 {
            return Err(node.invalid("\"*\" accepts any audience; write it alone"));
        }
        return Ok(Audiences::Any);
    }
    if let Some(audience) = audiences.iter().find(|audience| audience.contains('*')) {
        return Err(node.invalid(format!(
            "audiences are compared exactly, so that `*` in `{audience}` matches only itself; list the audiences, or write \
             [\"*\"] and a condition on `aud` under `authorize`"
        )));
    }
    Ok(Audiences::OneOf(audiences))
}
