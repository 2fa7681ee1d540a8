//! `providers`: an issuer, its keys, what its tokens must be, and what of them is passed on.

use std::time::Duration;

use super::error::{ConfigError, ConfigProblem};
use super::fields::{JWT_CACHE, PROVIDER, ProviderObject};
use super::reader::{Fields, Node};
use super::{
    Names, binding, claim_to_header, header_name, issuer, key_source, location, metadata, string_matcher,
};
use crate::binding::Binding;
use crate::claims::{Audiences, ClaimPath, ClaimRules, Profile};
use crate::forward::HeaderRules;
use crate::http::is_token_byte;
use crate::ids::LocationId;
use crate::jose::{Algorithm, AlgorithmSet};
use crate::provider::Provider;

pub(super) fn read(name: &str, node: &Node<'_>, names: &mut Names) -> Result<Provider, Box<ConfigError>> {
    if name.is_empty() {
        return Err(node.invalid("a provider needs a name"));
    }
    let fields = node.fields(PROVIDER)?;
    let claims = fields.keep(read_claim_rules(&fields));
    let audiences = fields.require(PROVIDER.audiences);
    let audiences = fields.keep(audiences.and_then(|node| read_audience_list(node)));
    // The address of a discovery document may be that of the issuer.
    let keys = claims.as_ref();
    let keys = keys.and_then(|claims| fields.keep(key_source::read(&fields, &claims.issuer)));
    let written_algorithms = fields.get(PROVIDER.algorithms);
    let algorithms = fields.keep(read_algorithms(written_algorithms));
    let profile = claims.as_ref().and_then(|claims| claims.profile);
    let token_types = fields.keep(read_token_types(&fields, profile));
    let binding = fields.get(PROVIDER.binding);
    let binding =
        fields.keep(binding.map_or_else(|| Ok(Binding::default()), |node| binding::read(node, names)));
    let takes_dpop = binding.as_ref().is_some_and(|binding| binding.dpop().is_some());
    let locations = fields.keep(read_locations(&fields, takes_dpop, names));
    let headers = fields.keep(read_header_rules(&fields, names));
    let metadata = fields.keep(metadata::read(&fields));
    let forward = fields.kept(PROVIDER.forward);
    let clear_route_cache = fields.kept(PROVIDER.clear_route_cache);
    fields.keep(read_jwt_cache(&fields));
    let (Some(claims), Some(audiences), Some(keys), Some(algorithms)) = (claims, audiences, keys, algorithms)
    else {
        return Err(ConfigError::reported());
    };
    let (Some(token_types), Some(binding), Some((locations, preferred)), Some(headers), Some(metadata)) =
        (token_types, binding, locations, headers, metadata)
    else {
        return Err(ConfigError::reported());
    };
    Ok(Provider {
        name: name.into(),
        audiences,
        keys,
        algorithms,
        // Whoever names PSS has said that the issuer uses it.
        algorithms_of_any_key: match written_algorithms {
            Some(_) => algorithms,
            None => AlgorithmSet::OF_ANY_KEY,
        },
        token_types,
        claims,
        binding,
        locations,
        preferred,
        forward,
        headers,
        metadata,
        clear_route_cache,
    })
}

/// The locations, and those of them whose token goes first.
fn read_locations(
    fields: &Fields<'_, ProviderObject>,
    takes_dpop: bool,
    names: &mut Names,
) -> Result<(Vec<LocationId>, Vec<LocationId>), Box<ConfigError>> {
    let locations = location::read(fields, takes_dpop, names)?;
    let preferred = match fields.get(PROVIDER.prefer) {
        Some(node) => location::read_preferred(node, &locations, names)?,
        None => Vec::new(),
    };
    Ok((locations, preferred))
}

