//! A provider, and the headers with the claims of its tokens.

use std::time::Duration;

use super::binding::BindingObject;
use super::keys::{DiscoveryObject, KeyCacheObject, LocalJwksObject, RemoteJwksObject};
use super::matchers::StringMatcherObject;
use super::rules::AuthorizeObject;
use super::shared::ClaimStepObject;
use crate::claims::Profile;
use crate::config::field::{
    Flag, Form, ListOf, Mapped, Name, Names, Nested, NestedOrOff, Or, SomeForms, SomeOf, SomeStrings, Span,
    Strings, Text, Whole, Word, WordOr, object,
};
use crate::forward::ValueFormat;

const PROFILES: &[(&str, Profile)] = &[("rfc9068", Profile::Rfc9068)];

const PREFERRED: &[(&str, Preferred)] = &[
    ("header", Preferred::Header),
    ("param", Preferred::Parameter),
    ("cookie", Preferred::Cookie),
];

/// The kind of location that takes precedence: `prefer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Preferred {
    Header,
    Parameter,
    Cookie,
}

const FORMATS: &[(&str, ValueFormat)] = &[
    ("auto", ValueFormat::Auto),
    ("csv", ValueFormat::Csv),
    ("json", ValueFormat::Json),
    ("base64", ValueFormat::Base64),
];

object! {
    /// `providers.<name>`.
    ProviderObject at "providers.<name>" {
        /// the `iss` of tokens, compared exactly; a list names the spellings of one issuer
        issuer: SomeForms = SomeForms, required "write the tokens' `iss` exactly", values "without `*`; not more than 8";
        /// claims that must equal the [variables](authorization.md#many-tenants-one-issuer) of the issuer
        issuer_claims: Mapped = Mapped, values "1 to 8";
        /// `aud` must contain one of these, compared exactly; `["*"]` accepts every token, including one
        /// without `aud`
        audiences: Names = Names, required "write whom the tokens are for, or [\"*\"] to accept tokens for any audience";
        /// keys from the URL in the issuer's metadata; exactly one of `discovery`, `remote_jwks` and
        /// `local_jwks` is required
        discovery: Nested<DiscoveryObject> = Nested::NEW;
        /// keys from a URL
        remote_jwks: Nested<RemoteJwksObject> = Nested::NEW;
        /// keys in the configuration itself
        local_jwks: Nested<LocalJwksObject> = Nested::NEW;
        /// how the filter caches fetched keys; for `discovery` and `remote_jwks` only
        key_cache: Nested<KeyCacheObject> = Nested::NEW, default "{}";
        /// `alg` must be one of these; without this field any, but [`PS…` only with keys that name
        /// it](#checks-and-their-order)
        algorithms: SomeStrings = SomeStrings, values "`RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `ES512`, `EdDSA`";
        /// `typ` must be one of these; an empty list accepts any `typ`, and its absence
        token_types: Names = Names, default "[]", values "media types";
        /// the filter refuses a token without `exp`
        require_expiration: Or<Flag> = Or(Flag, true);
        /// how far the issuer's clock may differ
        clock_skew_seconds: Or<Whole> = Or(Whole(0, 86_400), 60);
        /// how far in the future `exp` may be; with this field a token without `exp` is refused
        max_lifetime: Span = Span(Duration::from_secs(1), Duration::from_secs(3650 * 86400));
        /// `sub` must match
        subjects: Nested<StringMatcherObject> = Nested::NEW;
        /// claims that must be present and not `null`; named as in `claim_name`
        required_claims: Names = Names, default "[]";
        /// [scopes and claims](#scopes-and-claims) that every token of this provider must have, without
        /// `optional` and `equals_request`; the filter answers 401 `token_rejected` to other tokens
        authorize: Nested<AuthorizeObject> = Nested::NEW;
        /// access tokens after RFC 9068: `typ` is `at+jwt`; `iss`, `exp`, `aud`, `sub`, `client_id`, `iat`
        /// and `jti` are present; `sub`, `client_id` and `jti` are non-empty strings; not together with
        /// `token_types`
        profile: Word<Profile> = Word(PROFILES);
        /// how the filter checks that tokens are [bound to their
        /// clients](authorization.md#tokens-bound-to-a-client)
        binding: NestedOrOff<BindingObject> = NestedOrOff::NEW, default "{}", values "or `off`";
        /// [headers that may hold the token](#where-the-filter-looks-for-tokens)
        from_headers: ListOf<FromHeaderObject> = ListOf::NEW, default "[{name: authorization, value_prefix: \"Bearer \"}]";
        /// query parameters that may hold the token
        from_params: Strings = Strings, default "[]";
        /// cookies that may hold the token
        from_cookies: Strings = Strings, default "[]";
        /// if locations hold [different tokens](#where-the-filter-looks-for-tokens), the filter uses the
        /// token in a location of this kind
        prefer: Word<Preferred> = Word(PREFERRED);
        /// the token stays in the request
        forward: Or<Flag> = Or(Flag, false);
        /// receives the payload of the token, base64url as in the token
        forward_payload_header: Form = Form, values "a header's name";
        /// adds padding to that header
        pad_forward_payload_header: Or<Flag> = Or(Flag, false);
        /// [claims that become headers](#what-the-upstream-receives)
        claim_to_headers: ListOf<ClaimToHeaderObject> = ListOf::NEW, default "[]";
        /// Envoy selects the route again after the filter has written claims into headers
        clear_route_cache: Or<Flag> = Or(Flag, false);
        /// writes the claims into [filter state](#what-the-upstream-receives) under this name
        payload_in_metadata: Text = Text, default "\"\"";
        /// needs `payload_in_metadata`
        normalize_payload_in_metadata: Nested<NormalizeObject> = Nested::NEW;
        /// writes the header of the token into filter state under this name
        header_in_metadata: Text = Text, default "\"\"";
        /// writes the reason of a refusal into filter state under this name
        failed_status_in_metadata: Text = Text, default "\"\"";
        /// accepted for compatibility with jwt_authn, no effect
        jwt_cache_config: Nested<JwtCacheObject> = Nested::NEW;
    }
    relations [
        one([present(Self::discovery.name), present(Self::remote_jwks.name), present(Self::local_jwks.name)]),
        without(present(Self::local_jwks.name), [present(Self::key_cache.name)]),
        without(present(Self::profile.name), [filled(Self::token_types.name)]),
        needs(present(Self::normalize_payload_in_metadata.name), [filled(Self::payload_in_metadata.name)]),
        never(within(Self::authorize.name, yes(AuthorizeObject::optional.name))),
        never(within(
            Self::authorize.name,
            among(AuthorizeObject::claims.name, present(super::rules::ConditionObject::equals_request.name)),
        )),
        count(Self::issuer.name, 1, Some(super::shared::MAX_SPELLINGS)),
        count(Self::issuer_claims.name, 1, Some(super::shared::MAX_VARIABLES)),
        count(Self::audiences.name, 1, None),
    ]
}

