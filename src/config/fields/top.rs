//! The whole configuration, and its parts that belong to no provider or rule.

use std::time::Duration;

use super::provider::ProviderObject;
use super::rules::{EntryObject, RequirementObject, RuleObject};
use super::shared::{MODES, ProtectedResourceObject};
use crate::config::field::{
    Flag, ListOf, MapOf, Name, Nested, Or, Refused, Span, Text, Whole, WordOr, object,
};
use crate::policy::Mode;
use crate::reply::BodyFormat;
use crate::request::SpellingAction;
use crate::settings::SignatureBackend;

const SPELLING_ACTIONS: &[(&str, SpellingAction)] = &[
    ("DROP_HEADER", SpellingAction::DropHeader),
    ("REJECT_REQUEST", SpellingAction::RejectRequest),
    ("ALLOW", SpellingAction::Allow),
];

const SIGNATURE_BACKENDS: &[(&str, SignatureBackend)] = &[
    ("auto", SignatureBackend::Auto),
    ("sandbox", SignatureBackend::Sandbox),
    ("host", SignatureBackend::Host),
];

const BODIES: &[(&str, BodyFormat)] = &[
    ("json", BodyFormat::Json),
    ("text", BodyFormat::Text),
    ("none", BodyFormat::None),
];

object! {
    /// The whole configuration.
    TopObject at "" {
        /// the accepted issuers, each under a name that you choose
        providers: MapOf<ProviderObject> = MapOf::NEW, required "write at least one issuer whose tokens are accepted", values "1 to 1000";
        /// [which request needs a token](#which-request-needs-a-token); the first rule that matches applies
        rules: ListOf<RuleObject> = ListOf::NEW, default "[]", values "at most 10000";
        /// named requirements, for rules and for [routes](#requirements-by-name)
        requirement_map: MapOf<EntryObject> = MapOf::NEW, default "{}";
        /// requirements that [another filter](#requirements-by-name) selects
        filter_state_rules: Nested<FilterStateRulesObject> = Nested::NEW;
        /// [`shadow`](#trying-a-policy-out): the filter refuses nothing, and only counts
        mode: WordOr<Mode> = WordOr(MODES, Mode::Enforce);
        /// with `mode: shadow`: the percentage of [clients](authorization.md#rolling-a-policy-out) in shadow
        /// mode, 100 by default; the filter enforces the policy for the others
        shadow_percent: Whole = Whole(0, 100);
        /// with `mode: shadow` for every rule and every client: requests go on [exactly as they
        /// came](#trying-a-policy-out), with the headers that the client sent
        shadow_changes_nothing: Or<Flag> = Or(Flag, false);
        /// [metadata](authorization.md#protected-resource-metadata) after RFC 9728, and challenges that refer
        /// to it
        protected_resource: Nested<ProtectedResourceObject> = Nested::NEW;
        /// what the filter writes into [filter state](authorization.md#access-log) for the access log
        filter_state: Nested<FilterStateObject> = Nested::NEW, default "{}";
        /// CORS preflight requests need no token
        bypass_cors_preflight: Or<Flag> = Or(Flag, false);
        /// refusals have no body and no challenge
        strip_failure_response: Or<Flag> = Or(Flag, false);
        /// the treatment of [other spellings](#other-spellings-of-a-header) of the headers that this
        /// configuration names
        headers_with_underscores_action: WordOr<SpellingAction> = WordOr(SPELLING_ACTIONS, SpellingAction::DropHeader);
        /// a part of the names of metrics, see [operating.md](operating.md#metrics)
        stat_prefix: Text = Text, default "\"\"", values "letters, digits, `_`, `-`, `.`";
        /// who verifies signatures, see [performance.md](performance.md#who-verifies-signatures)
        signature_backend: WordOr<SignatureBackend> = WordOr(SIGNATURE_BACKENDS, SignatureBackend::Auto);
        /// [the form of refusals](#replies)
        response: Nested<ResponseObject> = Nested::NEW, default "{}";
        /// limits on the resources that a client can use
        limits: Nested<LimitsObject> = Nested::NEW, default "{}";
        /// the `user-agent` of requests to issuers; `proxy-wasm-jwt/<version>` by default, see
        /// [keys.md](keys.md#what-a-fetch-sends)
        user_agent: Name = Name, values "printable ASCII, not more than 256 bytes";
        /// how the filter protects its [shared data](keys.md#other-modules-with-the-same-vm_id) from other
        /// modules
        shared_data: Nested<SharedDataObject> = Nested::NEW, default "{}";
    }
    relations [
        count(Self::providers.name, 1, Some(super::shared::MAX_PROVIDERS)),
        count(Self::rules.name, 0, Some(super::shared::MAX_RULES)),
        needs(present(Self::shadow_percent.name), [word(Self::mode.name, ["shadow"])]),
        needs(yes(Self::shadow_changes_nothing.name), [word(Self::mode.name, ["shadow"])]),
        without(
            yes(Self::strip_failure_response.name),
            [among(
                Self::providers.name,
                within(
                    ProviderObject::binding.name,
                    within(
                        super::binding::BindingObject::dpop.name,
                        on(super::binding::DpopObject::nonce.name),
                    ),
                ),
            )],
        ),
    ]
}

