"""Configurations of jwt_authn, Istio and Envoy Gateway as projects publish them, beside what `jwtctl convert` makes of
each, in one Envoy: the same requests must pass, but for a documented difference, and the others must be refused for the
same reason. For each, one listener has the original filters and one the converted configuration.

Each entry has the shape of one that a project publishes: which fields it uses, how its rules nest, and where its tokens
are. Names, issuers and paths are made up, and the keys are of this run.
"""

import copy
import importlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))

import policies  # noqa: E402
from differential import JWTCTL, Client, Signer  # noqa: E402
from kit import (  # noqa: E402
    ENVOY,
    MODULE,
    ROOT,
    Envoy,
    Failure,
    Unavailable,
    cached,
    expect,
    listener,
    run,
    say,
)
from mesh import PYTHON_PACKAGES  # noqa: E402


def one(name):
    return {"provider_name": name}


def any_of(*parts):
    return {"requires_any": {"requirements": list(parts)}}


def all_of(*parts):
    return {"requires_all": {"requirements": list(parts)}}


def rule(requires=None, **match):
    return {"match": match} | ({"requires": requires} if requires else {})


def method(pattern):
    return [{"name": ":method", "safe_regex_match": {"google_re2": {}, "regex": pattern}}]


MISSING, FAILED = {"allow_missing": {}}, {"allow_missing_or_failed": {}}
BEARER = [{"name": "Authorization", "value_prefix": "Bearer "}]
A, B, C = "https://a.example.com", "https://b.example.com/", "urn:c"