object! {
    /// `providers.<name>.from_headers[]`.
    FromHeaderObject at "providers.<name>.from_headers[]" {
        /// the header, in any case
        name: Form = Form, required "write the header that carries the token", values "a header's name";
        /// the text before the token; note the space in `"Bearer "`
        value_prefix: Text = Text, default "\"\"";
    }
}

object! {
    /// `providers.<name>.normalize_payload_in_metadata`.
    NormalizeObject at "providers.<name>.normalize_payload_in_metadata" {
        /// claims whose text the filter splits into a list of words, such as `scope`
        space_delimited_claims: Names = Names, default "[]";
    }
}

object! {
    /// `providers.<name>.jwt_cache_config`.
    JwtCacheObject at "providers.<name>.jwt_cache_config" {
        /// no effect
        jwt_cache_size: Whole = Whole(0, 4_294_967_295);
        /// no effect
        jwt_max_token_size: Whole = Whole(0, 4_294_967_295);
    }
}

object! {
    /// `providers.<name>.claim_to_headers[]`.
    ClaimToHeaderObject at "providers.<name>.claim_to_headers[]" {
        /// the header that receives the claim
        header_name: Form = Form, required "write the header that takes the claim", values "a header's name";
        /// the claim; exactly one of `claim_name` and `claim_path` is required
        claim_name: Name = Name;
        /// the claim, as a path of member names
        claim_path: SomeOf<ClaimStepObject> = SomeOf::NEW;
        /// [the format of the claim](#formats)
        format: WordOr<ValueFormat> = WordOr(FORMATS, ValueFormat::Auto);
    }
    relations [
        one([present(Self::claim_name.name), present(Self::claim_path.name)]),
    ]
}
