//! `providers`: an issuer, its keys, what its tokens must be, and what of them is passed on.

use std::time::Duration;

use super::claim_to_header::{self, ClaimToHeader};
use super::error::{ConfigError, ConfigProblem};
use super::issuer::{self, IssuerPattern};
use super::key_source::{self, KeySource};
use super::location::{self, LocationId};
use super::metadata::{self, Metadata};
use super::reader::{Fields, Node};
use super::string_matcher::{self, StringMatcher};
use super::{Names, binding, header_name};
use crate::binding::Binding;
use crate::claims::{ClaimPath, DEFAULT_CLOCK_SKEW};
use crate::jose::{Algorithm, AlgorithmSet};

/// The number of a provider in a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderId(usize);

impl ProviderId {
    /// The provider at this position of [`super::Config::providers`].
    #[must_use]
    pub const fn new(index: usize) -> Self {
        Self(index)
    }

    /// The position in [`super::Config::providers`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

/// An issuer whose tokens are accepted.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the configuration, metrics and logs.
    pub name: Box<str>,
    /// `iss`, compared exactly.
    pub issuer: Box<str>,
    /// `iss`, where segments of it are a tenant's.
    pub issuer_pattern: Option<IssuerPattern>,
    /// Of `aud`, one must be among these.
    pub audiences: Audiences,
    /// Where its keys come from.
    pub keys: KeySource,
    /// `alg` must be one of these.
    pub algorithms: AlgorithmSet,
    /// Of which keys without an `alg` of their own may verify these.
    pub algorithms_of_any_key: AlgorithmSet,
    /// `typ` must be one of these, where any is named.
    pub token_types: Vec<Box<str>>,
    /// A token without `exp` is refused.
    pub require_expiration: bool,
    /// How far the issuer's clock may be off.
    pub clock_skew: Duration,
    /// How far away `exp` may be.
    pub max_lifetime: Option<Duration>,
    /// `sub` must match.
    pub subjects: Option<StringMatcher>,
    /// What the token must be beside that (`profile`).
    pub profile: Option<Profile>,
    /// Claims that must be there.
    pub required_claims: Vec<ClaimPath>,
    /// How its tokens are bound to their clients.
    pub binding: Binding,
    /// Where its tokens are looked for.
    pub locations: Vec<LocationId>,
    /// Those of them whose token goes first, where others hold another (`prefer`); none: nothing goes first.
    pub preferred: Vec<LocationId>,
    /// The token goes on to the upstream.
    pub forward: bool,
    /// The owned header that takes the payload, as the token has it (base64url).
    pub forward_payload_header: Option<usize>,
    /// The payload in that header is padded (`pad_forward_payload_header`).
    pub pads_payload: bool,
    /// Claims that are passed on in headers.
    pub claim_to_headers: Vec<ClaimToHeader>,
    /// What is left for other filters and the access log.
    pub metadata: Metadata,
    /// The route is chosen anew once claims stand in headers.
    pub clear_route_cache: bool,
}

/// A published profile that tokens must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// RFC 9068: JWT access tokens, told by `typ`, with the claims of its section 2.2.
    Rfc9068,
}

impl Profile {
    /// The claims that the profile requires.
    #[must_use]
    pub fn required_claims(self) -> &'static [&'static str] {
        match self {
            // Section 2.2: "REQUIRED": iss, exp, aud, sub, client_id, iat, jti.
            Self::Rfc9068 => &["iss", "exp", "aud", "sub", "client_id", "iat", "jti"],
        }
    }

    /// Those of them that name somebody or something, so that they are strings, and say which.
    #[must_use]
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Rfc9068 => &["sub", "client_id", "jti"],
        }
    }

    /// The types that the profile allows.
    #[must_use]
    pub fn token_type(self) -> &'static str {
        match self {
            // Section 4: "verify that the 'typ' header value is 'at+jwt' or 'application/at+jwt'".
            Self::Rfc9068 => "at+jwt",
        }
    }
}

impl Provider {
    /// Its name as a part of a metric's name: `_` replaces what is neither a letter, a digit, `-` nor `_`.
    #[must_use]
    pub fn metric_name(&self) -> String {
        let letters = self.name.chars();
        letters
            .map(|letter| match letter.is_ascii_alphanumeric() || letter == '-' {
                true => letter,
                false => '_',
            })
            .collect()
    }

    /// Whether tokens of this `iss` are its.
    #[must_use]
    pub fn is_issuer(&self, issuer: &str) -> bool {
        match &self.issuer_pattern {
            None => *self.issuer == *issuer,
            Some(pattern) => pattern.values(issuer).is_some(),
        }
    }
}

/// Whom a token must be meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audiences {
    /// `["*"]`: anybody, a token without `aud` included.
    Any,
    /// One of these, compared exactly.
    OneOf(Vec<Box<str>>),
}

impl Audiences {
    /// Whether a token for this audience is accepted.
    #[must_use]
    pub fn accepts(&self, audience: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(audiences) => audiences.iter().any(|known| **known == *audience),
        }
    }

    /// Whether a token without `aud` is accepted.
    #[must_use]
    pub fn accepts_none(&self) -> bool {
        matches!(self, Self::Any)
    }
}

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
            let header = names.owned_header(&header_name::read_owned(node)?);
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
        issuer,
        issuer_pattern,
        audiences,
        keys,
        algorithms,
        algorithms_of_any_key,
        token_types,
        require_expiration,
        clock_skew,
        max_lifetime,
        subjects,
        profile,
        required_claims,
        binding,
        locations,
        preferred,
        forward,
        forward_payload_header,
        pads_payload,
        claim_to_headers,
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
    let is_type = |text: &str| {
        text.bytes()
            .all(|byte| byte == b'/' || header_name::is_token_byte(byte))
    };
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