#: The documents: what is special about each, its providers, and its rules (with what else it has).
DOCUMENTS = {
    "any, all, failed, and three places": (
        {
            "a": {"issuer": A, "audiences": ["api"], "from_headers": BEARER, "from_params": ["access_token"]}
            | {"forward_payload_header": "x-payload", "payload_in_metadata": "payload"},
            "b": {"issuer": B, "audiences": ["api"], "from_cookies": ["session"]},
        },
        {"rules": [rule(one("a"), prefix="/api"), rule(all_of(one("a"), one("b")), prefix="/admin")]
         + [rule(FAILED, prefix="/public")]},
    ),
    "methods by pattern, reads are optional": (
        {"a": {"issuer": A, "forward": True, "payload_in_metadata": "payload", "from_headers": BEARER}},
        {"rules": [rule(any_of(one("a"), MISSING), prefix="/pages/"), rule(any_of(one("a"), MISSING), path="/")]
         + [rule(one("a"), prefix="/", headers=method("(POST|PUT|PATCH|DELETE)"))]
         + [rule(any_of(one("a"), MISSING), prefix="/", headers=method("(GET|HEAD|OPTIONS)"))]},
    ),
    "one optional provider": (
        {"a": {"issuer": A, "audiences": ["remote"], "payload_in_metadata": "a"}},
        {"rules": [rule(any_of(one("a"), MISSING), prefix="/")]},
    ),
    "optional and missing by path": (
        {"b": {"issuer": B, "audiences": ["https://web", "https://app"], "from_headers": BEARER}
         | {"from_params": ["access_token"], "forward": True, "payload_in_metadata": "payload"}},
        {"rules": [rule(any_of(one("b"), MISSING), prefix="/api/secure"), rule(MISSING, prefix="/api/public")]},
    ),
    "login before everything": (
        {"c": {"issuer": C, "audiences": ["api"], "forward": True, "from_headers": BEARER}},
        {"rules": [rule(FAILED, prefix="/api/v1/login"), rule(one("c"), prefix="/")]},
    ),
    "rules without a requirement": (
        {"c": {"issuer": C, "from_headers": BEARER, "forward": True, "jwt_cache_config": {"jwt_cache_size": 100}}},
        {"rules": [rule(path="/api/first"), rule(path="/api/second"), rule(one("c"), prefix="/api")]},
    ),
    "one provider for all": (
        {"a": {"issuer": A, "audiences": ["service"], "forward": True}},
        {"rules": [rule(one("a"), prefix="/")]},
    ),
    "audiences of a rule": (
        {"a": {"issuer": A, "audiences": ["one"]}},
        {"rules": [rule(prefix="/health"), rule(one("a"), prefix="/")]}
        | {"rules": [
            rule(prefix="/health"),
            rule({"provider_and_audiences": {"provider_name": "a", "audiences": ["two"]}}, prefix="/api"),
            rule(one("a"), prefix="/"),
        ]},
    ),
    "groups": (
        {"a": {"issuer": A}, "b": {"issuer": B}},
        {"rules": [rule(any_of(one("a"), one("b")), prefix="/any"), rule(all_of(one("a"), one("b")), prefix="/all")]},
    ),
    "a header in lower case": (
        {"c": {"issuer": C, "audiences": ["api"], "forward": True, "forward_payload_header": "x-payload"}
         | {"from_headers": [{"name": "authorization", "value_prefix": "Bearer "}]}},
        {"rules": [rule(one("c"), prefix="/")]},
    ),
    "paths without a rule": (
        {"b": {"issuer": B, "audiences": ["https://api"]}},
        {"rules": [rule(one("b"), prefix="/api/"), rule(prefix="/health")]},
    ),
    "what istiod makes": (
        {"origins-0": {"issuer": C, "payload_in_metadata": "payload"}},
        {"bypass_cors_preflight": True, "rules": [rule(any_of(one("origins-0"), MISSING), prefix="/")]},
    ),
    "any or failed": (
        {"a": {"issuer": A, "forward": True, "jwt_cache_config": {"jwt_cache_size": 100}}},
        {"rules": [rule(any_of(one("a"), FAILED), prefix="/")]},
    ),
    "nothing is refused": (
        {"a": {"issuer": A, "audiences": ["api"], "payload_in_metadata": "p", "forward_payload_header": "X-Payload"}},
        {"rules": [rule(FAILED, prefix="/")]},
    ),
    "a header of its own": (
        {"a": {"issuer": A, "audiences": ["one"], "from_headers": [{"name": "x-assertion"}], "forward": True}},
        {"rules": [rule(prefix="/health"), rule(one("a"), prefix="/")]},
    ),
    "nested groups": (
        {"a": {"issuer": A}, "b": {"issuer": B, "audiences": ["b"]}, "c": {"issuer": C}},
        {"rules": [
            rule(all_of(one("a"), any_of(one("b"), one("c"))), prefix="/e5"),
            rule(any_of(one("a"), all_of(one("b"), one("c"))), prefix="/e6"),
            rule(all_of(any_of(one("a"), MISSING), one("b")), prefix="/e8"),
        ]},
    ),
    "a header of its own, and audiences of a rule": (
        {"a": {"issuer": A, "audiences": ["one"], "from_headers": [{"name": "jwt-assertion"}], "forward": True}
         | {"forward_payload_header": "x-jwt-payload"}},
        {"rules": [
            rule(prefix="/health"),
            rule({"provider_and_audiences": {"provider_name": "a", "audiences": ["two"]}}, prefix="/api"),
            rule(one("a"), prefix="/"),
        ]},
    ),
    "methods of a service by exact path": (
        {"a": {"issuer": C, "audiences": ["client"], "forward_payload_header": "x-payload",
               "claim_to_headers": [{"header_name": "x-player", "claim_name": "sub"}]}},
        {"rules": [rule(one("a"), path="/login.v1.Login/Logout"), rule(one("a"), path="/login.v1.Login/Ticket"), rule(one("a"), prefix="/push.v1.Push/")]},
    ),
    "authentication first, and the payload": (
        {"a": {"issuer": C, "forward": True, "forward_payload_header": "x-jwt-payload", "claim_to_headers": [{"header_name": "x-user-id", "claim_name": "sub"}]}},
        {"rules": [rule(prefix="/api/v1/auth"), rule(one("a"), prefix="/api/v1")]},
    ),
    "two headers, paths without a token, any of three": (
        {name: {"issuer": issuer, "audiences": [name], "forward": True, "payload_in_metadata": "verified_jwt",
                "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}, {"name": "x-auth"}],
                "claim_to_headers": [{"claim_name": "email", "header_name": "x-user"}]} for name, issuer in (("a", A), ("b", B), ("c", C))},
        {"rules": [rule(prefix="/health"), rule(prefix="/oauth2/"), rule(prefix="/signout"),
                   rule(any_of(one("a"), one("b"), one("c")), prefix="/")]},
    ),
    "the login, then everything": (
        {"a": {"issuer": C, "audiences": ["ggid"], "forward": True, "from_headers": BEARER}},
        {"rules": [rule(FAILED, prefix="/api/v1/auth/login"), rule(one("a"), prefix="/")]},
    ),
    "tools, events and an open path": (
        {"a": {"issuer": A, "audiences": ["account", "tools"], "forward": True, "payload_in_metadata": "jwt_payload"}},
        {"rules": [rule(one("a"), prefix="/mcp"), rule(one("a"), prefix="/sse"), rule(FAILED, path="/health")]},
    ),
    "a parameter, a cookie, and both": (
        {"a": {"issuer": A, "audiences": ["api"], "from_headers": BEARER, "from_params": ["access_token"], "payload_in_metadata": "p"},
         "b": {"issuer": B, "audiences": ["api"], "from_cookies": ["jwt_token"]}},
        {"rules": [rule(one("a"), prefix="/api"), rule(all_of(one("a"), one("b")), prefix="/admin"), rule(FAILED, prefix="/public")]},
    ),
    "a tenant for a service": (
        {"a": {"issuer": A, "forward": True, "claim_to_headers": [{"header_name": "x-tenant-id", "claim_name": "client_id"}]}},
        {"rules": [rule(one("a"), prefix="/")]},
    ),
    "an empty requirement after the interface": (
        {"a": {"issuer": A, "audiences": ["api"], "forward": False, "forward_payload_header": "X-JWT-Payload", "from_headers": BEARER, "from_params": ["access_token"],
               "claim_to_headers": [{"header_name": "X-User-ID", "claim_name": "sub"}, {"header_name": "X-User-Role", "claim_name": "role"}]}},
        {"rules": [rule(one("a"), prefix="/api"), {"match": {"prefix": "/public"}, "requires": {}}]},
    ),
    "names in camel case": (
        {"a": {"issuer": A, "audiences": ["api"], "forward": True, "fromHeaders": [{"name": "Authorization", "valuePrefix": "Bearer "}]}},
        {"rules": [{"match": {"prefix": "/"}, "requires": {"requiresAny": {"requirements": [{"providerName": "a"}, {"allowMissing": {}}]}}}]},
    ),
    "methods and patterns of an interface": (
        {"a": {"issuer": A}, "b": {"issuer": B}},
        {"rules": [
            {"match": {"path": "/v1/shelves", "headers": [{"name": ":method", "string_match": {"exact": "GET"}}]}, "requires": any_of(one("a"), one("b"))},
            {"match": {"path": "/books.Books/Get"}, "requires": any_of(one("a"), one("b"))},
            {"match": {"path": "/v1/shelves", "headers": [{"name": ":method", "string_match": {"exact": "POST"}}]}, "requires": one("a")},
        ]},
    ),
    "every request, failed tokens too": (
        {"a": {"issuer": A, "audiences": ["api"], "payload_in_metadata": "jwt_payload", "forward_payload_header": "X-JWT-Payload"}},
        {"rules": [rule(FAILED, prefix="/")], "bypass_cors_preflight": True},
    ),
}  # fmt: skip


