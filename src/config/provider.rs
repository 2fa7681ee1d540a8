//! `providers`: an issuer, its keys, what its tokens must be, and what of them is passed on.

use std::time::Duration;

use super::error::{ConfigError, ConfigProblem};
use super::issuer::{self, IssuerPattern};
use super::location::{self, LocationId};
use super::reader::{Fields, Node};
use super::remote::{self, RemoteKeySource};
use super::string_matcher::{self, StringMatcher};
use super::{Names, binding, data_source, discovery, header_name};
use crate::binding::Binding;
use crate::claims::{ClaimPath, DEFAULT_CLOCK_SKEW};
use crate::jose::{Algorithm, AlgorithmSet, JwkSet, JwksFault, ParsedJwkSet};

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

/// What a provider's tokens leave behind in the filter state `wasm.jwt.metadata.<name>`: the nearest that a module can do to
/// the dynamic metadata that jwt_authn writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `payload_in_metadata`: the name for the claims.
    pub payload: Option<Box<str>>,
    /// `normalize_payload_in_metadata.space_delimited_claims`: strings that become lists there.
    pub space_delimited: Vec<Box<str>>,
    /// `header_in_metadata`: the name for the JOSE header.
    pub header: Option<Box<str>>,
    /// `failed_status_in_metadata`: the name for the reason of a refusal.
    pub failed_status: Option<Box<str>>,
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

/// Where a provider's keys come from.
#[derive(Debug)]
pub enum KeySource {
    /// `local_jwks`: the configuration itself.
    Local(ParsedJwkSet),
    /// `discovery` or `remote_jwks`.
    Remote(RemoteKeySource),
}

/// A claim that is passed on in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimToHeader {
    /// Which claim.
    pub claim: ClaimPath,
    /// The number of the owned header that takes it.
    pub header: usize,
    /// How it is written.
    pub format: ValueFormat,
}

/// How a claim is written as a header's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueFormat {
    /// A scalar as text; a list or an object as the base64 of its compact JSON, as jwt_authn does.
    #[default]
    Auto,
    /// A list of scalars with commas between them; a scalar as text.
    Csv,
    /// Compact JSON.
    Json,
    /// Base64 of the text of a string, or of the compact JSON of anything else.
    Base64,
}

