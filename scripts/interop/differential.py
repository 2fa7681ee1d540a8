"""Policies of Istio and Envoy Gateway beside what `jwtctl convert` makes of them: the same requests must pass.

The policies are generated, and so is each request: a method, a path, a host, a header and a token. Policies that
`jwtctl convert` refuses are counted, not compared.
"""

import base64
import hashlib
import json
import os
import random
import re
import subprocess
import time
from http.client import HTTPConnection
from pathlib import Path

from kit import MODULE, ROOT, Failure, expect, run

JWTCTL = Path(os.environ.get("JWTCTL", ROOT / "target/debug/jwtctl"))
CORP, OTHER = "https://idp.example.com", "https://b.example.com"
AUDIENCE = "orders-api"


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Signer:
    """An RSA key of openssl, and tokens by it."""

    def __init__(self, folder, name):
        self.name, self.key = name, Path(folder) / f"{name}.key"
        run("openssl", "genrsa", "-out", self.key, "2048")
        text = run("openssl", "rsa", "-in", self.key, "-noout", "-text")
        members = re.findall(r"^(\w+):\n((?: +[0-9a-f:]+\n)+)", text, re.M)
        self.numbers = {name: int(re.sub(r"[^0-9a-f]", "", digits), 16) for name, digits in members}
        modulus = self.numbers["modulus"].to_bytes(256, "big")
        self.jwk = {"kty": "RSA", "kid": name, "alg": "RS256", "use": "sig", "e": "AQAB", "n": encode(modulus)}

    def jwks(self):
        return json.dumps({"keys": [self.jwk]})

    def token(self, **claims):
        head = {"alg": "RS256", "kid": self.name, "typ": "JWT"}
        text = ".".join(encode(json.dumps(part).encode()) for part in (head, claims))
        return f"{text}.{encode(self.signature(text.encode()))}"

    def signature(self, message):
        """RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017). A process of openssl for each token would take most of the time."""
        digest = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(message).digest()
        block = b"\x00\x01" + b"\xff" * (256 - 3 - len(digest)) + b"\x00" + digest
        one, other = self.numbers["prime1"], self.numbers["prime2"]
        number = int.from_bytes(block, "big")
        by_one, by_other = (pow(number, self.numbers[f"exponent{place}"], prime) for place, prime in ((1, one), (2, other)))
        rest = (by_one - by_other) * self.numbers["coefficient"] % one
        return (by_other + rest * other).to_bytes(256, "big")


class Tokens:
    """Two issuers, and tokens of every kind by name."""

    def __init__(self, folder):
        self.corp, self.other = Signer(folder, "corp"), Signer(folder, "other")
        now = self.now = int(time.time())

        def corp(**more):
            claims = {"iss": CORP, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 3600} | more
            return self.corp.token(**{name: value for name, value in claims.items() if value is not None})

        other = {"iss": OTHER, "aud": AUDIENCE, "sub": "bob", "iat": now, "exp": now + 3600}
        good = corp()
        self.all = {
            "none": None,
            "corp": good,
            "other": self.other.token(**other),
            "other's admin": self.other.token(**other, groups=["admins"], scope="read"),
            "for another": corp(aud="billing"),
            "for several": corp(aud=["billing", AUDIENCE], azp="web"),
            "expired": corp(exp=now - 7200),
            "too early": corp(nbf=now + 7200),
            "without exp": corp(exp=None),
            "without sub": corp(sub=None),
            "forged": good[:-20] + ("A" * 20),
            "unknown issuer": corp(iss="https://c.example.com"),
            "another's key": self.other.token(**(other | {"iss": CORP})),
            "admin": corp(groups=["users", "admins"], scope="read write"),
            "user": corp(groups=["users"], scope="read", azp="app"),
            "one group": corp(groups="admins", scope=["write"]),
            "boss": corp(sub="bob", role="x-boss", realm={"team": "red"}),
            "list of roles": corp(role=["x-boss", "boss-x"]),
            "blue": corp(role="boss-x", realm={"team": "blue"}),
            "numbers": corp(role=50, groups=[7, 50], realm={"team": 5}, scope=7, azp=9),
            "empty values": corp(role="", groups=[], realm={"team": []}, scope="", azp=""),
            "objects": corp(role={"boss": "x-boss"}, groups=[["admins"]], realm="red", scope={"write": True}),
            "truths": corp(role=True, groups=[False, "users"]),
            "subject with slashes": corp(sub="team/bob"),
            "deep": corp(realm={"team": {"name": "red"}}, permission="write all", entitlements="gold silver"),
            "scp": corp(scp="write read", groups="users"),
            "garbage": "garbage",
        }


