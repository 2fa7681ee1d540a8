//! The list of the intentional differences from jwt_authn.
//!
//! The predicate of each deviation is as narrow as possible: it examines the request, its tokens, the
//! configuration and both outcomes, so that it does not hide a difference with another cause.

use crate::case::{Aspect, Case, Outcome};
use crate::known_faults;
use crate::predicates::*;
use crate::tokens;

/// An intentional difference.
#[derive(Debug)]
pub(crate) struct Deviation {
    /// Stable: documents and issues refer to it.
    pub(crate) id: &'static str,
    pub(crate) ours: &'static str,
    pub(crate) theirs: &'static str,
    pub(crate) why: &'static str,
    /// Whether it explains this difference of this case.
    pub(crate) explains: fn(&Case<'_>, &Aspect) -> bool,
}

/// [`crate::judge`] recognizes these by a second run, with stricter rules or with another spelling of the
/// path.
pub(crate) const NO_RULE: &str = "no-rule-matched";
pub(crate) const WAIVER: &str = "waiver-canonical-path";
pub(crate) const READINGS: &str = "every-reading-of-a-path";

pub(crate) const ALL: &[Deviation] = &[
    Deviation {
        id: NO_RULE,
        ours: "A request that no rule matches needs a token of any provider; so does every request without `rules`.",
        theirs: "The request passes unchecked.",
        why: "A forgotten rule must not permit requests. To permit all others, write `- match: {prefix: /}` last.",
        explains: |_, _| false,
    },
    Deviation {
        id: WAIVER,
        ours: "A request whose path is not canonical (dot segments, `//`, an encoded slash, backslash, dot or percent sign, a broken escape) always needs a token. A rule without `requires` does not match it. A rule that permits requests without a token does not permit this one, and neither does a requirement that a route or a filter state has selected.",
        theirs: "It matches the path as written.",
        why: "`/healthz/../admin` must not use the rule for `/healthz`, because some servers resolve it to `/admin`.",
        explains: |_, _| false,
    },
    Deviation {
        id: READINGS,
        ours: "If servers may interpret a path in several ways, the request has to meet the rules for each interpretation.",
        theirs: "It has to meet the rule for the path as written.",
        why: "`//admin`, `/%61dmin`, `/x/..;/admin`, and `/admin/` for a `path` or `safe_regex`, need what `/admin` needs, because some upstreams treat them as `/admin`.",
        explains: |_, _| false,
    },
    Deviation {
        id: "every-reading-of-a-request",
        ours: "The same holds for header fields and query parameters in a `match`: the request also has to meet the rules that one of several values, or a decoded name or value, could match. None of these interpretations bypasses a requirement.",
        theirs: "It joins the values of a header with commas, and compares the first parameter of a name as the query spells it.",
        why: "A second value, `%76=1` or `prod,x` must not evade the requirement for `v=1` or `prod`.",
        explains: |case, aspect| {
            decided(aspect)
                && case.reason().is_some()
                && matches!(case.theirs, Outcome::Forwarded(_))
                && is_read_in_several_ways(case)
        },
    },
    Deviation {
        id: "cookies-stripped",
        ours: "With `forward: false` the filter removes a token from the cookies as well.",
        theirs: "It leaves the token there.",
        why: "`forward: false` means that the upstream does not get the token.",
        explains: |case, aspect| {
            header(case, aspect).is_some_and(|(name, ours, theirs)| {
                name == "cookie"
                    && theirs == case.sent("cookie")
                    && cookies_without_tokens(case, ours, &theirs)
            })
        },
    },
    Deviation {
        id: "query-otherwise-untouched",
        ours: "If the filter removes a token from the query, the other parameters keep their bytes and their order.",
        theirs: "It decodes and sorts them, and does not always encode them again: `%20` becomes a space and `%ff` a byte, and the request gets 400.",
        why: "Signed and cached URLs survive.",
        explains: |case, aspect| match aspect {
            Aspect::Path => case.both_forward().is_some_and(|(ours, theirs)| {
                parameters(&ours.path) == parameters(&theirs.path)
                    && is_cut_from(&ours.path, &case.request.path)
            }),
            // A space, or a byte beyond ASCII, is not encoded again, so the text is not a valid path.
            _ => theirs_is(case, 400, "") && escapes_what_no_path_has(&case.request.path),
        },
    },
    Deviation {
        id: "claims-once",
        ours: "The filter writes a claim into its header once.",
        theirs: "It writes the claim once for each verification of the token, if it first has to fetch the keys.",
        why: "Two values of such a header are ambiguous to the upstream.",
        explains: |case, aspect| {
            header(case, aspect).is_some_and(|(name, ours, theirs)| {
                owned(case, name)
                    && ours.len() == 1
                    && theirs.len() > 1
                    && theirs.iter().all(|value| *value == theirs[0])
                    && (ours[0] == theirs[0]
                        || number(ours).is_some()
                        || tokens::json_in_base64(&ours[0]).is_some())
            })
        },
    },
    Deviation {
        id: "numbers-as-written",
        ours: "The filter writes a number as the token spells it: `-3`, `1.5`, integers with all their digits. A number beyond the range of a double makes the token malformed.",
        theirs: "It writes a double: `-3.000000`, `1.500000`. Integers beyond 2^53 lose digits.",
        why: "A changed account number is another account.",
        explains: |case, aspect| {
            header(case, aspect).is_some_and(|(name, ours, theirs)| {
                owned(case, name)
                    && number(ours).is_some()
                    && number(ours) == number(&theirs)
                    && any(case, |token| token.payload.contains(&ours[0]))
            })
        },
    },
    Deviation {
        id: "json-as-written",
        ours: "Lists and objects keep the order of their members and the spelling of their numbers.",
        theirs: "It writes them from an unordered map of doubles.",
        why: "The same token always gives the same header.",
        explains: |case, aspect| {
            header(case, aspect).is_some_and(|(name, ours, theirs)| {
                let json = |values: &[String]| values.first().and_then(|value| tokens::json_in_base64(value));
                owned(case, name) && json(ours).is_some() && json(ours) == json(&theirs)
            })
        },
    },
    Deviation {
        id: "literal-claim-names",
        ours: "`claim_name` is the literal name of a top-level claim if the token has that claim. Otherwise the filter splits it at dots.",
        theirs: "It always splits the name.",
        why: "The filter can forward claims with URLs as names (OpenID Connect Core section 5.1.2).",
        explains: |case, aspect| {
            header(case, aspect).is_some_and(|(name, ours, theirs)| {
                ours.len() == 1
                    && theirs.is_empty()
                    && claims_for(case, name).any(|claim| {
                        claim.contains('.') && any(case, |token| token.claims.get(claim).is_some())
                    })
            })
        },
    },
    Deviation {
        id: "audience-status",
        ours: "A token for another audience is refused with 401 `invalid_token`.",
        theirs: "403.",
        why: "RFC 6750 section 3.1: a token that is invalid \"for other reasons\" gets `invalid_token` and 401. 403 means that another token of the issuer would not help.",
        explains: |case, aspect| {
            *aspect == Aspect::Status && theirs_is(case, 403, "Audiences_in_Jwt_are_not_allowed")
        },
    },
    Deviation {
        id: "several-tokens",
        ours: "Each location may have one token; otherwise the request gets 400. Every token at a location of the requirement must be valid, and the filter forwards the claims of all of them.",
        theirs: "Each provider verifies the tokens at its own locations, until the requirement is met.",
        why: "The upstream may read another token than the filter did (RFC 6750 section 2: no more than one method).",
        explains: |case, aspect| {
            let more = match aspect {
                Aspect::Decision => case.reason().is_some(),
                Aspect::Status => case.reason() == Some("token_multiple"),
                Aspect::Path => tolerant(case),
                Aspect::Header(_) => {
                    tolerant(case)
                        || header(case, aspect).is_some_and(|(name, ours, theirs)| {
                            let speaks = owned(case, name) && ours.len() == 1 && theirs.is_empty();
                            let is_taken = header_locations(case).iter().any(|(known, _)| known == name)
                                && ours.is_empty()
                                && theirs == case.sent(name);
                            speaks || is_taken
                        })
                }
            };
            more && (places(case) > 1 || case.tokens.len() > 1)
        },
    },
    Deviation {
        id: "providers-by-location",
        ours: "`allow_missing` and `allow_missing_or_failed` try a token with the providers that use its location.",
        theirs: "They try it with any provider of the token's issuer, whatever its locations.",
        why: "A provider's audiences and keys apply to its own locations.",
        explains: |case, _| issuers_are_shared(case) && case.config.to_string().contains("\"allow_missing"),
    },
    Deviation {
        id: "first-provider-counts",
        ours: "If several providers of a `requires_any` accept a token, the first of them applies.",
        theirs: "The first provider that has keys applies.",
        why: "The claims at the upstream do not depend on the times of key fetches.",
        explains: |case, aspect| {
            matches!(aspect, Aspect::Header(_) | Aspect::Path)
                && issuers_are_shared(case)
                && case.config.to_string().contains("\"remote_jwks\"")
        },
    },
    Deviation {
        id: "one-token-for-all",
        ours: "All parts of `requires_all` see the original request: one token may meet several of them.",
        theirs: "The first part removes the token from the request unless `forward` is true, and the others do not find it.",
        why: "`requires_all` requires that the request meets all its parts.",
        explains: |case, aspect| {
            let is_so = match aspect {
                Aspect::Decision => {
                    theirs_is(case, 401, "Jwt_is_missing")
                        // If several branches failed, theirs reports another one.
                        || matches!(case.theirs, Outcome::Denied { .. }) && asks_twice(case.config)
                        || case.reason().is_some() && case.config.to_string().contains("\"allow_missing")
                }
                // If something else then lets the request pass, the token and its claims are missing.
                _ => header(case, aspect).is_some_and(|(name, ours, theirs)| {
                    owned(case, name) && ours.len() == 1 && theirs.is_empty()
                }),
            };
            is_so && case.config.to_string().contains("requires_all")
        },
    },
    Deviation {
        id: "audience-exact",
        ours: "Audiences are compared exactly.",
        theirs: "It first removes `http://`, `https://` and a final slash on both sides.",
        why: "RFC 7519 section 2: StringOrURI values are compared as case-sensitive strings with no transformations.",
        explains: |case, aspect| {
            refused(case, aspect, &["audience_mismatch"], |token| {
                audience_is_alike(case, token)
            })
        },
    },
    Deviation {
        id: "expiration-required",
        ours: "`require_expiration` is true by default: a token needs `exp`.",
        theirs: "It is false by default: a token without `exp` is valid forever.",
        why: "A token that never expires cannot be withdrawn. Write `require_expiration: false` if the issuer makes such tokens.",
        explains: |case, aspect| {
            case.providers()
                .any(|provider| provider.get("require_expiration").is_none())
                && refused(case, aspect, &["claim_missing"], |token| {
                    token.claims.get("exp").is_none()
                })
        },
    },
    Deviation {
        id: "expiration-zero",
        ours: "`exp: 0` is 1 January 1970: the token has expired.",
        theirs: "It treats the claim as absent.",
        why: "RFC 7519 section 4.1.4 has no such exception.",
        explains: |case, aspect| refused(case, aspect, &["token_expired"], |token| token.claims["exp"] == 0),
    },
    Deviation {
        id: "issued-in-the-future",
        ours: "The filter refuses a token with an `iat` in the future.",
        theirs: "It ignores `iat`.",
        why: "Such a token comes from a broken clock, or was made in advance for later use.",
        explains: |case, aspect| {
            refused(case, aspect, &["token_not_yet_valid"], |token| {
                token.claims["iat"]
                    .as_i64()
                    .is_some_and(|iat| iat > testkit::unix_now())
            })
        },
    },
    Deviation {
        id: "bound-tokens",
        ours: "A token that is bound to a key or certificate (`cnf`) needs the proof that `binding` asks for. Without `binding` the filter refuses it.",
        theirs: "It ignores `cnf`.",
        why: "RFC 7800 section 3: such a token is for the holder of the key. Without the check, a thief can use it.",
        explains: |case, aspect| {
            refused(case, aspect, &["binding_mismatch"], |token| {
                token.claims.get("cnf").is_some()
            })
        },
    },
    Deviation {
        id: "ed25519-by-its-name",
        ours: "The filter accepts the `alg` `Ed25519` as well as `EdDSA`.",
        theirs: "It refuses `Ed25519`, or forwards the request without claims where the token may be invalid.",
        why: "RFC 9864 replaces `EdDSA` by this name.",
        explains: |case, aspect| {
            let without_claims = match aspect {
                Aspect::Header(_) => tolerant(case),
                _ => decided(aspect) && theirs_is(case, 401, "[alg]_is_not_supported"),
            };
            without_claims
                && matches!(case.ours, Outcome::Forwarded(_))
                && any(case, |token| token.header["alg"] == "Ed25519")
        },
    },
    Deviation {
        id: "claims-that-fit-no-header",
        ours: "The filter leaves a claim header out if the claim has control characters, or white space at an end.",
        theirs: "It removes white space at the ends. With a control character, the request gets 503.",
        why: "A changed value names somebody else. A token that the filter accepts does not become a server error.",
        explains: |case, aspect| {
            let fits =
                |text: &str| text.trim() == text && !text.contains(|letter: char| letter.is_ascii_control());
            match header(case, aspect) {
                Some((name, ours, theirs)) => {
                    owned(case, name)
                        && ours.is_empty()
                        && theirs.len() == 1
                        && claims_for(case, name).any(|claim| {
                            any(case, |token| {
                                token
                                    .claims
                                    .get(claim)
                                    .and_then(serde_json::Value::as_str)
                                    .is_some_and(|text| !fits(text))
                            })
                        })
                }
                None => {
                    decided(aspect)
                        && matches!(case.ours, Outcome::Forwarded(_))
                        && theirs_is(case, 503, "invalid_header_value_for")
                        && any(case, |token| {
                            token.claims["sub"].as_str().is_some_and(|text| !fits(text))
                        })
                }
            }
        },
    },
    Deviation {
        id: "critical-header",
        ours: "The filter refuses `crit`, and `b64` other than true, because it implements no extension.",
        theirs: "It ignores them.",
        why: "RFC 7515 section 4.1.11: extensions that are not understood make the token invalid.",
        explains: |case, aspect| {
            refused(case, aspect, &["critical_header"], |token| {
                token.header.get("crit").is_some() || token.header["b64"] == false
            })
        },
    },
    Deviation {
        id: "strict-base64",
        ours: "The parts of a token must be base64url as in RFC 7515: no padding, no stray bits.",
        theirs: "It accepts padding and stray bits.",
        why: "A token has only one spelling, so a client cannot evade caches, logs and revocation lists with another one.",
        explains: |case, aspect| {
            refused(case, aspect, &["token_malformed"], |token| {
                !tokens::is_strict_base64(&token.text) || token.is_padded
            })
        },
    },
    Deviation {
        id: "bounded-depth",
        ours: "Claims nested deeper than 32 levels are refused.",
        theirs: "Up to 100 levels.",
        why: "Unverified input must not determine the depth of a parser.",
        explains: |case, aspect| {
            refused(case, aspect, &["token_malformed"], |token| {
                token.payload.contains(&"[".repeat(32))
            })
        },
    },
    Deviation {
        id: "no-nested-tokens",
        ours: "The filter refuses `cty: JWT`, a token within a token.",
        theirs: "It ignores `cty`, and reads the inner token as claims.",
        why: "RFC 7519 section 5.2: the signature of such a token does not cover claims.",
        explains: |case, aspect| {
            refused(case, aspect, &["token_malformed"], |token| {
                token.header["cty"] == "JWT"
            })
        },
    },
    Deviation {
        id: "typ-is-text",
        ours: "The filter refuses a `typ` that is neither a string nor null.",
        theirs: "It ignores `typ`.",
        why: "RFC 7515 section 4.1.9. `token_types` compares it.",
        explains: |case, aspect| {
            refused(case, aspect, &["token_malformed"], |token| {
                token.header["typ"].is_number()
            })
        },
    },
    Deviation {
        id: "token-size",
        ours: "The filter refuses a token longer than `limits.max_token_bytes` (16 KiB) without parsing it.",
        theirs: "Only the limit for headers applies.",
        why: "The client must not determine the cost of unverified input.",
        explains: |case, aspect| {
            refused(case, aspect, &["token_too_large"], |token| {
                token.text.len() > 16_384
            })
        },
    },
    Deviation {
        id: "named-key-only",
        ours: "The filter verifies a token with a `kid` with the keys of that name. It tries keys without `kid` only if no key has that name.",
        theirs: "It always tries the keys without `kid` too.",
        why: "The name selects the key, so that the filter does not try several keys for an unverified token.",
        explains: |case, aspect| {
            refused(case, aspect, &["key_unknown"], |token| {
                token
                    .header
                    .get("kid")
                    .is_some_and(|kid| kid == "" || key_sets(case).any(|keys| !keys.contains("\"kid\"")))
            })
        },
    },
    Deviation {
        id: "keys-for-their-use",
        ours: "The filter does not use a key with a `use` other than `sig`, or with `key_ops` without `verify`.",
        theirs: "It ignores `use` and `key_ops`.",
        why: "RFC 7517 sections 4.2 and 4.3.",
        explains: |case, aspect| {
            refused(
                case,
                aspect,
                &[
                    "key_unknown",
                    "signature_invalid",
                    "algorithm_rejected",
                    "keys_unavailable",
                ],
                |_| key_sets(case).any(|keys| keys.contains("\"enc\"") || keys.contains("[\"sign\"]")),
            )
        },
    },
    Deviation {
        id: "well-formed-keys",
        ours: "The filter skips a key of a fetched set that has a `kid`, `alg`, `use` or `key_ops` of a wrong type, an EC key without `crv`, and a key whose numbers contain white space.",
        theirs: "It ignores these faults.",
        why: "The members of a key determine its use. A faulty key says nothing reliable about it.",
        explains: |case, aspect| {
            key_is_refused(case, aspect, |key| {
                let is_broken = |name: &str| key[name].as_str().is_some_and(|text| text.contains('\n'));
                ["kid", "alg", "use"].iter().any(|name| is_no_text(key, name))
                    || key
                        .get("key_ops")
                        .is_some_and(|value| !value.is_null() && !value.is_array())
                    || key["kty"] == "EC" && key["crv"].as_str().is_none_or(str::is_empty)
                    || ["n", "x", "y"].iter().any(|name| is_broken(name))
            })
        },
    },
    Deviation {
        id: "no-private-keys",
        ours: "The filter skips a key that the issuer publishes with a private member (`d`, `p`, …).",
        theirs: "It uses the public members.",
        why: "Every reader of the document can sign with that key.",
        explains: |case, aspect| key_is_refused(case, aspect, |key| key["d"].is_string()),
    },
    Deviation {
        id: "keys-of-their-issuer",
        ours: "A key with a member `issuer` verifies only tokens of that issuer.",
        theirs: "It ignores `issuer`.",
        why: "In a document for many tenants, the key of one tenant must not sign tokens of another.",
        explains: |case, aspect| {
            key_is_refused(case, aspect, |key| {
                let named = key["issuer"].as_str().filter(|issuer| !issuer.is_empty());
                named.is_some_and(|named| case.providers().all(|provider| provider["issuer"] != named))
            })
        },
    },
    Deviation {
        id: "rsa-of-2048-bits",
        ours: "The filter skips RSA keys of fewer than 2048 bits.",
        theirs: "It uses them.",
        why: "RFC 7518 section 3.3: a key of 2048 bits or more must be used.",
        explains: |case, aspect| {
            key_is_refused(case, aspect, |key| {
                key["n"].as_str().is_some_and(|n| n.len() < 340)
            })
        },
    },
    Deviation {
        id: "strict-key-documents",
        ours: "A key document must be JSON. With a trailing comma or single quotes it is unusable.",
        theirs: "It reads the document.",
        why: "A document that two parsers read in different ways may have different keys for each.",
        explains: |case, aspect| {
            *aspect == Aspect::Decision
                && case.reason() == Some("keys_unavailable")
                && key_sets(case).any(|document| document.contains(",]") || document.starts_with("{'"))
        },
    },
    Deviation {
        id: "one-faulty-key",
        ours: "A faulty key, for example one with a duplicate member, does not affect the others. The filter skips a byte order mark in front of the document.",
        theirs: "It cannot use the document.",
        why: "One faulty key of an issuer must not lock out every client.",
        explains: |case, aspect| {
            *aspect == Aspect::Decision
                && matches!(case.ours, Outcome::Forwarded(_))
                && theirs_is(case, 401, "Jwks_remote_fetch_is_failed")
                && key_sets(case).any(|document| {
                    document.starts_with('\u{feff}') || document.contains(r#""kty":"RSA","kty":"RSA""#)
                })
        },
    },
    Deviation {
        id: "certificates-as-keys",
        ours: "The filter takes the key from the certificate (`x5c`) if a JWK has no other key material. An object that maps each `kid` to PEM may contain public keys.",
        theirs: "It skips the JWK, and reads only certificates in such an object.",
        why: "Some issuers publish keys in this form only. The certificate comes over the same connection as other keys.",
        explains: |case, aspect| {
            *aspect == Aspect::Decision
                && matches!(case.ours, Outcome::Forwarded(_))
                && matches!(case.theirs, Outcome::Denied { status: 401, .. })
                && key_sets(case).any(|document| {
                    document.contains("BEGIN PUBLIC KEY")
                        || document.contains("x5c") && !document.contains("\"n\"")
                })
        },
    },
    Deviation {
        id: "unavailable-keys",
        ours: "As long as the filter has no keys of an issuer, or cannot know whether it has a new key, it answers 503.",
        theirs: "401.",
        why: "The client is not at fault, and after a 401 it would discard a valid token. This includes an empty set, which some issuers publish before they have a key.",
        explains: |case, aspect| {
            *aspect == Aspect::Status
                && case.reason() == Some("keys_unavailable")
                && theirs_is(case, 401, "Jwks_")
        },
    },
    Deviation {
        id: "no-shared-secrets",
        ours: "The filter never accepts HS256, HS384 and HS512, and skips `oct` keys.",
        theirs: "It accepts them with an `oct` key.",
        why: "Every verifier of such a token can also make one (RFC 8725 section 3.5).",
        explains: |case, aspect| {
            refused(case, aspect, &["algorithm_rejected"], |token| {
                token.header["alg"]
                    .as_str()
                    .is_some_and(|alg| alg.starts_with("HS"))
                    && key_sets(case).any(|keys| keys.contains("\"oct\""))
            })
        },
    },
    Deviation {
        id: "algorithm-fits-the-key",
        ours: "`alg` must fit the type of the key.",
        theirs: "With a key without `alg`, it verifies an EC signature without regard to `alg`.",
        why: "RFC 8725 section 3.1: the algorithm is verified, not guessed.",
        explains: |case, aspect| {
            refused(
                case,
                aspect,
                &["key_unknown", "signature_invalid", "algorithm_rejected"],
                |token| {
                    token.header["kid"]
                        .as_str()
                        .is_some_and(|kid| kid.starts_with("es256"))
                        && token.header["alg"] == "RS256"
                        && key_sets(case).any(|keys| !keys.contains("\"alg\""))
                },
            )
        },
    },
    Deviation {
        id: "pss-by-keys-that-say-so",
        ours: "Without `algorithms`, `PS256`, `PS384` and `PS512` need a key with that `alg`.",
        theirs: "It verifies them with any RSA key without `alg`.",
        why: "The sender of a token must choose neither the scheme (RFC 8725 section 3.1) nor the slowest check. Write `algorithms` if the issuer uses PSS and its keys have no `alg`.",
        explains: |case, aspect| {
            let is_left_open = |keys: String| {
                let keys: serde_json::Value = serde_json::from_str(&keys).unwrap_or_default();
                list(&keys, "keys").any(|key| key["kty"] == "RSA" && key.get("alg").is_none())
            };
            case.providers()
                .any(|provider| provider.get("algorithms").is_none())
                && refused(case, aspect, &["algorithm_rejected", "key_unknown"], |token| {
                    token.header["alg"]
                        .as_str()
                        .is_some_and(|alg| alg.starts_with("PS"))
                        && key_sets(case).any(is_left_open)
                })
        },
    },
    Deviation {
        id: "token-in-query-by-choice",
        ours: "The only default location is `Authorization: Bearer`.",
        theirs: "The query parameter `access_token` is a default location too.",
        why: "Queries appear in logs, histories and Referer headers (RFC 9700 section 4.3.2). Write `from_params: [access_token]` if clients need it.",
        explains: |case, _| {
            case.request.path.contains("access_token=") && case.providers().any(has_default_locations)
        },
    },
    Deviation {
        id: "scheme-in-front",
        ours: "`value_prefix` must begin the value. A scheme's name and a space further on make the value a malformed token.",
        theirs: "The prefix may be anywhere in the value.",
        why: "`Authorization: Basic x Bearer y` is a Basic credential to one server and a bearer token to another.",
        explains: |case, _| {
            prefixed(case, |value, prefix| {
                let (value, prefix) = (value.to_ascii_lowercase(), prefix.to_ascii_lowercase());
                value.find(&prefix).is_some_and(|at| at > 0)
            })
        },
    },
    Deviation {
        id: "token-follows-the-scheme",
        ours: "The token is the text after the prefix, without white space around it.",
        theirs: "It first skips every character that cannot be a part of a token.",
        why: "The filter does not repair a malformed value: the upstream may repair it in another way.",
        explains: |case, aspect| {
            (decided(aspect) && case.reason() == Some("token_malformed") || tolerant(case))
                && prefixed(case, |value, prefix| {
                    !prefix.is_empty()
                        && value
                            .strip_prefix(prefix)
                            .is_some_and(|rest| rest.trim_start().starts_with(['*', '!']))
                })
        },
    },
    Deviation {
        id: "scheme-written-otherwise",
        ours: "A value with the scheme's name in another form (`Bearer`, a tab and a token; `Bearer: …`) counts as a malformed token, and after another scheme's value and a comma as a second one. With `allow_missing`, a JWT without a scheme, or after a scheme that no provider reads, is malformed too.",
        theirs: "It does not count as a token: with `allow_missing` the request passes.",
        why: "The upstream may read it as a token, although it was never verified.",
        explains: |case, aspect| {
            decided(aspect)
                && matches!(case.reason(), Some("token_malformed" | "token_multiple"))
                && prefixed(case, |value, prefix| {
                    let word = prefix.trim_end().to_ascii_lowercase();
                    prefix.ends_with(' ')
                        && value.split(',').map(str::trim_start).any(|part| {
                            let lower = part.to_ascii_lowercase();
                            let rest = lower.strip_prefix(&word);
                            rest.is_some_and(|rest| {
                                !rest.starts_with(|next: char| next.is_ascii_alphanumeric())
                            }) && !part.starts_with(prefix)
                        })
                })
        },
    },
    Deviation {
        id: "parameter-written-otherwise",
        ours: "A parameter or a cookie that some servers read as the one with the token (after `;`, a comma or white space, or `access.token` for `access_token`) counts as a malformed token, and beside the right one as a second token.",
        theirs: "It does not count as a token: with `allow_missing` the request passes.",
        why: "The upstream may read a token there that was never verified.",
        explains: |case, aspect| {
            (decided(aspect) || *aspect == Aspect::Status)
                && matches!(case.reason(), Some("token_malformed" | "token_multiple"))
                && has_lookalike(case)
        },
    },
    Deviation {
        id: "other-spellings-of-headers",
        ours: "A header whose name differs from one of the configuration only in characters that are neither letters nor digits (`x_jwt_sub`) does not reach the upstream.",
        theirs: "It does.",
        why: "CGI, WSGI, Rack and PHP read it as the header that the filter owns, or as one that holds a token.",
        explains: |case, aspect| {
            header(case, aspect)
                .is_some_and(|(name, ours, _)| ours.is_empty() && is_other_spelling(case, name))
        },
    },
    Deviation {
        id: "owned-header-and-any-route",
        ours: "If there is a `requirement_map`, a request with a claim header of its client's own has to meet every requirement that a route may name, and that of a route without a name.",
        theirs: "It has to meet the requirement of the route that Envoy selected first.",
        why: "The client may have selected that route by the header, and Envoy selects again when the filter removes it.",
        explains: |case, aspect| {
            (decided(aspect) || *aspect == Aspect::Status)
                && matches!(case.ours, Outcome::Denied { .. })
                && case.config["requirement_map"]
                    .as_object()
                    .is_some_and(|map| !map.is_empty())
                && case
                    .request
                    .headers
                    .iter()
                    .any(|(name, _)| owned(case, name) || is_other_spelling(case, name))
        },
    },
    Deviation {
        id: "credential-for-a-proxy",
        ours: "A refused or missing credential in `Proxy-Authorization` is answered with 407 and `Proxy-Authenticate`.",
        theirs: "With 401 and `WWW-Authenticate`.",
        why: "RFC 9110 section 11.7.1: `Proxy-Authenticate` belongs to 407. A client answers it with the same header.",
        explains: |case, aspect| {
            *aspect == Aspect::Status
                && matches!(case.ours, Outcome::Denied { status: 407, .. })
                && case
                    .config
                    .to_string()
                    .to_ascii_lowercase()
                    .contains("proxy-authorization")
        },
    },
    Deviation {
        id: "scheme-in-any-case",
        ours: "The scheme `Bearer` may be written in any case.",
        theirs: "It must be written exactly so.",
        why: "RFC 9110 section 11.1: the scheme is case-insensitive.",
        explains: |case, _| {
            prefixed(case, |value, prefix| {
                prefix == "Bearer "
                    && !value.starts_with(prefix)
                    && value.to_ascii_lowercase().starts_with("bearer ")
            })
        },
    },
];

/// The first deviation that explains the difference, or else the first known fault.
pub(crate) fn explaining(case: &Case<'_>, aspect: &Aspect) -> Option<&'static Deviation> {
    let faults: &[Deviation] = if std::env::var_os("DIFF_STRICT").is_some() {
        &[]
    } else {
        known_faults::ALL
    };
    ALL.iter()
        .chain(faults)
        .find(|deviation| (deviation.explains)(case, aspect))
}

/// Whether an escape of the path is one of a byte that a request line cannot contain.
fn escapes_what_no_path_has(path: &str) -> bool {
    let escapes = path.split('%').skip(1).filter_map(|rest| rest.get(..2));
    let mut bytes = escapes.filter_map(|digits| u8::from_str_radix(digits, 16).ok());
    bytes.any(|byte| !byte.is_ascii_graphic())
}