#: Configurations that a test also loads, here compared with jwt_authn: their rules are for paths, and the
#: original accepts them unchanged.
PUBLISHED = [
    "a-rule-by-requirement-name",
    "another-proxys-tests",
    "apigee-adapter",
    "blog-two-vendors",
    "chat-open-methods",
    "compiled-policy",
    "envoy-docs-group-requirement",
    "envoy-docs-single-requirement-fixed",
    "guide-three-places",
    "health-after-the-api",
    "helm-numbered-providers",
    "login-paths-first",
    "loki-helm-chart",
    "tenant-headers",
    "transcoder-one-claim",
    "tutorial-cookies-and-parameters",
    "tutorial-grpc-paths",
    "tutorial-two-providers-and-admin",
]


def published():
    """The name, the providers and the rest of each of them."""
    for name in PUBLISHED:
        text = (ROOT / "tests/public_configs" / f"{name}.yaml").read_text()
        config = yaml().safe_load(text)
        yield f"published, {name}", config.pop("providers"), config


def tokens_of(providers, signer, stranger):
    """Good and faulty tokens of each provider, by name."""
    now = int(time.time())
    tokens = {"none": None, "garbage": "garbage", "three parts": "a.b.c"}
    for name, provider in providers.items():
        audiences = provider.get("audiences", []) + ["two", "else"]
        claims = {"iss": provider["issuer"], "sub": "s", "iat": now, "exp": now + 3600, "aud": audiences[0]}
        faults = {
            "good": {},
            "another audience": {"aud": [audiences[-2], "q"]},
            "for another": {"aud": "else"},
            "without aud": {"aud": None},
            "expired": {"exp": now - 7200},
            "too early": {"nbf": now + 7200},
            "without iss": {"iss": None},
            "unknown issuer": {"iss": "https://else.example"},
        }
        for fault, change in faults.items():
            values = {key: value for key, value in (claims | change).items() if value is not None}
            tokens[f"{name}, {fault}"] = signer.token(**values)
        tokens[f"{name}, forged"] = stranger.token(**claims)
    return tokens