const FIELDS: &[&str] = &[
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

pub(super) fn read(name: String, node: &Node<'_>, names: &mut Names) -> Result<Provider, ConfigError> {
    if name.is_empty() {
        return Err(node.invalid("a provider needs a name"));
    }
    let mut fields = node.fields(FIELDS)?;
    let issuer_node = fields.require("issuer", "write the tokens' `iss` exactly")?;
    let issuer = issuer_node.name()?;
    let issuer_pattern = issuer::read(&issuer_node, &mut fields)?;
    let audiences = read_audiences(&mut fields)?;
    let keys = read_key_source(&mut fields, &issuer)?;
    let algorithms = read_algorithms(&mut fields)?;
    let mut token_types = fields.names("token_types")?;
    let profile = fields
        .take("profile")
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
        .take("require_expiration")
        .map_or(Ok(true), |node| node.bool())?;
    let clock_skew = match fields.take("clock_skew_seconds") {
        Some(node) => Duration::from_secs(node.integer(0..=MAX_SKEW_SECONDS)?),
        None => DEFAULT_CLOCK_SKEW,
    };
    let max_lifetime = match fields.take("max_lifetime") {
        Some(node) => Some(node.duration(Duration::from_secs(1)..=Duration::from_secs(3650 * 86_400))?),
        None => None,
    };
    let subjects = fields
        .take("subjects")
        .map(|node| string_matcher::read(&node))
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
        .take("binding")
        .map_or_else(|| Ok(Binding::default()), |node| binding::read(&node, names))?;
    let locations = location::read(&mut fields, binding.dpop().is_some(), names)?;
    let forward = fields.flag("forward")?;
    let mut own: Vec<usize> = Vec::new();
    let forward_payload_header = match fields.take("forward_payload_header") {
        Some(node) => {
            let header = names.owned_header(&header_name::read_owned(&node)?);
            own.push(header);
            Some(header)
        }
        None => None,
    };
    let mut claim_to_headers = Vec::new();
    if let Some(node) = fields.take("claim_to_headers") {
        for element in node.list()? {
            let entry = read_claim_to_header(&element, names)?;
            if own.contains(&entry.header) {
                return Err(element.invalid("another claim of this provider is written to the same header"));
            }
            own.push(entry.header);
            claim_to_headers.push(entry);
        }
    }
    let pads_payload = fields.flag("pad_forward_payload_header")?;
    let metadata = read_metadata(&mut fields)?;
    let clear_route_cache = fields.flag("clear_route_cache")?;
    // Verified tokens are remembered without being asked.
    if let Some(node) = fields.take("jwt_cache_config") {
        let mut fields = node.fields(&["jwt_cache_size", "jwt_max_token_size"])?;
        for field in ["jwt_cache_size", "jwt_max_token_size"] {
            if let Some(node) = fields.take(field) {
                node.integer(0..=u64::from(u32::MAX))?;
            }
        }
    }
    Ok(Provider {
        name: name.into(),
        issuer: issuer.into(),
        issuer_pattern,
        audiences,
        keys,
        algorithms,
        token_types,
        require_expiration,
        clock_skew,
        max_lifetime,
        subjects,
        profile,
        required_claims,
        binding,
        locations,
        forward,
        forward_payload_header,
        pads_payload,
        claim_to_headers,
        metadata,
        clear_route_cache,
    })
}

const AUDIENCES_FIX: &str = "write whom the tokens are for, or [\"*\"] to accept tokens for anybody";

fn read_audiences(fields: &mut Fields<'_>) -> Result<Audiences, ConfigError> {
    let node = fields.require("audiences", AUDIENCES_FIX)?;
    read_audience_list(&node)
}

pub(super) fn read_audience_list(node: &Node<'_>) -> Result<Audiences, ConfigError> {
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
    Ok(Audiences::OneOf(audiences))
}

fn read_key_source(fields: &mut Fields<'_>, issuer: &str) -> Result<KeySource, ConfigError> {
    let discovery = fields.take("discovery");
    let remote = fields.take("remote_jwks");
    let local = fields.take("local_jwks");
    let key_cache = fields.take("key_cache");
    let read_key_cache = || match &key_cache {
        Some(node) => remote::read_key_cache(node),
        None => Ok(remote::KeyCache::default()),
    };
    match (discovery, remote, local) {
        (Some(node), None, None) => discovery::read(&node, issuer, read_key_cache()?).map(KeySource::Remote),
        (None, Some(node), None) => remote::read(&node, read_key_cache()?).map(KeySource::Remote),
        (None, None, Some(node)) => match &key_cache {
            Some(key_cache) => Err(key_cache.invalid(
                "`local_jwks` are never fetched; `key_cache` goes with `discovery` or `remote_jwks`",
            )),
            None => Ok(KeySource::Local(read_local_jwks(&node)?)),
        },
        (None, None, None) => Err(fields.error(ConfigProblem::Invalid(
            "where do the keys come from? write one of `discovery`, `remote_jwks`, `local_jwks`".to_owned(),
        ))),
        (discovery, remote, local) => {
            // The last of them is named as the one too many.
            let surplus = local.or(remote).or(discovery);
            let what =
                "a provider has one source of keys: write one of `discovery`, `remote_jwks`, `local_jwks`";
            Err(match surplus {
                Some(node) => node.invalid(what),
                None => fields.error(ConfigProblem::Invalid(what.to_owned())),
            })
        }
    }
}

fn read_local_jwks(node: &Node<'_>) -> Result<ParsedJwkSet, ConfigError> {
    let (inline, document) = data_source::read(
        node,
        "write the JWKS document, as a string",
        "write the document into `inline_string`, or serve it and write `remote_jwks`",
    )?;
    match JwkSet::parse(&document) {
        Ok(parsed) => Ok(parsed),
        Err(fault) => Err(inline.invalid(format!(
            "not a usable JWKS document: {fault}{}",
            match fault {
                JwksFault::Json(_) | JwksFault::NoUsableKey(_) => "",
                _ => r#"; it looks like {"keys":[{"kty":…}]}"#,
            }
        ))),
    }
}

fn read_metadata(fields: &mut Fields<'_>) -> Result<Metadata, ConfigError> {
    // An empty name is none, as in jwt_authn.
    let mut name = |field| {
        let text = fields.take(field).map(|node| node.text()).transpose()?;
        Ok(text.filter(|text| !text.is_empty()).map(String::into_boxed_str))
    };
    let (payload, header, failed_status) = (
        name("payload_in_metadata")?,
        name("header_in_metadata")?,
        name("failed_status_in_metadata")?,
    );
    let mut space_delimited = Vec::new();
    if let Some(node) = fields.take("normalize_payload_in_metadata") {
        let mut inner = node.fields(&["space_delimited_claims"])?;
        space_delimited = inner.names("space_delimited_claims")?;
        if payload.is_none() {
            return Err(node.invalid("goes with `payload_in_metadata`"));
        }
    }
    Ok(Metadata {
        payload,
        space_delimited,
        header,
        failed_status,
    })
}

pub(super) fn read_algorithms(fields: &mut Fields<'_>) -> Result<AlgorithmSet, ConfigError> {
    let Some(node) = fields.take("algorithms") else {
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

fn read_claim_to_header(node: &Node<'_>, names: &mut Names) -> Result<ClaimToHeader, ConfigError> {
    let mut fields = node.fields(&["header_name", "claim_name", "claim_path", "format"])?;
    let header = fields.require("header_name", "write the header that takes the claim")?;
    let header = names.owned_header(&header_name::read_owned(&header)?);
    let claim = read_claim(node, &mut fields)?;
    let format = match fields.take("format") {
        Some(node) => node.one_of(&[
            ("auto", ValueFormat::Auto),
            ("csv", ValueFormat::Csv),
            ("json", ValueFormat::Json),
            ("base64", ValueFormat::Base64),
        ])?,
        None => ValueFormat::Auto,
    };
    Ok(ClaimToHeader {
        claim,
        header,
        format,
    })
}

pub(super) fn read_claim(node: &Node<'_>, fields: &mut Fields<'_>) -> Result<ClaimPath, ConfigError> {
    match (fields.take("claim_name"), fields.take("claim_path")) {
        (Some(name), None) => Ok(ClaimPath::Name(name.name()?.into())),
        (None, Some(path)) => {
            let mut keys = Vec::new();
            for step in path.some_list()? {
                let mut fields = step.fields(&["key"])?;
                keys.push(fields.require("key", "write the member's name")?.text()?.into());
            }
            Ok(ClaimPath::Literal(keys))
        }
        _ => Err(node.invalid("write one of `claim_name`, `claim_path`")),
    }
}
