//! `providers`: an issuer, its keys, what its tokens must be, and what of them is passed on.

use std::time::Duration;

use super::error::{ConfigError, ConfigProblem};
use super::reader::{Fields, Node};
use super::{
    Names, binding, claim_to_header, header_name, issuer, key_source, location, metadata, string_matcher,
};
use crate::binding::Binding;
use crate::claims::{Audiences, ClaimPath, ClaimRules, DEFAULT_CLOCK_SKEW, Profile};
use crate::forward::HeaderRules;
use crate::http::is_token_byte;
use crate::jose::{Algorithm, AlgorithmSet};
use crate::provider::Provider;

pub(super) const FIELDS: &[&str] = &[
    "issuer",
    "issuer_claims",
    "audiences",
    "discovery",
    "remote_jwks",
    "local_jwks",
    "key_cache",
    "algorithms",
    "token_types",
    "require_expiration",
    "clock_skew_seconds",
    "max_lifetime",
    "subjects",
    "required_claims",
    "profile",
    "binding",
    "from_headers",
    "from_params",
    "from_cookies",
    "prefer",
    "forward",
    "forward_payload_header",
    "pad_forward_payload_header",
    "claim_to_headers",
    "payload_in_metadata",
    "normalize_payload_in_metadata",
    "header_in_metadata",
    "failed_status_in_metadata",
    "clear_route_cache",
    "jwt_cache_config",
];

/// A day more or less is no skew of a clock.
const MAX_SKEW_SECONDS: u64 = 86_400;

pub(super) fn read(name: &str, node: &Node<'_>, names: &mut Names) -> Result<Provider, Box<ConfigError>> {
    if name.is_empty() {
        return Err(node.invalid("a provider needs a name"));
    }
    let fields = node.fields(FIELDS)?;
    let issuer_node = fields.require("issuer", "write the tokens' `iss` exactly")?;
    let issuer = issuer_node.name()?;
    let issuer_pattern = issuer::read(issuer_node, &fields)?;
    let audiences = read_audiences(&fields)?;
    let keys = key_source::read(&fields, &issuer)?;
    let algorithms = read_algorithms(&fields)?;
    // Whoever names PSS has said that the issuer uses it.
    let algorithms_of_any_key = match fields.get("algorithms") {
        Some(_) => algorithms,
        None => AlgorithmSet::OF_ANY_KEY,
    };
    let mut token_types = read_token_types(&fields)?;
    let profile = fields
        .get("profile")
        .map(|node| node.one_of(&[("rfc9068", Profile::Rfc9068)]))
        .transpose()?;
    if let Some(profile) = profile {
        if !token_types.is_empty() {
            return Err(fields.error(ConfigProblem::Invalid(
                "`profile` says the types already; leave `token_types` out".to_owned(),
            )));
        }
        token_types.push(profile.token_type().into());
    }
    let require_expiration = fields
        .get("require_expiration")
        .map_or(Ok(true), |node| node.bool())?;
    let clock_skew = match fields.get("clock_skew_seconds") {
        Some(node) => Duration::from_secs(node.integer(0..=MAX_SKEW_SECONDS)?),
        None => DEFAULT_CLOCK_SKEW,
    };
    let max_lifetime = match fields.get("max_lifetime") {
        Some(node) => Some(node.duration(Duration::from_secs(1)..=Duration::from_secs(3650 * 86_400))?),
        None => None,
    };
    let subjects = fields
        .get("subjects")
        .map(|node| string_matcher::read_for_claim(node))
        .transpose()?;
    let mut required_claims: Vec<ClaimPath> = fields
        .names("required_claims")?
        .into_iter()
        .map(ClaimPath::Name)
        .collect();
    let of_profile = profile.map_or(&[][..], Profile::required_claims);
    required_claims.extend(
        of_profile
            .iter()
            .map(|claim| ClaimPath::Literal(vec![(*claim).into()])),
    );
    let binding = fields
        .get("binding")
        .map_or_else(|| Ok(Binding::default()), |node| binding::read(node, names))?;
    let locations = location::read(&fields, binding.dpop().is_some(), names)?;
    let preferred = match fields.get("prefer") {
        Some(node) => location::read_preferred(node, &locations, names)?,
        None => Vec::new(),
    };
    let forward = fields.flag("forward")?;
    let mut own: Vec<usize> = Vec::new();
    let forward_payload_header = match fields.get("forward_payload_header") {
        Some(node) => {
            let header = names.owned_headers.index_of(&header_name::read_owned(node)?);
            own.push(header);
            Some(header)
        }
        None => None,
    };
    let mut claim_to_headers = Vec::new();
    if let Some(node) = fields.get("claim_to_headers") {
        for element in node.list()? {
            let entry = claim_to_header::read(&element, names)?;
            if own.contains(&entry.header) {
                return Err(element.invalid("another claim of this provider is written to the same header"));
            }
            own.push(entry.header);
            claim_to_headers.push(entry);
        }
    }
    let pads_payload = fields.flag("pad_forward_payload_header")?;
    let metadata = metadata::read(&fields)?;
    let clear_route_cache = fields.flag("clear_route_cache")?;
    // Verified tokens are remembered without being asked.
    if let Some(node) = fields.get("jwt_cache_config") {
        let fields = node.fields(&["jwt_cache_size", "jwt_max_token_size"])?;
        for field in ["jwt_cache_size", "jwt_max_token_size"] {
            if let Some(node) = fields.get(field) {
                node.integer(0..=u64::from(u32::MAX))?;
            }
        }
    }
    Ok(Provider {
        name: name.into(),
        audiences,
        keys,
        algorithms,
        algorithms_of_any_key,
        token_types,
        claims: ClaimRules {
            issuer,
            issuer_pattern,
            require_expiration,
            clock_skew,
            max_lifetime,
            subjects,
            profile,
            required_claims,
        },
        binding,
        locations,
        preferred,
        forward,
        headers: HeaderRules {
            payload: forward_payload_header,
            pads_payload,
            claims: claim_to_headers,
        },
        metadata,
        clear_route_cache,
    })
}