fn read_claim_rules(fields: &Fields<'_, ProviderObject>) -> Result<ClaimRules, Box<ConfigError>> {
    let issuer = fields.require(PROVIDER.issuer);
    let issuer = fields.keep(issuer.and_then(|node| Ok((node.name()?, issuer::read(node, fields)?))));
    let profile = fields.keep(fields.read(PROVIDER.profile));
    let max_lifetime = fields.keep(fields.read(PROVIDER.max_lifetime));
    let required_claims = fields.keep(fields.names(PROVIDER.required_claims));
    let subjects = fields.get(PROVIDER.subjects);
    let subjects = fields.keep(
        subjects
            .map(|node| string_matcher::read_for_claim(node))
            .transpose(),
    );
    let require_expiration = fields.kept(PROVIDER.require_expiration);
    let clock_skew = Duration::from_secs(fields.kept(PROVIDER.clock_skew_seconds));
    let (
        Some((issuer, issuer_pattern)),
        Some(profile),
        Some(max_lifetime),
        Some(required_claims),
        Some(subjects),
    ) = (issuer, profile, max_lifetime, required_claims, subjects)
    else {
        return Err(ConfigError::reported());
    };
    let of_profile = profile.map_or(&[][..], Profile::required_claims);
    let of_profile = of_profile
        .iter()
        .map(|claim| ClaimPath::Literal(vec![(*claim).into()]));
    Ok(ClaimRules {
        issuer,
        issuer_pattern,
        require_expiration,
        clock_skew,
        max_lifetime,
        subjects,
        profile,
        required_claims: required_claims
            .into_iter()
            .map(ClaimPath::Name)
            .chain(of_profile)
            .collect(),
    })
}

fn read_header_rules(
    fields: &Fields<'_, ProviderObject>,
    names: &mut Names,
) -> Result<HeaderRules, Box<ConfigError>> {
    let mut rules = HeaderRules {
        pads_payload: fields.kept(PROVIDER.pad_forward_payload_header),
        ..HeaderRules::default()
    };
    if let Some(node) = fields.get(PROVIDER.forward_payload_header) {
        rules.payload = Some(names.owned_headers.index_of(&header_name::read_owned(node)?));
    }
    if let Some(node) = fields.get(PROVIDER.claim_to_headers) {
        for element in node.list()? {
            let entry = claim_to_header::read(&element, names)?;
            let mut taken = rules
                .payload
                .into_iter()
                .chain(rules.claims.iter().map(|known| known.header));
            if taken.any(|header| header == entry.header) {
                return Err(element.invalid("another claim of this provider is written to the same header"));
            }
            rules.claims.push(entry);
        }
    }
    Ok(rules)
}

/// Verified tokens are remembered without being asked.
fn read_jwt_cache(fields: &Fields<'_, ProviderObject>) -> Result<(), Box<ConfigError>> {
    if let Some(node) = fields.get(PROVIDER.jwt_cache_config) {
        let fields = node.fields(JWT_CACHE)?;
        fields.read(JWT_CACHE.jwt_cache_size)?;
        fields.read(JWT_CACHE.jwt_max_token_size)?;
    }
    Ok(())
}

/// RFC 7515 section 4.1.9: media types, with or without `application/`.
fn read_token_types(
    fields: &Fields<'_, ProviderObject>,
    profile: Option<Profile>,
) -> Result<Vec<Box<str>>, Box<ConfigError>> {
    let of_profile = profile.map(|profile| profile.token_type().into());
    let Some(node) = fields.get(PROVIDER.token_types) else {
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

pub(super) fn read_audience_list(node: &Node<'_>) -> Result<Audiences, Box<ConfigError>> {
    let audiences = node.names()?;
    if audiences.is_empty() {
        return Err(node.invalid(format!("must not be empty; {}", PROVIDER.audiences.fix)));
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

/// `algorithms`; all of them where there is no list.
pub(super) fn read_algorithms(node: Option<&Node<'_>>) -> Result<AlgorithmSet, Box<ConfigError>> {
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