def paths_of(rules):
    """The paths of the rules, and others beside and below them."""
    paths = ["/", "/other"]
    for each in rules:
        path = each["match"].get("prefix") or each["match"]["path"]
        bare = path.rstrip("/")
        paths += [path, path + "x", bare + "/x", path + "?a=1", bare or "/"]
    return list(dict.fromkeys(paths))


def places(providers, path, token):
    """The path and the headers of requests that have the token where the providers look for it, and elsewhere."""
    if token is None:
        yield path, {}
        return
    yield path, {"authorization": f"Bearer {token}"}
    yield path + ("&" if "?" in path else "?") + f"access_token={token}", {}
    for provider in providers.values():
        for cookie in provider.get("from_cookies", []):
            yield path, {"cookie": f"{cookie}={token}"}
        for header in provider.get("from_headers", []):
            if header["name"].lower() != "authorization":
                yield path, {header["name"]: header.get("value_prefix", "") + token}


# The filter refuses a request with such a second token where jwt_authn lets it pass: `several-tokens` in
# docs/deviations.md.
BESIDE = ", beside a good one"

#: How many requests without their tokens a policy gets at most.
MOST_TARGETS = 16

#: The reasons that the filter may give where the original gives this one. A token of another issuer is
#: `issuer_unknown` for the filter: jwt_authn reads only tokens of the issuer, or verifies the token for
#: another provider first.
REASONS = {
    "Jwt is missing": ["token_missing", "issuer_unknown"],
    "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections": ["token_malformed"],
    "Jwt header is an invalid Base64url encoded": ["token_malformed"],
    "Jwt payload [sub] field is not a string": ["claim_malformed"],
    "Audiences in Jwt are not allowed": ["audience_mismatch"],
    "Jwt is expired": ["token_expired", "issuer_unknown"],
    "Jwt not yet valid": ["token_not_yet_valid", "issuer_unknown"],
    "Jwt issuer is not configured": ["issuer_unknown"],
    "Jwks doesn't have key to match kid or alg from Jwt": ["key_unknown", "issuer_unknown"],
    "RBAC: access denied": ["claim_rejected", "scope_insufficient", "token_missing", "issuer_unknown"],
    # Envoy refuses these before any filter.
    "Bad Request": ["Bad Request"],
    "": [""],
}


def requests(providers, rules, tokens):
    good = tokens[f"{next(iter(providers))}, good"]
    for path in paths_of(rules):
        for name, token in tokens.items():
            for verb in ("GET", "POST") if path.count("/") < 2 else ("GET",):
                for target, headers in places(providers, path, token):
                    yield verb, target, headers, name
                    if len(providers) > 1 and "authorization" not in headers and token:
                        yield verb, target, headers | {"authorization": f"Bearer {good}"}, name + BESIDE


def filter_of(providers, rest, jwks):
    """The original filter, with keys of this run."""
    providers = copy.deepcopy(providers)
    for provider in providers.values():
        provider.pop("remote_jwks", None)
        provider["local_jwks"] = {"inline_string": jwks}
    kind = f"{policies.JWT_AUTHN}.JwtAuthentication"
    return {"name": "envoy.filters.http.jwt_authn", "typed_config": {"@type": kind, "providers": providers} | rest}