/// RFC 7515 section 4.1.9: media types, with or without `application/`.
fn read_token_types(fields: &Fields<'_>) -> Result<Vec<Box<str>>, Box<ConfigError>> {
    let Some(node) = fields.get("token_types") else {
        return Ok(Vec::new());
    };
    let types = node.names()?;
    let is_type = |text: &str| text.bytes().all(|byte| byte == b'/' || is_token_byte(byte));
    match types.iter().find(|text| !is_type(text)) {
        Some(text) => Err(node.invalid(format!("`{text}` is not a media type; write it as in at+jwt"))),
        None => Ok(types),
    }
}

const AUDIENCES_FIX: &str = "write whom the tokens are for, or [\"*\"] to accept tokens for anybody";

fn read_audiences(fields: &Fields<'_>) -> Result<Audiences, Box<ConfigError>> {
    let node = fields.require("audiences", AUDIENCES_FIX)?;
    read_audience_list(node)
}

pub(super) fn read_audience_list(node: &Node<'_>) -> Result<Audiences, Box<ConfigError>> {
    let audiences = node.names()?;
    if audiences.is_empty() {
        return Err(node.invalid(format!("must not be empty; {AUDIENCES_FIX}")));
    }
    if audiences.iter().any(|audience| &**audience == "*") {
        if audiences.len() > 1 {
            return Err(node.invalid("\"*\" accepts any audience, so it stands alone"));
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

pub(super) fn read_algorithms(fields: &Fields<'_>) -> Result<AlgorithmSet, Box<ConfigError>> {
    let Some(node) = fields.get("algorithms") else {
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
            return Err(element.invalid("`none` means no signature at all and is never accepted"));
        }
        if name.starts_with("HS") {
            return Err(element.invalid(format!(
                "`{name}` needs a secret shared with the issuer and is never accepted; ask the issuer for RS256, ES256 or EdDSA"
            )));
        }
        set.insert(element.one_of(&allowed)?);
    }
    Ok(set)
}