class Requests:
    def __init__(self):
        self.all = []
        for path in (
            "/", "/healthz", "/static/a", "/x/a.css", "/bob", "/bobby", "/admin", "/admin/", "/admin/x", "/write",
            "/b/x/c", "/b/x/y/c", "/d/x/y", "/any/x?q=/bob", "/b/x;y/c", "/b/*/c", "/d/", "/d",
            "/d/a\"b", "/b/x|y/c", "/admin?x", "/bob?x=1", "/BOB", "/b/x/c/d",
        ):  # fmt: skip
            for method in ("GET", "POST"):
                self.all.append((method, path, {}))
        self.all += [
            ("DELETE", "/bob", {}),
            ("GET", "/bob", {"x-tier": "gold"}),
            ("GET", "/admin/x", {"x-tier": "silver"}),
            ("GET", "/bob", {"host": "orders.example.com"}),
            ("GET", "/bob", {"host": "ORDERS.example.com"}),
            ("GET", "/bob", {"host": "other.example.net"}),
            ("GET", "/bob", {"host": "orders.example.com:8080"}),
            ("GET", "/bob", {"host": "xorders.example.net"}),
            ("GET", "/bob", {"x-tier": ""}),
            ("GET", "/admin/x", {"x-tier": "golden"}),
            ("DELETE", "/write", {}),
        ]

    def some(self, seed, number, with_hosts=True):
        """Those of a case: some of all, by its number."""
        chosen = [one for one in self.all if with_hosts or "host" not in one[2]]
        return random.Random(f"{seed} {number}").sample(chosen, 14)


class Client:
    """Requests one after another over one connection."""

    def __init__(self, port, host=None):
        self.port, self.host, self.connection = port, host, None

    def passes(self, method, path, headers):
        return self.answer(method, path, headers)[0] == 200

    def answer(self, method, path, headers):
        """The status, and the reason that the filter gives or the text of another filter."""
        headers = dict(headers)
        if self.host:
            headers["host"] = self.host
        for attempt in range(3):
            try:
                self.connection = self.connection or HTTPConnection("127.0.0.1", self.port, timeout=20)
                self.connection.request(method, path, headers=headers)
                reply = self.connection.getresponse()
                body = reply.read()
                if reply.status not in (200, 400, 401, 403):
                    raise Failure(f"{method} {path}: {reply.status}")
                try:
                    return reply.status, json.loads(body)["reason"]
                except (ValueError, TypeError, KeyError):
                    return reply.status, body[:200].decode(errors="replace")
            except OSError:
                self.connection.close()
                self.connection = None
        raise Failure(f"{method} {path}: no answer on port {self.port}")


def compare(what, original, converted, tokens, requests):
    """Whether both let the same requests pass; how many they let pass, and how many not."""
    faults, counts = [], [0, 0]
    for method, path, headers in requests:
        for name, token in tokens.all.items():
            sent = headers | ({"authorization": f"Bearer {token}"} if token else {})
            (before, _), (after, reason) = (client.answer(method, path, sent) for client in (original, converted))
            was, now = before == 200, after == 200
            counts[was] += 1
            # The filter answers 400 where a request has several tokens: no request has them here.
            if was != now or (after == 400 and before != 400):
                faults.append(f"{method} {path} {headers or ''}, token '{name}': {before} before, {after} {reason} after")
    expect(not faults, f"{what}\n" + "\n".join(faults[:20]) + f"\n{len(faults)} requests differ")
    return counts