object! {
    /// `filter_state_rules`.
    FilterStateRulesObject at "filter_state_rules" {
        /// the name of the filter state
        name: Name = Name, required "write the name of the filter state";
        /// requirements by the value of that filter state
        requires: MapOf<RequirementObject> = MapOf::NEW, default "{}";
    }
}

object! {
    /// `filter_state`.
    FilterStateObject at "filter_state" {
        /// `wasm.jwt.sub`, the `sub` of the verified token, [on one
        /// line](#for-other-filters-and-the-access-log); also on 403
        subject: Or<Flag> = Or(Flag, false);
        /// `wasm.jwt.rule`; also on refusals
        rule: Or<Flag> = Or(Flag, false);
        /// `wasm.jwt.decision` for every request, and not only for requests that shadow mode allows
        decision: Or<Flag> = Or(Flag, false);
        /// `wasm.jwt.token` on refusals: the [unverified content of the
        /// token](authorization.md#the-refused-token); also in the debug log
        token: Or<Flag> = Or(Flag, false);
    }
}

object! {
    /// `response`.
    ResponseObject at "response" {
        /// the `realm` of the challenge
        realm: Name = Name, default "jwt", values "printable ASCII";
        /// the form of the body
        body: WordOr<BodyFormat> = WordOr(BODIES, BodyFormat::Json);
    }
}

object! {
    /// `limits`.
    LimitsObject at "limits" {
        /// the filter refuses a longer token without parsing it
        max_token_bytes: Or<Whole> = Or(Whole(256, 1_048_576), 16_384);
        /// how many requests may wait for keys at the same time, in each worker; a request takes one place
        /// for each 8 KiB
        max_waiting_requests: Or<Whole> = Or(Whole(0, 1_000_000), 1024);
        /// how long a request may wait for keys
        max_wait: Or<Span> = Or(Span(Duration::ZERO, Duration::from_secs(60)), Duration::from_secs(5));
        /// the size of each worker's cache of verified tokens (4 KiB each on average), and of its cache of
        /// refused tokens; 0: no cache
        token_cache_entries: Or<Whole> = Or(Whole(0, 100_000), 1000);
    }
}

object! {
    /// `shared_data`.
    SharedDataObject at "shared_data" {
        /// the secret for the MAC of the filter's entries; without it, the filter derives the key of the MAC
        /// from the whole configuration
        secret: Nested<SharedSecretObject> = Nested::NEW;
    }
}

object! {
    /// `shared_data.secret`.
    SharedSecretObject at "shared_data.secret" {
        /// random text
        inline_string: Text = Text, required "write the secret, as a string", values "32 bytes or more";
        /// the same in base64
        inline_bytes: Text = Text, values "base64 of 32 bytes or more";
        filename: Refused = Refused;
        environment_variable: Refused = Refused;
        watched_directory: Refused = Refused;
    }
    relations [
        some([present(Self::inline_string.name), present(Self::inline_bytes.name)]),
    ]
}
