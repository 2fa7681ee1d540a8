//! The list of configurations that jwt_authn accepts and this filter refuses on purpose.

use proxy_wasm_jwt::config::Config;
use serde_json::{Value, json};
use testkit::{Bootstrap, EnvoyOptions, EnvoyProcess, Listener, SigningKey, Upstream, encode_segment};

use crate::directed::one;
use crate::listeners::native;
use crate::world::{SECRET, idps};

/// A configuration that is refused.
pub(crate) struct Refusal {
    /// Stable: documents and issues refer to it.
    pub(crate) id: &'static str,
    /// The configuration in words.
    pub(crate) what: &'static str,
    /// The behavior of jwt_authn.
    pub(crate) theirs: &'static str,
    pub(crate) why: &'static str,
    config: fn() -> Value,
    /// A part of the message.
    says: &'static str,
}

pub(crate) const ALL: &[Refusal] = &[
    Refusal {
        id: "audiences-missing",
        what: "A provider without `audiences`",
        theirs: "accepts tokens for any audience.",
        why: "A token for another application of the same issuer would be valid here. Write `[\"*\"]` if that is intended.",
        config: || one(json!({"audiences": null})),
        says: "`audiences` is missing",
    },
    Refusal {
        id: "issuer-missing",
        what: "A provider without `issuer`",
        theirs: "accepts tokens with any `iss`.",
        why: "The issuer selects the key. Without it, any key that fits could sign tokens of every issuer.",
        config: || one(json!({"issuer": null})),
        says: "`issuer` is missing",
    },
    Refusal {
        id: "keys-in-a-file",
        what: "`local_jwks` with `filename`, `environment_variable` or `watched_directory`",
        theirs: "reads the file.",
        why: "A module cannot read files. The message says what to write instead.",
        config: || {
            let path = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("jwks.json");
            std::fs::write(&path, testkit::jwks(&[&idps()[0].keys[0]]).to_string())
                .expect("the key set is written");
            one(json!({"local_jwks": {"filename": path}}))
        },
        says: "a module cannot read files or the environment",
    },
    Refusal {
        id: "shared-secret",
        what: "`local_jwks` with `oct` keys only",
        theirs: "accepts HS256, HS384 and HS512.",
        why: "Every verifier of such a token can also make one (RFC 8725 section 3.5).",
        config: || keys(&json!({"kty": "oct", "alg": "HS256", "k": encode_segment(SECRET)})),
        says: "the key set has no usable key",
    },
    Refusal {
        id: "private-key",
        what: "`local_jwks` with the private half of the keys",
        theirs: "uses the public half.",
        why: "A private key in the configuration of a proxy is no longer private, so its tokens prove nothing.",
        config: || {
            let mut key = SigningKey::public_jwk(&idps()[0].keys[1]);
            key["d"] = "AAAA".into();
            keys(&key)
        },
        says: "the key set has no usable key",
    },
    Refusal {
        id: "unverified-claims",
        what: "`extract_only_without_validation`",
        theirs: "forwards the unverified claims of any client.",
        why: "The client can write any claim into an unverified token, and an upstream cannot recognize that.",
        config: || {
            ruled(json!({"match": {"prefix": "/"}, "requires": {"extract_only_without_validation": {}}}))
        },
        says: "the filter does not forward claims of an unverified token",
    },
    Refusal {
        id: "empty-requirement-in-a-group",
        what: "`{}` as a member of `requires_any` or `requires_all`",
        theirs: "is met by every request.",
        why: "One empty line would remove the protection of a rule.",
        config: || {
            let parts = json!([{"provider_name": "corp"}, {}]);
            ruled(json!({"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": parts}}}))
        },
        says: "every request meets an empty requirement in a list",
    },
    Refusal {
        id: "match-that-is-ignored",
        what: "`runtime_fraction`, `grpc`, `tls_context`, `dynamic_metadata` in a `match`",
        theirs: "ignores them silently.",
        why: "The rule would match more requests than its author intends.",
        config: || {
            ruled(json!({"match": {"prefix": "/", "grpc": {}}, "requires": {"provider_name": "corp"}}))
        },
        says: "neither this filter nor jwt_authn reads it",
    },
    Refusal {
        id: "two-claims-in-one-header",
        what: "Two entries of `claim_to_headers` with the same header",
        theirs: "writes the header twice.",
        why: "Upstreams differ in the value that they read.",
        config: || {
            one(json!({"claim_to_headers": [
                {"claim_name": "sub", "header_name": "x-user"}, {"claim_name": "email", "header_name": "X-User"}
            ]}))
        },
        says: "another claim of this provider is written to the same header",
    },
    Refusal {
        id: "claims-in-framing-headers",
        what: "A claim or the payload in `host`, `content-length`, `transfer-encoding` or the like",
        theirs: "writes the header.",
        why: "A claim would change the meaning of the request.",
        config: || one(json!({"forward_payload_header": "transfer-encoding"})),
        says: "carries the message itself and cannot hold a claim",
    },
    Refusal {
        id: "relative-path",
        what: "`prefix` or `path` that does not begin with `/`, or holds `?`; `safe_regex` with `\\?`",
        theirs: "matches no path, or the query.",
        why: "This is a mistake: such a rule leaves its paths to the next one.",
        config: || ruled(json!({"match": {"prefix": "orders"}, "requires": {"provider_name": "corp"}})),
        says: "a path begins with `/`",
    },
    Refusal {
        id: "wildcard-in-a-path",
        what: "`*`, `{` or `}` in `path`, `prefix` or `path_separated_prefix`",
        theirs: "matches the characters themselves.",
        why: "In other products, `/admin/*` is a prefix. Here such a rule would protect nothing. The message \
              says what to write.",
        config: || ruled(json!({"match": {"prefix": "/admin/*"}, "requires": {"provider_name": "corp"}})),
        says: "write `prefix: /admin/`",
    },
    Refusal {
        id: "wildcard-in-a-value",
        what: "`*` in `audiences` beside other characters, or in `subjects`",
        theirs: "matches the character itself.",
        why: "Other products read it as a pattern; here it would match no token.",
        config: || one(json!({"audiences": ["https://*.example.com"]})),
        says: "audiences are compared exactly",
    },
    Refusal {
        id: "variable-in-a-path",
        what: "`/api/:id`, `/users/<id>`, `^/api/.*`, a space or a letter beyond ASCII in `path` or `prefix`",
        theirs: "matches the characters themselves.",
        why: "Express, Flask and others read variables and patterns there; here such a rule would guard nothing.",
        config: || ruled(json!({"match": {"prefix": "/api/:id"}, "requires": {"provider_name": "corp"}})),
        says: "a variable in it would match only itself",
    },
    Refusal {
        id: "path-that-is-not-normalized",
        what: "An empty segment, `.`, `..` or an escape of a plain character in `path` or `prefix` (`/a//b`, `/%61dmin`)",
        theirs: "compares this text with a path that Envoy has normalized, so that it never matches.",
        why: "Such a rule leaves the usual spelling of its path to the next one.",
        config: || ruled(json!({"match": {"prefix": "/%61dmin"}, "requires": {"provider_name": "corp"}})),
        says: "write `/admin`",
    },
    Refusal {
        id: "several-values-in-one",
        what: "A comma in an element of `audiences`, or two addresses with a comma between them in `issuer` or `uri`",
        theirs: "compares or fetches the text as one.",
        why: "It is usually a list from an environment variable, and equals no `aud`. For an `aud` with a comma, write \
              `[\"*\"]` and a condition on `aud` under `authorize`.",
        config: || one(json!({"audiences": ["orders-api,billing-api"]})),
        says: "is one element; write a list",
    },
    Refusal {
        id: "null-in-a-rule",
        what: "`null` in a rule, a requirement, a `match` or a condition, and for a provider's checks such as `subjects`",
        theirs: "treats the field as absent: `requires: {provider_name: null}` needs no token.",
        why: "Templates write `null` for a value that they do not have.",
        config: || ruled(json!({"match": {"prefix": "/"}, "requires": {"provider_name": null}})),
        says: "is null; give it a value",
    },
    Refusal {
        id: "leftovers",
        what: "White space at the ends of a name, quotes around it, a placeholder: `${ISSUER}`, `$ISSUER`, `%ISSUER%`, `{{ .Values.issuer }}`, `<your-issuer>`",
        theirs: "compares them as they are.",
        why: "Such a text equals nothing in a token or a request, or it is a name that every attacker knows.",
        config: || one(json!({"issuer": "${ISSUER}"})),
        says: "is a placeholder",
    },
    Refusal {
        id: "address-of-another-document",
        what: "The URL of a discovery document as `issuer` or in `remote_jwks`, a URL as `cluster`",
        theirs: "fetches it, finds no keys and refuses every token.",
        why: "The message says what to write.",
        config: || one(json!({"issuer": "https://idp.example.com/.well-known/openid-configuration"})),
        says: "is the URL of a document",
    },
    Refusal {
        id: "providers-with-one-metric-name",
        what: "Two providers whose names differ only in characters that metrics do not have (`a.b`, `a_b`)",
        theirs: "has no metrics by provider.",
        why: "Their metrics would have the same names.",
        config: || {
            let mut config = one(json!({}));
            let provider = config["providers"]["corp"].clone();
            config["providers"]["a.b"] = provider.clone();
            config["providers"]["a_b"] = provider;
            config
        },
        says: "metrics would have the same name",
    },
    Refusal {
        id: "rule-that-never-matches",
        what: "A rule behind one that takes all its requests",
        theirs: "never applies it.",
        why: "Its author believes that it protects these requests.",
        config: || {
            let mut config = one(json!({}));
            config["rules"] = json!([
                {"match": {"prefix": "/"}},
                {"match": {"prefix": "/admin"}, "requires": {"provider_name": "corp"}}
            ]);
            config
        },
        says: "can never match",
    },
    Refusal {
        id: "unicode-classes",
        what: "`safe_regex` with Unicode classes such as `\\pL`",
        theirs: "accepts all of RE2.",
        why: "The engine of this filter is small on purpose. It supports the rest of RE2's syntax.",
        config: || {
            let matcher = json!({"safe_regex": {"regex": "/\\pL+"}});
            ruled(json!({"match": matcher, "requires": {"provider_name": "corp"}}))
        },
        says: "the pattern cannot be read",
    },
];

fn keys(key: &Value) -> Value {
    one(json!({"local_jwks": {"inline_string": json!({"keys": [key]}).to_string()}}))
}

fn ruled(rule: Value) -> Value {
    let mut config = one(json!({}));
    config["rules"] = json!([rule]);
    config
}

#[test]
fn this_filter_explains_a_refusal_that_jwt_authn_lacks() {
    let upstream = Upstream::start();
    let mut bootstrap = Bootstrap::new().cluster("upstream", upstream.addr());
    for refusal in ALL {
        let config = (refusal.config)();
        let message = Config::parse(config.to_string().as_bytes())
            .expect_err(refusal.id)
            .to_string();
        assert!(message.contains(refusal.says), "{}: {message}", refusal.id);
        bootstrap = bootstrap.listener(Listener::new(refusal.id).filter(native(&config)));
    }
    let started = EnvoyProcess::try_start(&bootstrap.build(), &EnvoyOptions::default());
    assert!(
        started.is_ok(),
        "jwt_authn refuses one of them too:\n{}",
        started.err().unwrap_or_default()
    );
}
