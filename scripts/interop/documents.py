"""Configurations of jwt_authn as projects publish them, beside what `jwtctl convert` makes of each, in one Envoy: the
same requests must pass, but for a documented difference. One listener has the original and one the converted configuration.

Each entry has the shape of one that a project publishes: which fields it uses, how its rules nest, and where its tokens
are. Names, issuers and paths are made up, and the keys are of this run.
"""

import copy
import importlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))

from differential import JWTCTL, Client, Signer  # noqa: E402
from kit import (  # noqa: E402
    ENVOY,
    MODULE,
    Envoy,
    Failure,
    Unavailable,
    Upstream,
    cached,
    cluster,
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
    "requirements by name": (
        {"a": {"issuer": A, "audiences": ["api"]}, "c": {"issuer": C}},
        {"requirement_map": {"both": any_of(one("a"), one("c"))}}
        | {"rules": [{"match": {"prefix": "/"}, "requirement_name": "both"}]},
    ),
}  # fmt: skip


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


def requests(providers, rules, tokens):
    good = tokens[f"{next(iter(providers))}, good"]
    for path in paths_of(rules):
        for name, token in tokens.items():
            for verb in ("GET", "POST") if path.count("/") < 2 else ("GET",):
                for target, headers in places(providers, path, token):
                    yield verb, target, headers, name
                    if len(providers) > 1 and "authorization" not in headers and token:
                        yield verb, target, headers | {"authorization": f"Bearer {good}"}, name + BESIDE


def filter_of(providers, rest, signer):
    """The original filter, with keys of this run."""
    providers = copy.deepcopy(providers)
    for provider in providers.values():
        provider["local_jwks"] = {"inline_string": signer.jwks()}
    kind = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
    return {"name": "envoy.filters.http.jwt_authn", "typed_config": {"@type": kind, "providers": providers} | rest}


def converted(original):
    command = [str(JWTCTL), "convert", "--bare", "-"]
    text = json.dumps({"http_filters": [original]})
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    expect(done.returncode == 0, f"jwtctl convert ended with {done.returncode}: {done.stderr}")
    return yaml().safe_load(done.stdout)


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


def compare(name, providers, rest, signer, stranger, folder, upstream):
    """How many requests both let pass, and how many both refuse."""
    original = filter_of(providers, rest, signer)
    new = listener("converted", converted(original))
    old = copy.deepcopy(new)
    old["name"] = "original"
    old["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][0] = original
    envoy = Envoy(folder, [new, old], [cluster("upstream", upstream.port)])
    try:
        was, now = Client(envoy.ports["original"]), Client(envoy.ports["converted"])
        counts, faults = [0, 0], []
        for verb, target, headers, token in requests(providers, rest["rules"], tokens_of(providers, signer, stranger)):
            before, after = was.passes(verb, target, headers), now.passes(verb, target, headers)
            if before and not after and token.endswith(BESIDE):
                continue
            counts[before] += 1
            if before != after:
                where = "/".join(headers) or "no header"
                faults.append(f"{verb} {target[:30]} ({where}), {token}: {'passed' if before else 'refused'} before")
        expect(not faults, f"{name}\n" + "\n".join(faults[:20]) + f"\n{len(faults)} requests differ")
        expect(sum(counts) > 50, f"{name}: only {sum(counts)} requests")
        return counts
    finally:
        envoy.stop()


def main():
    for needed, command in ((MODULE, "make wasm"), (ENVOY, "make envoy"), (JWTCTL, "make jwtctl")):
        expect(needed.exists(), f"{needed} is missing: `{command}` makes it")
    folder = Path(tempfile.mkdtemp(prefix="documents-"))
    upstream = Upstream()
    total, failed = [0, 0], 0
    try:
        signer, stranger = Signer(folder, "signer"), Signer(folder, "stranger")
        for name, (providers, rest) in DOCUMENTS.items():
            try:
                refused, passed = compare(name, providers, rest, signer, stranger, folder, upstream)
            except Failure as failure:
                failed += 1
                say(f"FAILED: {failure}")
                continue
            total = [total[0] + refused, total[1] + passed]
            say(f"{name}: {passed} requests pass both, {refused} neither")
    finally:
        upstream.stop()
        shutil.rmtree(folder, ignore_errors=True)
    expect(failed or min(total) > 500, f"too few requests pass or are refused: {total}")
    say(f"{len(DOCUMENTS)} documents: {total[1]} requests pass both, {total[0]} neither; {failed} documents differ")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, Unavailable) as failure:
        sys.exit(f"documents: {failure}")