def convert(document):
    """What `jwtctl convert` makes of a document, and its messages."""
    command = [str(JWTCTL), "convert", "--bare", "-"]
    done = subprocess.run(command, input=json.dumps(document), capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def converted(document):
    code, text, messages = convert(document)
    expect(code == 0, f"jwtctl convert ended with {code}: {messages}")
    found = [one for one in yaml().safe_load_all(text) if one]
    expect(len(found) == 1, f"jwtctl convert made {len(found)} configurations")
    return found[0]


def yaml():
    """PyYAML, from PyPI if Python has none: `jwtctl convert` writes YAML, and the listener takes JSON."""
    try:
        return importlib.import_module("yaml")
    except ImportError:
        version = PYTHON_PACKAGES["PyYAML"]

    def make(folder):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        run(*pip, "--target", folder, f"PyYAML=={version}")

    sys.path.insert(0, str(cached("pyyaml", version, make)))
    return importlib.import_module("yaml")


class Comparison:
    """An original beside its conversion: two listeners, and requests."""

    def __init__(self, name, filters, settings, config, requests):
        self.name, self.requests, self.has_policy = name, requests, len(filters) > 1
        self.listeners = [listener(f"{name}, {which}", config) for which in ("original", "converted")]
        managers = [one["filter_chains"][0]["filters"][0]["typed_config"] for one in self.listeners]
        for manager in managers:
            # Envoy answers itself: the upstream would take most of the time.
            route = manager["route_config"]["virtual_hosts"][0]["routes"][0]
            del route["route"]
            route["direct_response"] = {"status": 200}
        managers[0]["http_filters"][:1] = filters
        managers[0]["route_config"]["virtual_hosts"][0]["routes"][0]["typed_per_filter_config"] = settings

    def run(self, ports, pairs):
        """How many requests both refuse, and how many pass both."""
        was, now = (Client(ports[one["name"]]) for one in self.listeners)
        counts, faults = [0, 0], []
        for verb, target, headers, token in self.requests:
            before, after = was.answer(verb, target, headers), now.answer(verb, target, headers)
            passed, passes, has_two = before[0] == 200, after[0] == 200, token.endswith(BESIDE)
            if passed and not passes and has_two:
                expect(after == (400, "token_multiple"), f"{self.name}: {verb} {target[:30]}, {token}: {after}")
                continue
            counts[passed] += 1
            fault = passed != passes
            if not passed and not passes:
                pairs.setdefault(before[1], set()).add(after[1])
                # Two that refuse for different reasons may agree by chance. If no client may pass, the filter
                # does not read the token.
                reasons = REASONS.get(before[1], []) + ["token_multiple"] * has_two + ["route_denied"] * self.has_policy
                fault = after[1] not in reasons
            if fault:
                where = "/".join(headers) or "no header"
                faults.append(f"{verb} {target[:30]} ({where}), {token}: {before} before, {after} after")
        expect(not faults, f"{self.name}\n" + "\n".join(faults[:20]) + f"\n{len(faults)} requests differ")
        expect(sum(counts) > 50, f"{self.name}: only {sum(counts)} requests")
        expect(min(counts) > 5 or not self.has_policy, f"{self.name}: {counts[1]} of {sum(counts)} requests pass")
        return counts


def comparisons(signer, stranger):
    """Each document with what is made of it."""
    now, jwks = int(time.time()), signer.jwks()
    for name, (providers, rest) in DOCUMENTS.items():
        original = filter_of(providers, rest, jwks)
        tokens = tokens_of(providers, signer, stranger)
        config = converted({"http_filters": [original]})
        yield Comparison(name, [original], {}, config, requests(providers, rest["rules"], tokens))
    for name, providers, rest in published():
        original = filter_of(providers, rest, jwks)
        tokens = tokens_of(providers, signer, stranger)
        config = converted({"http_filters": [original]})
        yield Comparison(name, [original], {}, config, requests(providers, rest["rules"], tokens))
    for name, (rules, rest) in policies.ISTIO.items():
        filters, settings = policies.istiod(rules, rest, jwks)
        items = policies.istio_resources(rules, rest, jwks)
        config = converted({"apiVersion": "v1", "kind": "List", "items": items})
        issuers = [(one["issuer"], one.get("audiences")) for one in rules]
        found = policies.of_istio(rest)
        tokens = policies.tokens_of(issuers, found, signer, stranger, now)
        sent = policy_requests(name, found, tokens, [one.get("fromHeaders", []) for one in rules], rules)
        yield Comparison(f"Istio, {name}", filters, settings, config, sent)
    for name, (providers, rest) in policies.GATEWAY.items():
        filters, settings = policies.envoy_gateway(providers, rest, jwks)
        config = converted(policies.gateway_resource(providers, rest, jwks))
        issuers = [(one["issuer"], one.get("audiences")) for one in providers]
        found = policies.of_gateway(rest)
        tokens = policies.tokens_of(issuers, found, signer, stranger, now)
        places = [one.get("extractFrom", {}) for one in providers]
        sent = policy_requests(name, found, tokens, [one.get("headers", []) for one in places], places)
        yield Comparison(f"Envoy Gateway, {name}", filters, settings, config, sent)


def policy_requests(name, found, tokens, headers, places):
    """Requests of a policy: some of all, with the token in each place and where no rule looks for it."""
    names = {"authorization": "Bearer "}
    for one in (one for all in headers for one in all):
        prefix = one.get("prefix", one.get("valuePrefix", ""))
        # Clients send the scheme as they always do, also where the policy names it without the space.
        names[one["name"].lower()] = prefix + " " * (prefix[-1:].isalpha())
    cookies = {one for place in places for one in place.get("fromCookies", place.get("cookies", []))}
    targets = list(policies.targets_of(found))
    for verb, target, more in random.Random(name).sample(targets, min(len(targets), MOST_TARGETS)):
        for what, token in tokens.items():
            if token is None:
                yield verb, target, more, what
                continue
            for header, prefix in names.items():
                yield verb, target, more | {header: prefix + token}, what
            for cookie in cookies:
                yield verb, target, more | {"cookie": f"{cookie}={token}"}, what


def refusals():
    """What is not carried over is an error that names it."""
    for name, (field, first, rest) in policies.REFUSED.items():
        if isinstance(rest, list):
            document = {"apiVersion": "v1", "kind": "List", "items": policies.istio_resources(first, rest, "{}")}
        else:
            document = policies.gateway_resource(first, rest, "{}")
        code, text, messages = convert(document)
        expect(code == 1 and not text, f"{name}: jwtctl convert ended with {code}, and printed {text[:200]}")
        expect(re.search(rf"error.*{re.escape(field)}", messages), f"{name}: no error names {field}: {messages}")
        say(f"{name}: not carried over, and the error names {field}")


def main():
    for needed, command in ((MODULE, "make wasm"), (ENVOY, "make envoy"), (JWTCTL, "make jwtctl")):
        expect(needed.exists(), f"{needed} is missing: `{command}` makes it")
    folder = Path(tempfile.mkdtemp(prefix="documents-"))
    total, failed, pairs, envoy = [0, 0], 0, {}, None
    refusals()
    try:
        signer, stranger = Signer(folder, "signer"), Signer(folder, "stranger")
        all = list(comparisons(signer, stranger))
        envoy = Envoy(folder, [one for each in all for one in each.listeners], [])
        for each in all:
            try:
                refused, passed = each.run(envoy.ports, pairs)
            except Failure as failure:
                failed += 1
                say(f"FAILED: {failure}")
                continue
            total = [total[0] + refused, total[1] + passed]
            say(f"{each.name}: {passed} requests pass both, {refused} neither")
    finally:
        if envoy:
            envoy.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if "PAIRS" in os.environ:
        say(json.dumps({before: sorted(after) for before, after in pairs.items()}, indent=1))
    expect(failed or min(total) > 2000, f"too few requests pass or are refused: {total}")
    say(f"{len(all)} documents: {total[1]} requests pass both, {total[0]} neither; {failed} documents differ")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, Unavailable) as failure:
        sys.exit(f"documents: {failure}")
