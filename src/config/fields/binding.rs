//! How tokens are bound to their clients.

use std::time::Duration;

use crate::binding::Check;
use crate::binding::replay::WIDEST_WINDOW;
use crate::config::field::{
    Flag, FlagOrNested, Nested, NestedOrOff, Or, Refused, SomeStrings, Span, Text, Whole, WordOr, object,
};

const CHECKS: &[(&str, Check)] = &[
    ("off", Check::Off),
    ("if_present", Check::IfPresent),
    ("required", Check::Required),
];

object! {
    /// `providers.<name>.binding`.
    BindingObject at "providers.<name>.binding" {
        /// `cnf["x5t#S256"]` must be the hash of the client's certificate
        mtls: WordOr<Check> = WordOr(CHECKS, Check::Off);
        /// the filter takes the certificate from `x-forwarded-client-cert`; `true`: from its only element;
        /// for `mtls` only
        trust_xfcc: FlagOrNested<TrustXfccObject> = FlagOrNested::NEW, default "false";
        /// how the filter checks [proofs of possession](authorization.md#tokens-bound-to-a-client)
        dpop: NestedOrOff<DpopObject> = NestedOrOff::NEW;
    }
    relations [
        needs(on(Self::trust_xfcc.name), [word(Self::mtls.name, ["if_present", "required"])]),
    ]
}

object! {
    /// `providers.<name>.binding.trust_xfcc`.
    TrustXfccObject at "providers.<name>.binding.trust_xfcc" {
        /// how many elements at the end describe [proxies](authorization.md#tokens-bound-to-a-client); the
        /// element before them describes the client
        trusted_hops: Whole = Whole(0, 8), required "write how many elements at the end describe proxies; for a single element, write `trust_xfcc: true`";
    }
}

object! {
    /// `providers.<name>.binding.dpop`.
    DpopObject at "providers.<name>.binding.dpop" {
        /// the filter refuses a token that is not bound to a key
        required: Or<Flag> = Or(Flag, false);
        /// how far the `iat` of a proof may differ from the current time
        window: Or<Span> = Or(Span(Duration::from_secs(5), WIDEST_WINDOW), Duration::from_secs(60));
        /// a proof must contain a [nonce](authorization.md#nonces) of this filter; `true`: with the defaults;
        /// not together with `strip_failure_response`
        nonce: FlagOrNested<NonceObject> = FlagOrNested::NEW, default "false";
        /// `alg` of a proof must be one of these
        algorithms: SomeStrings = SomeStrings, default "[RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA]", values "`RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `ES512`, `EdDSA`";
    }
}

object! {
    /// `providers.<name>.binding.dpop.nonce`.
    NonceObject at "providers.<name>.binding.dpop.nonce" {
        /// how long a nonce is valid
        lifetime: Or<Span> = Or(Span(Duration::from_secs(5), Duration::from_secs(3600)), Duration::from_secs(5 * 60));
        /// the key of the MAC in nonces; without it each Envoy process generates its own
        secret: Nested<NonceSecretObject> = Nested::NEW;
    }
}

object! {
    /// `providers.<name>.binding.dpop.nonce.secret`.
    NonceSecretObject at "providers.<name>.binding.dpop.nonce.secret" {
        /// a random secret
        inline_string: Text = Text, required "write the secret, as a string", values "32 bytes or more";
        /// the same in base64
        inline_bytes: Text = Text, values "base64 of 32 bytes or more";
        filename: Refused = Refused;
        environment_variable: Refused = Refused;
        watched_directory: Refused = Refused;
        name: Refused = Refused, fix "write the name of the secret";
        sds_config: Refused = Refused;
    }
    relations [
        some([present(Self::inline_string.name), present(Self::inline_bytes.name)]),
    ]
}