def convert(*resources):
    """The filter's configuration; `None` where the policy cannot be carried over."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(resources)})
    command = [str(JWTCTL), "convert", "--bare", "--findings", "json", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    expect(done.returncode in (0, 1), f"jwtctl convert ended with {done.returncode}: {done.stderr}")
    # An error of another kind is a fault of the conversion: it writes what the filter does not accept.
    errors = [one for one in json.loads(done.stderr)["findings"] if one["level"] == "error"]
    expect(all(one["code"] == "not-carried-over" for one in errors), f"jwtctl convert of {text}: {errors}")
    return done.stdout if done.returncode == 0 else None


# --- Istio


def some(chance, values, most=2):
    return chance.sample(values, chance.randint(1, most))


def istio_rule(chance):
    """A rule of an ALLOW policy."""
    rule = {}
    if chance.random() < 0.8:
        operation = {}
        if chance.random() < 0.85:
            paths = ["/bob", "/healthz", "/admin/*", "/static/*", "*.css", "/any*", "/b/{*}/c", "/d/{**}", "/write", "*"]
            paths += ["/b/{**}/c", "/{*}", "/b/{*}", "*/x"]
            operation["paths"] = some(chance, paths, 3)
        elif chance.random() < 0.5:
            operation["notPaths"] = some(chance, ["/bob", "/admin*", "/b/{*}/c", "*.css"])
        if chance.random() < 0.35:
            operation["methods"] = some(chance, ["GET", "POST", "DELETE", "P*", "*T"])
        elif chance.random() < 0.15:
            operation["notMethods"] = some(chance, ["GET", "P*"])
        if chance.random() < 0.15:
            operation["hosts"] = some(chance, ["orders.example.com", "*.example.net", "orders.*", "*orders.example.net"])
        if operation:
            rule["to"] = [{"operation": operation}]
    if chance.random() < 0.45:
        principals = ["*", f"{CORP}/*", f"{CORP}/bob", f"{CORP}/al*", f"{OTHER}/*", f"{OTHER}/bob", "*/bob", "*bob"]
        principals += [f"{CORP}/team/bob", f"{CORP}*", "*.example.com/bob", "*/team/bob", "https://*", "*ce"]
        name = "requestPrincipals" if chance.random() < 0.75 else "notRequestPrincipals"
        rule["from"] = [{"source": {name: some(chance, principals)}}]
    conditions = [
        {"key": "request.auth.claims[groups]", "values": ["admins", "root"]},
        {"key": "request.auth.claims[groups]", "values": ["us*"]},
        {"key": "request.auth.claims[scope]", "values": ["write"]},
        {"key": "request.auth.claims[role]", "values": ["*boss"]},
        {"key": "request.auth.claims[role]", "values": ["boss*", "none"]},
        {"key": "request.auth.claims[realm][team]", "values": ["red"]},
        {"key": "request.auth.audiences", "values": [AUDIENCE]},
        {"key": "request.auth.presenter", "values": ["web"]},
        {"key": "request.headers[x-tier]", "values": ["gold"]},
        {"key": "request.headers[x-tier]", "values": ["*"]},
        {"key": "request.headers[x-tier]", "values": ["gold*", "*ver"]},
        {"key": "request.headers[x-tier]", "notValues": ["gold"]},
        {"key": "request.auth.claims[groups]", "values": ["*"]},
        {"key": "request.auth.claims[role]", "values": ["*"]},
        {"key": "request.auth.claims[role]", "values": ["5*", "*0"]},
        {"key": "request.auth.claims[role]", "notValues": ["x-*", "5*"]},
        {"key": "request.auth.claims[groups]", "notValues": ["admins"]},
        {"key": "request.auth.claims[realm][team]", "values": ["*"]},
        {"key": "request.auth.claims[realm][team][name]", "values": ["r*"]},
        {"key": "request.auth.claims[scope]", "values": ["wr*", "7"]},
        {"key": "request.auth.claims[scope]", "values": ["*"]},
        {"key": "request.auth.claims[scope]", "notValues": ["write"]},
        {"key": "request.auth.claims[permission]", "values": ["*all"]},
        {"key": "request.auth.claims[entitlements]", "values": ["silver"]},
        {"key": "request.auth.claims[iss]", "values": [OTHER]},
        {"key": "request.auth.claims[sub]", "values": ["*bob"], "notValues": ["team*"]},
        {"key": "request.auth.presenter", "values": ["*"]},
        {"key": "request.auth.audiences", "notValues": ["billing"]},
        {"key": "request.auth.principal", "values": [f"{CORP}/alice", f"{OTHER}/*"]},
        {"key": "request.auth.principal", "notValues": ["*/bob"]},
    ]
    if chance.random() < 0.6:
        rule["when"] = some(chance, conditions)
    return rule


def istio_policies(chance):
    """Actions with their rules."""
    policies = []
    if chance.random() < 0.85:
        policies.append(("ALLOW", [istio_rule(chance) for _ in range(chance.randint(0, 3))]))
    if chance.random() < 0.35:
        without = {"from": [{"source": {"notRequestPrincipals": ["*"]}}]}
        paths = {"to": [{"operation": {"paths": some(chance, ["/bob", "/admin*", "/write"])}}]}
        policies.append(("DENY", [chance.choice([without, paths, without | paths, istio_rule(chance)])]))
    return policies


def istio_resources(tokens, policies, app, mark):
    """The resources of a case, for the workloads with this label. The mark is an audience that no token has."""
    metadata = {"name": "policy", "namespace": "default"}
    selector = {"matchLabels": {"app": app}}
    rules = [
        {"issuer": CORP, "audiences": [AUDIENCE, mark], "jwks": tokens.corp.jwks(), "forwardOriginalToken": True},
        {"issuer": OTHER, "jwks": tokens.other.jwks()},
    ]
    resources = [
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "RequestAuthentication",
            "metadata": metadata,
            "spec": {"selector": selector, "jwtRules": rules},
        }
    ]
    for action, rules in policies:
        resources.append(
            {
                "apiVersion": "security.istio.io/v1",
                "kind": "AuthorizationPolicy",
                "metadata": metadata | {"name": action.lower()},
                "spec": {"selector": selector, "action": action, "rules": rules},
            }
        )
    return resources


def istio_plugin(config, app):
    return {
        "apiVersion": "extensions.istio.io/v1alpha1",
        "kind": "TrafficExtension",
        "metadata": {"name": "converted", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": app}},
            "phase": "AUTHN",
            "wasm": {"url": f"file://{MODULE}", "failStrategy": "FAIL_CLOSE", "pluginConfig": config},
        },
    }


EVERY_METHOD = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT")


def having(name, *values):
    return {"key": f"request.auth.claims[{name}]", "values": list(values)}


def without(name, *values):
    return {"key": f"request.auth.claims[{name}]", "notValues": list(values)}


def conditions(operations, *when):
    return {"to": [{"operation": one} for one in operations], "when": list(when)}


FIXED = [
    [],
    [("ALLOW", [])],
    [("ALLOW", [{}])],
    [("ALLOW", [{"from": [{"source": {"requestPrincipals": ["*"]}}]}])],
    [("DENY", [{"from": [{"source": {"notRequestPrincipals": ["*"]}}]}])],
    [
        ("DENY", [{"from": [{"source": {"notRequestPrincipals": ["*"]}}], "to": [{"operation": {"paths": ["/admin/*"]}}]}]),
    ],
    # As an operator of Kubernetes writes them: a denial for each claim, a list of every method for none, and
    # two conditions for one claim.
    [
        ("DENY", [conditions([{"paths": ["/admin*"]}], without("iss", CORP)), conditions([{"paths": ["/admin*"]}], without("groups", "admins"))]),
        ("ALLOW", [
            conditions([{"notMethods": [*EVERY_METHOD], "paths": ["/admin*"]}, {"notPaths": ["/admin*"], "paths": ["*"]}],
                       having("iss", CORP), having("aud", AUDIENCE), having("groups", "users")),
            conditions([{"methods": ["GET", "POST"], "paths": ["/admin*"]}], having("iss", CORP), having("groups", "users"), having("groups", "admins")),
        ]),
    ],
    # Templates, exact paths and prefixes in one list; and a denial below a template.
    [
        ("ALLOW", [
            {"to": [{"operation": {"paths": ["/", "/{*}", "/b/{*}/c", "/b/{*}/y/{**}", "/any*"]}}]},
            conditions([{"notPaths": ["/d/{*}", "/static/{**}"], "paths": ["*"]}], having("iss", CORP)),
        ]),
        ("DENY", [conditions([{"methods": ["POST"], "paths": ["/b/{**}", "/admin/{*}"]}], without("iss", CORP))]),
    ],
]  # fmt: skip


def cases(seed, count):
    """The fixed cases, and as many generated ones; each with its number."""
    chance = random.Random(seed)
    return list(enumerate(FIXED + [istio_policies(chance) for _ in range(count)]))


# --- Envoy Gateway


def gateway_rule(chance):
    rule = {"action": "Allow" if chance.random() < 0.8 else "Deny", "principal": {}}
    if chance.random() < 0.5:
        rule["operation"] = {"methods": some(chance, ["GET", "POST", "DELETE"])}
    if chance.random() < 0.5:
        paths = [("Exact", "/bob"), ("PathPrefix", "/admin"), ("PathPrefix", "/b/"), ("PathPrefix", "/")]
        paths += [("RegularExpression", "/b/[^?]*"), ("RegularExpression", ".*x=1")]
        kind, value = chance.choice(paths)
        path = {"type": kind, "value": value} | ({"invert": True} if chance.random() < 0.3 else {})
        rule.setdefault("operation", {})["path"] = path
    if chance.random() < 0.15:
        rule["principal"]["headers"] = [{"name": "x-tier", "values": ["gold", "silver"]}]
    claims = [
        {"name": "groups", "valueType": "StringArray", "values": ["admins", "root"]},
        {"name": "groups", "valueType": "StringArray", "values": ["users"]},
        {"name": "role", "valueType": "String", "values": ["x-boss", "none"]},
        {"name": "sub", "valueType": "String", "values": ["alice"]},
        {"name": "realm.team", "valueType": "String", "values": ["red"]},
        {"name": "realm.team", "valueType": "StringArray", "values": ["red"]},
        {"name": "scope", "valueType": "StringArray", "values": ["write"]},
        {"name": "scope", "valueType": "String", "values": ["read"]},
        {"name": "role", "valueType": "String", "values": ["50", "x-boss"]},
        {"name": "role", "values": ["boss-x"]},
    ]
    jwt = {"provider": chance.choice(["corp", "corp", "other"])}
    if chance.random() < 0.4:
        jwt["scopes"] = some(chance, ["read", "write"])
    if chance.random() < 0.5 or "scopes" not in jwt:
        jwt["claims"] = some(chance, claims)
    rule["principal"]["jwt"] = jwt
    return rule


def gateway_policies(seed, count):
    """Specifications of a SecurityPolicy, without its target and its keys; each with its number."""
    chance = random.Random(seed)
    all = [{}, {"optional": True}, {"rules": []}]
    for _ in range(count):
        policy = {"rules": [gateway_rule(chance) for _ in range(chance.randint(1, 3))]}
        if chance.random() < 0.3:
            policy["optional"] = True
        if chance.random() < 0.4:
            policy["defaultAction"] = "Allow"
        all.append(policy)
    return list(enumerate(all))


def gateway_resource(tokens, policy, route, mark):
    def provider(name, signer, issuer, audiences):
        keys = {"type": "Inline", "inline": signer.jwks()}
        return {"name": name, "issuer": issuer, "localJWKS": keys} | ({"audiences": audiences} if audiences else {})

    providers = [
        provider("corp", tokens.corp, CORP, [AUDIENCE, mark]),
        provider("other", tokens.other, OTHER, []),
    ]
    spec = {
        "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": route}],
        "jwt": {"providers": providers} | ({"optional": True} if policy.get("optional") else {}),
    }
    if "rules" in policy:
        default = policy.get("defaultAction", "Deny")
        spec["authorization"] = {"defaultAction": default} | ({"rules": policy["rules"]} if policy["rules"] else {})
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "SecurityPolicy",
        # A name of its own: from files, Envoy Gateway merges a resource into the one that had its name, and a
        # field that the new one lacks, such as `jwt.optional`, stays.
        "metadata": {"name": f"original-{mark}", "namespace": "default"},
        "spec": spec,
    }


def gateway_plugin(config, route, url, digest):
    wasm = {
        "name": "converted",
        "failOpen": False,
        "code": {"type": "HTTP", "http": {"url": url, "sha256": digest}},
        "config": config,
    }
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyExtensionPolicy",
        "metadata": {"name": "converted", "namespace": "default"},
        "spec": {
            "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": route}],
            "wasm": [wasm],
        },
    }
