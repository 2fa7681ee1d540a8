"""Policies of Istio and Envoy Gateway as projects publish them, and the filters that their control planes make of them.

Each entry has the shape of one that a project publishes: which fields it uses, how its rules are written, and which
claims it reads. Names, issuers, paths and values are made up. `make istio` and `make gateway` compare with the control
planes themselves; here their translation is written again, so that it runs in seconds and without Go.
"""

import copy
import re

JWT_AUTHN = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3"
TEMPLATE = "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig"
RBAC = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3"
A, B, MAIL = "https://a.example.com/realms/main", "https://b.example.com/", "ci@a.example.com"


def rule(to=None, principals=None, without=None, when=None):
    """A rule of an AuthorizationPolicy."""
    made = {}
    if principals or without:
        name, values = ("requestPrincipals", principals) if principals else ("notRequestPrincipals", without)
        made["from"] = [{"source": {name: values}}]
    if to:
        made["to"] = [{"operation": operation} for operation in (to if isinstance(to, list) else [to])]
    if when:
        made["when"] = [{"key": key} | values for key, values in when.items()]
    return made


def claim(name, *values):
    return {f"request.auth.claims[{name}]": {"values": list(values)}}


#: The methods that an operator lists where it means none.
EVERY = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT"]



def none(name, *values):
    """A claim without these values."""
    return {f"request.auth.claims[{name}]": {"notValues": list(values)}}


def conditions(to, *parts):
    """A rule with conditions, also several for one key."""
    when = [{"key": key} | values for part in parts for key, values in part.items()]
    return {"to": [{"operation": one} for one in to], "when": when}


#: RequestAuthentication and AuthorizationPolicy: the rules of the first, and the actions of the second with
#: their rules.
ISTIO = {
    "one subject": (
        [{"issuer": MAIL}],
        [("ALLOW", [rule(principals=[f"{MAIL}/{MAIL}"])])],
    ),
    "a denial without a token, and hosts": (
        [{"issuer": A}],
        [
            ("DENY", [rule(without=["*"], to={"hosts": ["shop.example.com"]})]),
            ("ALLOW", [rule(principals=[f"{A}/*"], to={"hosts": ["shop.example.com"], "methods": ["GET"]})]),
            ("ALLOW", [rule(principals=[f"{A}/*"], when=claim("group", "admin"))]),
        ],
    ),
    "a denial without a token below a path": (
        [{"issuer": A, "forwardOriginalToken": True}],
        [("DENY", [rule(without=["*"], to={"paths": ["/admin/*"]})])],
    ),
    "public paths in a list, claims in headers": (
        [{"issuer": B, "audiences": ["shop"]}
         | {"outputClaimToHeaders": [{"header": "X-User", "claim": "sub"}, {"header": "X-Roles", "claim": "roles"}]}],
        [
            (
                "ALLOW",
                [
                    rule(to={"paths": ["/api/users/login", "/api/users/register", "/health"]}),
                    rule(principals=[f"{B}/*"]),
                ],
            )
        ],
    ),
    "a rule for each role": (
        [{"issuer": A}],
        [
            (
                "ALLOW",
                [
                    rule(principals=["*"], to={"methods": ["POST"], "paths": ["/notify"]}),
                    rule(principals=["*"], to={"methods": ["GET"], "paths": ["/admin"]}, when=claim("groups", "ops")),
                ],
            )
        ],
    ),
    "roles of a realm": (
        [{"issuer": A, "forwardOriginalToken": True}],
        [("ALLOW", [rule(principals=["*"], when=claim("realm_access][roles", "app-admin"))])],
    ),
    "a role is allowed, all others are denied": (
        [{"issuer": A}],
        [
            ("ALLOW", [rule(when=claim("iss", A) | claim("roles", "admin"))]),
            ("DENY", [rule(when=claim("iss", A) | {"request.auth.claims[roles]": {"notValues": ["admin"]}})]),
        ],
    ),
    "a claim of the tenant": (
        [{"issuer": A, "forwardOriginalToken": True}
         | {"outputClaimToHeaders": [{"header": "x-tenant", "claim": "custom:tenantid"}]}],
        [("ALLOW", [rule(when=claim("custom:tenantid", "t-1"))])],
    ),
    "the end of an issuer for each host": (
        [{"issuer": MAIL}, {"issuer": "ci@b.example.net"}],
        [
            (
                "ALLOW",
                [
                    rule(principals=["*@a.example.com/app"], to={"hosts": ["a.example.com", "*.a.example.com"]}),
                    rule(principals=["*@b.example.net/app"], to={"hosts": ["b.example.net", "*.b.example.net"]}),
                ],
            )
        ],
    ),
    "a denial without the header": (
        [{"issuer": A, "forwardOriginalToken": True}],
        [
            ("DENY", [rule(when={"request.headers[authorization]": {"notValues": ["*"]}})]),
            ("ALLOW", [rule(principals=[f"{A}/*"])]),
        ],
    ),
    "a header of its own, and the audience": (
        [{"issuer": "auth.example.com", "audiences": ["web"], "fromHeaders": [{"name": "X-Jwt-Assertion"}]}],
        [("ALLOW", [rule(when=claim("aud", "web"))])],
    ),
    "open paths in a policy of their own": (
        [{"issuer": B, "audiences": ["api"], "forwardOriginalToken": True}],
        [
            ("ALLOW", [rule(principals=["*"])]),
            ("ALLOW", [rule(to={"paths": ["/health", "/ready", "/metrics"]})]),
        ],
    ),
    "nothing but by scope and method": (
        [{"issuer": B, "audiences": ["api"]}],
        [
            ("ALLOW", []),
            (
                "ALLOW",
                [
                    rule(to={"methods": ["POST", "GET"], "paths": ["/payments/*"]}, when=claim("scope", "pay:write")),
                    rule(to={"methods": ["*"], "paths": ["/admin/*"]}, when=claim("scope", "admin", "root")),
                ],
            ),
        ],
    ),
    "a header and a cookie, two audiences": (
        [{"issuer": B, "audiences": ["api", "pay"], "forwardOriginalToken": True, "fromCookies": ["session"]}
         | {"fromHeaders": [{"name": "Authorization", "prefix": "Bearer "}]}
         | {"outputClaimToHeaders": [{"header": "x-jwt-sub", "claim": "sub"}]}],
        [("DENY", [rule(without=["*"], to={"paths": ["/api/*"]})])],
    ),
    "the actor of an exchanged token": (
        [{"issuer": "auth-service", "forwardOriginalToken": False, "fromHeaders": [{"name": "x-mesh-identity"}]}
         | {"outputClaimToHeaders": [{"header": "x-user", "claim": "sub"}]}],
        [("ALLOW", [rule(when=claim("aud", "orders") | claim("act][sub", "front"))])],
    ),
    "a denial but for the login": (
        [{"issuer": A, "forwardOriginalToken": True, "fromHeaders": [{"name": "Authorization", "prefix": "Bearer "}]}
         | {"outputClaimToHeaders": [{"header": "user-id", "claim": "email"}, {"header": "user-groups", "claim": "groups"}]},
         {"issuer": B, "forwardOriginalToken": True, "outputClaimToHeaders": [{"header": "user-id", "claim": "sub"}]}],
        [("DENY", [rule(without=["*"], to={"notPaths": ["/login/*", "/login/**", "/oauth2/*"]})])],
    ),
    "the scheme without a space, and every method": (
        [{"issuer": B, "audiences": ["api"], "fromHeaders": [{"name": "Authorization", "prefix": "Bearer"}]}],
        [
            (
                "ALLOW",
                [
                    rule(principals=[f"{B}/*"], when=claim("role", "admin")),
                    rule(to={"methods": ["GET", "POST", "PUT", "DELETE"], "paths": ["/open/*", "*/open"]}),
                ],
            )
        ],
    ),
    "roles by the beginning of a path": (
        [{"issuer": A, "audiences": ["api", "mobile"]}],
        [
            (
                "ALLOW",
                [
                    rule(principals=[f"{A}/*"], to={"methods": ["*"]}, when=claim("role", "admin", "super")),
                    rule(principals=[f"{A}/*"], to={"methods": ["GET", "POST"], "paths": ["/api/user/*"]},
                         when=claim("role", "user")),
                    rule(to={"paths": ["/public/*", "*.css"], "methods": ["GET"]}),
                ],
            )
        ],
    ),
    "denials of an operator, and a role twice": (
        [{"issuer": A, "audiences": ["web"], "forwardOriginalToken": True}],
        [
            ("DENY", [conditions([{"paths": ["/user*"]}], one) for one in
                      (none("iss", A), none("aud", "web"), none("role", "base"), none("role", "special"))]),
            ("ALLOW", [
                conditions([{"notMethods": EVERY, "paths": ["/user*"]}, {"notPaths": ["/user*"], "paths": ["*"]}],
                        claim("iss", A), claim("aud", "web"), claim("role", "base")),
                conditions([{"paths": ["/user*"]}],
                        claim("iss", A), claim("aud", "web"), claim("role", "base"), claim("role", "special")),
            ]),
        ],
    ),
    "methods of an operator, open, required and refused": (
        [{"issuer": A, "audiences": ["web"], "forwardOriginalToken": True}],
        [
            ("ALLOW", [rule(to={"methods": ["GET"], "paths": ["/public*"]})]),
            ("ALLOW", [
                conditions([{"notMethods": ["POST"], "paths": ["/api*"]}, {"notMethods": EVERY, "paths": ["/none*"]},
                         {"notMethods": ["GET"], "paths": ["/public*"]}, {"notPaths": ["/api*", "/none*", "/public*"], "paths": ["*"]}],
                        claim("iss", A), claim("aud", "web"), claim("role", "app")),
                conditions([{"methods": ["POST"], "paths": ["/api*"]}],
                        claim("iss", A), claim("aud", "web"), claim("role", "app"), claim("role", "user")),
                conditions([{"paths": ["/none*"]}],
                        claim("iss", A), claim("aud", "web"), claim("role", "app"), claim("role", "user"), claim("sub", "cli")),
            ]),
        ],
    ),
    "templates in paths": (
        [{"issuer": A, "audiences": ["web"], "forwardOriginalToken": True}],
        [
            ("ALLOW", [rule(to={"paths": ["/", "/{*}", "/foo", "/foo-bar", "/foo%20bar", "/foo/bar/", "/foo/{*}/bar/{*}",
                                          "/foo/{*}/bar%20baz/{*}", "/foo/{*}/bar/{**}", "/o/bar*"]})]),
            ("ALLOW", [conditions([{"notPaths": ["/foo/{*}", "/bar/{**}"], "paths": ["*"]}], claim("iss", A), claim("aud", "web"))]),
            ("DENY", [conditions([{"methods": ["POST"], "paths": ["/api/{*}/secure/{**}"]}], none("iss", A))]),
        ],
    ),
    "two issuers by path, and denied paths": (
        [{"issuer": A, "audiences": ["one"], "forwardOriginalToken": True}, {"issuer": B, "audiences": ["two"], "forwardOriginalToken": True}],
        [
            ("DENY", [rule(to={"paths": ["/actuator*"]})]),
            ("ALLOW", [rule(to={"paths": ["/login", "/open"]})]),
            ("ALLOW", [
                conditions([{"notPaths": ["/login", "/b"], "paths": ["/a", "/common"]}], claim("iss", A), claim("aud", "one")),
                conditions([{"notPaths": ["/a"], "paths": ["/b", "/common"]}], claim("iss", B), claim("aud", "two")),
            ]),
        ],
    ),
    "denied paths but for two, and a cookie": (
        [{"issuer": A, "audiences": ["one"], "forwardOriginalToken": True, "fromCookies": ["BearerToken"]}],
        [
            ("DENY", [rule(to={"paths": ["/actuator*"], "notPaths": ["/actuator/health", "/actuator/info"]})]),
            ("ALLOW", [rule(to={"paths": ["/login", "/actuator/health", "/actuator/info", "/public"]})]),
            ("ALLOW", [conditions([{"notPaths": ["/login"]}], claim("iss", A), claim("aud", "one"))]),
        ],
    ),
    "roles and the header of a version": (
        [{"issuer": A, "audiences": ["api", "app"], "outputClaimToHeaders": [{"header": "x-user-id", "claim": "sub"}]}],
        [("ALLOW", [
            rule(principals=[f"{A}/*"], when=claim("role", "admin", "super-admin"), to={"methods": ["*"]}),
            rule(principals=[f"{A}/*"], when=claim("role", "user") | {"request.headers[x-api-version]": {"values": ["v1"]}},
                 to={"methods": ["GET", "POST"], "paths": ["/api/v1/user/*"]}),
        ])],
    ),
    "a scope for writes, denied otherwise": (
        [{"issuer": B, "audiences": ["api", "pay"], "fromHeaders": [{"name": "Authorization", "prefix": "Bearer "}],
          "fromCookies": ["session_token"], "forwardOriginalToken": True,
          "outputClaimToHeaders": [{"header": "x-jwt-sub", "claim": "sub"}, {"header": "x-jwt-roles", "claim": "roles"}]}],
        [
            ("DENY", [rule(without=["*"], to={"notPaths": ["/health", "/metrics"]})]),
            ("DENY", [rule(to={"methods": ["POST", "PUT", "PATCH", "DELETE"], "paths": ["/api/v1/payments/*"]},
                           when=none("scope", "payments:write"))]),
        ],
    ),
    "permissions of a list": (
        [{"issuer": B, "audiences": ["https://api"], "forwardOriginalToken": True}],
        [
            ("DENY", [rule(without=["*"], to={"notPaths": ["/healthz", "/readyz", "/public/*"]})]),
            ("ALLOW", [
                rule(to={"methods": ["GET"]}, when=claim("permissions", "read:data")),
                rule(to={"methods": ["POST", "PUT"]}, when=claim("permissions", "write:data")),
                rule(to={"methods": ["DELETE"]}, when=claim("permissions", "admin:manage")),
            ]),
        ],
    ),
    "public paths, and a token below a prefix": (
        [{"issuer": A, "audiences": ["shop"], "outputClaimToHeaders": [{"header": "X-User-Id", "claim": "sub"}]}],
        [("ALLOW", [
            rule(to={"paths": ["/api/v1/users/register", "/api/v1/users/login", "/actuator/health"]}),
            rule(principals=["*"], to={"paths": ["/api/v1/*"]}),
        ])],
    ),
    "two operations, and files by suffix": (
        [{"issuer": MAIL}],
        [
            ("ALLOW", [
                rule(principals=[f"{MAIL}/*"], to=[{"methods": ["GET"], "paths": ["/users*"]}, {"methods": ["POST"], "paths": ["/data"]}],
                     when=claim("group", "beta", "admin", "dev")),
                rule(to={"paths": ["*.img", "*.js"]}),
            ]),
            ("ALLOW", [rule(principals=[f"{MAIL}/*"], when=claim("groups", "admin"))]),
        ],
    ),
    "a nested claim, mixed with open paths": (
        [{"issuer": A}],
        [("ALLOW", [
            rule(to={"paths": ["/health", "/metrics"]}),
            rule(principals=["*"], to={"notPaths": ["/health", "/metrics"]}, when=claim("metadata][region", "asia")),
        ])],
    ),
    "any value of a claim and of a presenter": (
        [{"issuer": A, "audiences": ["api"]}],
        [
            ("ALLOW", [rule(when=claim("email", "*@example.com") | {"request.auth.presenter": {"values": ["web*"]}}),
                       rule(when=claim("azp", "cron"), to={"hosts": ["jobs.example.com", "*.internal"]})]),
            ("DENY", [rule(when=claim("email_verified", "false"))]),
        ],
    ),
}  # fmt: skip


def allow(principal=None, operation=None, action="Allow"):
    """A rule of the authorization of a SecurityPolicy."""
    return {"action": action, "principal": principal or {}} | ({"operation": operation} if operation else {})


def of(provider, scopes=None, **claims):
    """A principal by token. A list is a claim that is a list; a tuple is one that is a text."""
    made = {"provider": provider}
    if scopes:
        made["scopes"] = scopes
    if claims:
        made["claims"] = [
            {"name": name.replace("__", "."), "valueType": "StringArray" if isinstance(values, list) else "String"}
            | {"values": list(values)}
            for name, values in claims.items()
        ]
    return {"jwt": made}


BEARER = {"headers": [{"name": "Authorization", "valuePrefix": "Bearer "}]}

#: SecurityPolicy: providers without their keys, and the rest of the specification.
GATEWAY = {
    "optional, by group": (
        [{"name": "idp", "issuer": A, "extractFrom": BEARER | {"cookies": ["access-token"]}}],
        {"optional": True, "authorization": {"defaultAction": "Deny", "rules": [allow(of("idp", groups=["ops"]))]}},
    ),
    "scopes and claims of a user": (
        [{"name": "example", "issuer": B}],
        {
            "authorization": {
                "defaultAction": "Deny",
                "rules": [allow(of("example", ["read", "add", "modify"], user__name=("Jane Doe",), user__roles=["admin"]))],
            }
        },
    ),
    "methods by role": (
        [{"name": "idp", "issuer": A, "audiences": ["models"]}],
        {
            "authorization": {
                "defaultAction": "Deny",
                "rules": [
                    allow(of("idp", realm_access__roles=["viewer"]), {"methods": ["GET", "HEAD"]}),
                    allow(of("idp", realm_access__roles=["deployer"]), {"methods": ["GET", "POST", "PUT"]}),
                    allow(of("idp", realm_access__roles=["admin"])),
                ],
            }
        },
    ),
    "addresses, from a cookie": (
        [{"name": "idp", "issuer": "https://accounts.example.com", "extractFrom": {"cookies": ["IdToken"]}}],
        {
            "authorization": {
                "defaultAction": "Deny",
                "rules": [allow(of("idp", email=("jane@example.com", "joe@example.com")))],
            }
        },
    ),
    "a scope as a claim": (
        [{"name": "idp", "issuer": B}],
        {"authorization": {"rules": [allow(of("idp", scope=["app:read"]))]}},
    ),
    "an audience, a header and a group": (
        [{"name": "idp", "issuer": A, "audiences": ["mail"], "claimToHeaders": [{"header": "x-email", "claim": "email"}]}],
        {"authorization": {"defaultAction": "Deny", "rules": [allow(of("idp", groups=["mail-users"]))]}},
    ),
    "claims in headers": (
        [{"name": "idp", "issuer": A, "audiences": ["tools"], "extractFrom": BEARER}
         | {"claimToHeaders": [{"header": "x-agent", "claim": "agent_id"}, {"header": "x-sub", "claim": "sub"}]}],
        {},
    ),
    "an issuer that is no URL": (
        [{"name": "demo", "issuer": "demo-issuer", "audiences": ["demo"], "extractFrom": BEARER}
         | {"claimToHeaders": [{"header": "x-sub", "claim": "sub"}, {"header": "x-name", "claim": "name"}]}],
        {},
    ),
    "a workload of Kubernetes": (
        [{"name": "k8s", "issuer": A, "audiences": ["manager"],
          "claimToHeaders": [{"claim": "kubernetes.io/serviceaccount.name", "header": "x-sa"}]}],
        {"authorization": {"defaultAction": "Deny", "rules": [allow(of("k8s", serviceaccount__name=("biscuit",), serviceaccount__namespace=("prod",)))]}},
    ),
    "a denial, all others are allowed": (
        [{"name": "one", "issuer": A, "audiences": ["two.foo.com"]}],
        {"authorization": {"defaultAction": "Allow", "rules": [
            allow(of("one", ["foo", "bar"], sub=("123",), roles=["admin", "superuser"]), action="Deny")]}},
    ),
    "two issuers, claims in headers": (
        [{"name": "one", "issuer": A, "audiences": ["one"], "claimToHeaders": [{"header": "one-key", "claim": "claim1"}]},
         {"name": "two", "issuer": B, "audiences": ["two"], "claimToHeaders": [{"header": "two-key", "claim": "claim2"}]}],
        {},
    ),
    "names, a subject and roles": (
        [{"name": "example", "issuer": B}],
        {"authorization": {"defaultAction": "Deny", "rules": [allow(of("example", user__name=("John Doe",), sub=("1234567890",), user__roles=["admin"]))]}},
    ),
    "three scopes": (
        [{"name": "example", "issuer": B}],
        {"authorization": {"defaultAction": "Deny", "rules": [allow(of("example", ["read", "add", "modify"]))]}},
    ),
    "optional, claims in headers": (
        [{"name": "example", "issuer": B, "claimToHeaders": [{"claim": "sub", "header": "x-sub"}, {"claim": "admin", "header": "x-admin"}]}],
        {"optional": True},
    ),
    "routes by claim": (
        [{"name": "kc", "issuer": A, "recomputeRoute": True, "claimToHeaders": [{"claim": "user_tier", "header": "x-user-tier"}]}],
        {},
    ),
    "an agent, and roles as a text": (
        [{"name": "kc", "issuer": A, "audiences": ["mcp"], "extractFrom": BEARER,
          "claimToHeaders": [{"claim": "agent_id", "header": "x-agent"}, {"claim": "realm_access.roles", "header": "x-roles"}]}],
        {"authorization": {"defaultAction": "Deny", "rules": [allow(of("kc", ["api:read"], groups=("admin", "api-users")))]}},
    ),
    "a denial before two permissions": (
        [{"name": "one", "issuer": A}, {"name": "two", "issuer": B, "audiences": ["x"]}],
        {"authorization": {"rules": [
            allow(of("one", banned=("yes",)), action="Deny"),
            allow(of("one", ["read"]), {"methods": ["GET", "HEAD"]}),
            allow(of("two", team=["ops"])),
        ]}},
    ),
    "optional, denied methods": (
        [{"name": "one", "issuer": A}],
        {"optional": True, "authorization": {"defaultAction": "Allow", "rules": [
            allow(of("one", roles=["reader"]), {"methods": ["POST", "DELETE"]}, action="Deny")]}},
    ),
}  # fmt: skip

#: Published features that the filter does not have: the error must contain this name of the field.
REFUSED = {
    "the identity of a workload beside a claim": (
        "principals",
        [{"issuer": A}],
        [("ALLOW", [{"from": [{"source": {"principals": ["cluster.local/ns/in/sa/gateway"]}}]} | rule(when=claim("r", "a"))])],
    ),
    "the namespace of a workload beside a principal": (
        "namespaces",
        [{"issuer": A}],
        [("ALLOW", [{"from": [{"source": {"namespaces": ["edge"], "requestPrincipals": ["*"]}}]}])],
    ),
    "a port": (
        "notPorts",
        [{"issuer": A}],
        [("DENY", [rule(without=[f"{A}/*"], to={"notPorts": ["15020"], "notPaths": ["/stats"]})])],
    ),
    "another service decides": (
        "CUSTOM",
        [{"issuer": A}],
        [("CUSTOM", [rule(when={"request.headers[authorization]": {"notValues": ["*"]}})])],
    ),
    "addresses of clients": (
        "remote.ip",
        [{"issuer": A}],
        [("ALLOW", [rule(principals=["*"], when={"remote.ip": {"values": ["192.0.2.0/24"]}})])],
    ),
    "addresses of clients, in a SecurityPolicy": (
        "clientCIDRs",
        [{"name": "idp", "issuer": A}],
        {"authorization": {"rules": [allow({"clientCIDRs": ["192.0.2.0/24"]} | of("idp", groups=["a"]))]}},
    ),
    "tokens of any issuer": ("issuer", [{"name": "idp"}], {}),
}


# --- the resources, with keys


def istio_resources(rules, policies, jwks):
    version, metadata = "security.istio.io/v1", {"name": "a", "namespace": "n"}
    rules = [one | {"jwks": jwks} for one in rules]
    resources = [{"apiVersion": version, "kind": "RequestAuthentication", "metadata": metadata, "spec": {"jwtRules": rules}}]
    for action, rules in policies:
        spec = {"action": action} | ({"rules": rules} if rules else {})
        resources.append({"apiVersion": version, "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec})
    return resources


def gateway_resource(providers, rest, jwks):
    target = [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "r"}]
    providers = [one | {"localJWKS": {"type": "Inline", "inline": jwks}} for one in providers]
    rest = dict(rest)
    jwt = {"providers": providers} | ({"optional": True} if rest.pop("optional", False) else {})
    version, metadata = "gateway.envoyproxy.io/v1alpha1", {"name": "p", "namespace": "n"}
    return {"apiVersion": version, "kind": "SecurityPolicy", "metadata": metadata, "spec": {"targetRefs": target, "jwt": jwt} | rest}


# --- what istiod makes of them


def string(value):
    """How Istio matches a text: `*` for any, `a*`, `*a` or `a`."""
    if value == "*":
        return {"safe_regex": {"regex": ".+"}}
    if value.startswith("*"):
        return {"suffix": value[1:]}
    return {"prefix": value[:-1]} if value.endswith("*") else {"exact": value}


def either(parts, name, inner):
    return parts[0] if len(parts) == 1 else {name: {inner: parts}}


def in_payload(path, value):
    keys = [{"key": key} for key in ["payload", *path]]
    return {"metadata": {"filter": "envoy.filters.http.jwt_authn", "path": keys, "value": value}}


def has_claim(path, values):
    """A text, or an element of a list."""
    texts = [{"string_match": string(value)} for value in values]
    text = either(texts, "or_match", "value_matchers")
    return in_payload(path, {"or_match": {"value_matchers": [{"list_match": {"one_of": text}}, text]}})


def principal(value):
    issuer, slash, subject = value.rpartition("/")
    any_text = {"safe_regex": {"regex": ".+"}}
    if value == "*":
        both = any_text, any_text
    elif not slash:
        # Without a slash the text is for the issuer, unless it begins with a star.
        both = (any_text, {"suffix": value[1:]}) if value.startswith("*") else (string(value), any_text)
        if not value.startswith("*") and not value.endswith("*"):
            both = {"exact": value}, {"exact": ""}
    elif value.startswith("*"):
        both = any_text if issuer == "*" else {"suffix": issuer[1:]}, {"exact": subject}
    else:
        both = {"exact": issuer}, string(subject)
    parts = [in_payload([name], {"string_match": match}) for name, match in zip(("iss", "sub"), both)]
    return {"and_ids": {"ids": parts}}


def header(name, value, ignore_case=False):
    if value == "*":
        return {"header": {"name": name, "present_match": True}}
    return {"header": {"name": name, "string_match": string(value) | ({"ignore_case": True} if ignore_case else {})}}


def condition(key, values):
    """The principal for the values of a condition."""
    if key == "request.auth.principal":
        return either([principal(value) for value in values], "or_ids", "ids")
    if found := re.fullmatch(r"request\.headers\[(.*)]", key):
        return either([header(found[1].lower(), value) for value in values], "or_ids", "ids")
    names = {"request.auth.audiences": ["aud"], "request.auth.presenter": ["azp"]}
    return has_claim(names.get(key) or claim_path(key), values)


def claim_path(key):
    return key.removeprefix("request.auth.claims[").removesuffix("]").split("][")


def path(value):
    """A path, or a template with `{*}` for a segment and `{**}` for several."""
    if "{*}" not in value and "{**}" not in value:
        return {"url_path": {"path": string(value)}}
    template = value.replace("{**}", "**").replace("{*}", "*")
    return {"uri_template": {"name": "template", "typed_config": {"@type": TEMPLATE, "path_template": template}}}


def operation(one):
    parts = []
    matches = {
        "paths": path,
        "methods": lambda value: header(":method", value),
        "hosts": lambda value: header(":authority", value, ignore_case=True),
    }
    for name, match in matches.items():
        if values := one.get(name):
            parts.append(either([match(value) for value in values], "or_rules", "rules"))
        if values := one.get("not" + name.capitalize()):
            parts.append({"not_rule": either([match(value) for value in values], "or_rules", "rules")})
    return {"and_rules": {"rules": parts}}


def rbac_rule(one):
    when = []
    for part in one.get("when", []):
        if values := part.get("values"):
            when.append(condition(part["key"], values))
        if values := part.get("notValues"):
            when.append({"not_id": condition(part["key"], values)})
    principals = []
    for source in one.get("from", [{"source": {}}]):
        parts = []
        if values := source["source"].get("requestPrincipals"):
            parts.append(condition("request.auth.principal", values))
        if values := source["source"].get("notRequestPrincipals"):
            parts.append({"not_id": condition("request.auth.principal", values)})
        all = parts + when
        principals.append({"and_ids": {"ids": all}} if all else {"any": True})
    permissions = [operation(to["operation"]) for to in one.get("to", [])] or [{"any": True}]
    return {"permissions": permissions, "principals": principals}


def istiod(rules, policies, jwks):
    """The filters for a RequestAuthentication and its AuthorizationPolicies."""
    providers = {}
    for number, one in enumerate(rules):
        provider = {"issuer": one["issuer"], "local_jwks": {"inline_string": jwks}, "payload_in_metadata": "payload"}
        provider["normalize_payload_in_metadata"] = {"space_delimited_claims": ["scope", "permission"]}
        provider["forward"] = one.get("forwardOriginalToken", False)
        provider["audiences"] = one.get("audiences", [])
        headers = [{"name": each["name"], "value_prefix": each.get("prefix", "")} for each in one.get("fromHeaders", [])]
        provider |= {"from_headers": headers, "from_cookies": one.get("fromCookies", [])}
        to_headers = one.get("outputClaimToHeaders", [])
        provider["claim_to_headers"] = [{"header_name": each["header"], "claim_name": each["claim"]} for each in to_headers]
        providers[f"origins-{number}"] = provider

    def any_of(*parts):
        return {"requires_any": {"requirements": list(parts)}}

    missing, names = {"allow_missing": {}}, [{"provider_name": name} for name in providers]
    last = {"requires_all": {"requirements": [any_of(name, missing) for name in names]}}
    requires = any_of(*names, missing if len(names) == 1 else last)
    authn = {"@type": f"{JWT_AUTHN}.JwtAuthentication", "providers": providers, "bypass_cors_preflight": True}
    authn["rules"] = [{"match": {"prefix": "/"}, "requires": requires}]
    filters = [{"name": "envoy.filters.http.jwt_authn", "typed_config": authn}]
    for action in ("DENY", "ALLOW"):
        found = [rules for kind, rules in policies if kind == action]
        made = {f"{number}-{place}": rbac_rule(one) for number, rules in enumerate(found) for place, one in enumerate(rules)}
        if found and (made or action == "ALLOW"):
            rbac = {"@type": f"{RBAC}.RBAC", "rules": {"action": action, "policies": made}}
            filters.append({"name": "envoy.filters.http.rbac", "typed_config": rbac})
    return filters, {}


# --- what Envoy Gateway makes of them


MATCHING = "type.googleapis.com/envoy.extensions.matching"


def metadata_predicate(provider, path, value):
    keys = [{"key": key} for key in [provider, *path]]
    kind = f"{MATCHING}.common_inputs.network.v3.DynamicMetadataInput"
    where = {"@type": kind, "filter": "envoy.filters.http.jwt_authn", "path": keys}
    what = {"@type": f"{MATCHING}.input_matchers.metadata.v3.Metadata", "value": value}
    parts = {"input": {"name": "claim", "typed_config": where}, "custom_match": {"name": "claim_matcher", "typed_config": what}}
    return {"single_predicate": parts}


def method_predicate(value):
    kind = "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
    where = {"name": "http_header", "typed_config": {"@type": kind, "header_name": ":method"}}
    return {"single_predicate": {"input": where, "value_match": {"exact": value, "ignore_case": True}}}


def gateway_predicate(one):
    exact = {"String": lambda value: {"string_match": {"exact": value}}}
    exact["StringArray"] = lambda value: {"list_match": {"one_of": exact["String"](value)}}
    all = []
    if methods := one.get("operation", {}).get("methods"):
        all.append(either([method_predicate(method) for method in methods], "or_matcher", "predicate"))
    if jwt := one["principal"].get("jwt"):
        for scope in jwt.get("scopes", []):
            both = [metadata_predicate(jwt["provider"], [name], exact["StringArray"](scope)) for name in ("scope", "scp")]
            all.append(either(both, "or_matcher", "predicate"))
        for each in jwt.get("claims", []):
            match = exact[each.get("valueType", "String")]
            path = each["name"].split(".")
            values = [metadata_predicate(jwt["provider"], path, match(value)) for value in each["values"]]
            all.append(either(values, "or_matcher", "predicate"))
    return either(all, "and_matcher", "predicate")


def action(name, kind):
    value = {"@type": "type.googleapis.com/envoy.config.rbac.v3.Action", "name": kind, "action": kind}
    return {"action": {"name": name, "typed_config": value}}


def envoy_gateway(providers, rest, jwks):
    """The filters for a SecurityPolicy, and the settings of its route."""
    made, requirements = {}, []
    for one in providers:
        provider = {"issuer": one["issuer"], "audiences": one.get("audiences", []), "payload_in_metadata": one["name"]}
        provider |= {"local_jwks": {"inline_string": jwks}, "forward": True}
        provider["normalize_payload_in_metadata"] = {"space_delimited_claims": ["scope", "scp"]}
        place = one.get("extractFrom", {})
        headers = place.get("headers", [])
        provider["from_headers"] = [{"name": each["name"], "value_prefix": each.get("valuePrefix", "")} for each in headers]
        provider["from_cookies"] = place.get("cookies", [])
        to_headers = one.get("claimToHeaders", [])
        provider["claim_to_headers"] = [{"header_name": each["header"], "claim_name": each["claim"]} for each in to_headers]
        made[one["name"]] = provider
        requirements.append({"provider_name": one["name"]})
    if rest.get("optional"):
        requirements.append({"allow_missing": {}})
    requirement = either(requirements, "requires_any", "requirements")
    authn = {"@type": f"{JWT_AUTHN}.JwtAuthentication", "providers": made, "requirement_map": {"r": requirement}}
    filters = [{"name": "envoy.filters.http.jwt_authn", "typed_config": authn}]
    settings = {"envoy.filters.http.jwt_authn": {"@type": f"{JWT_AUTHN}.PerRouteConfig", "requirement_name": "r"}}
    if authorization := rest.get("authorization"):
        matchers = [
            {"predicate": gateway_predicate(one), "on_match": action(f"rule {number}", one["action"].upper())}
            for number, one in enumerate(authorization.get("rules", []))
        ]
        default = authorization.get("defaultAction", "Deny").upper()
        matcher = {"matcher_list": {"matchers": matchers}} if matchers else {}
        rbac = {"@type": f"{RBAC}.RBACPerRoute", "rbac": {"matcher": matcher | {"on_no_match": action("default", default)}}}
        filters.append({"name": "envoy.filters.http.rbac", "typed_config": {"@type": f"{RBAC}.RBAC"}})
        settings["envoy.filters.http.rbac"] = rbac
    return filters, settings


# --- tokens and requests


def example(value):
    """A text that such a value of Istio matches."""
    return "any" if value == "*" else value.replace("{**}", "x/y").replace("{*}", "x").replace("*", "x")


def of_istio(policies):
    """What the rules read: claims with values, subjects, paths, methods, hosts and headers."""
    found = {"claims": {}, "subjects": [], "paths": [], "methods": [], "hosts": [], "headers": []}
    for one in (one for _, rules in policies for one in rules):
        for to in one.get("to", []):
            for name in ("paths", "methods", "hosts"):
                values = to["operation"].get(name, []) + to["operation"].get("not" + name.capitalize(), [])
                found[name] += [example(value) for value in values if value != "*"]
        for source in one.get("from", []):
            values = source["source"].get("requestPrincipals", []) + source["source"].get("notRequestPrincipals", [])
            found["subjects"] += [example(value).rpartition("/")[2] for value in values]
        for part in one.get("when", []):
            values = [example(value) for value in part.get("values", []) + part.get("notValues", [])]
            if part["key"].startswith("request.auth.claims["):
                found["claims"].setdefault(tuple(claim_path(part["key"])), []).extend(values)
    return found


def of_gateway(rest):
    found = {"claims": {}, "subjects": [], "paths": ["/tools"], "methods": [], "hosts": [], "headers": []}
    for one in rest.get("authorization", {}).get("rules", []):
        found["methods"] += one.get("operation", {}).get("methods", [])
        jwt = one["principal"].get("jwt", {})
        for each in jwt.get("claims", []):
            found["claims"].setdefault(tuple(each["name"].split(".")), []).extend(each["values"])
        if scopes := jwt.get("scopes"):
            found["claims"].setdefault(("scope",), []).append(" ".join(scopes))
            found["claims"][("scope",)] += scopes
            found["claims"].setdefault(("scp",), []).append(list(scopes))
    return found


def nested(path, value):
    for key in reversed(path):
        value = {key: value}
    return value


def merged(claims, more):
    """Claims with more of them; objects are merged, too."""
    claims = copy.deepcopy(claims)
    for key, value in more.items():
        both = isinstance(value, dict) and isinstance(claims.get(key), dict)
        claims[key] = merged(claims[key], value) if both else value
    return claims


def tokens_of(issuers, found, signer, stranger, now):
    """Good and faulty tokens of each issuer, and one for each way to have, or to lack, each claim."""
    tokens = {"none": None, "garbage": "garbage", "three parts": "a.b.c"}
    for number, (issuer, audiences) in enumerate(issuers):
        aud = audiences[0] if audiences else (found["claims"].get(("aud",)) or ["api"])[0]
        base = {"iss": issuer, "sub": "user", "iat": now, "exp": now + 3600, "aud": aud}
        changes = {
            "plain": {},
            "expired": {"exp": now - 7200},
            "too early": {"nbf": now + 7200},
            "without exp": {"exp": None},
            "for another": {"aud": "else"},
            "for several": {"aud": ["else", aud]},
            "without sub": {"sub": None},
            "of another issuer": {"iss": "https://else.example"},
        }
        for subject in found["subjects"]:
            changes[f"of {subject}"] = {"sub": subject}
        claims = {path: values for path, values in found["claims"].items() if path not in (("iss",), ("aud",))}
        every = {}
        for path, values in claims.items():
            # A `sub` that is a list makes the whole token malformed.
            is_list = path in (("scope",), ("sub",)) or isinstance(values[0], list)
            every = merged(every, nested(path, values[0] if is_list else [values[0]]))
        texts = {}
        for path, values in claims.items():
            texts = merged(texts, nested(path, values[0]))
        for subject in found["subjects"][:1] or ["user"]:
            changes["every claim"] = {"sub": subject} | every
            changes["every claim as a text"] = {"sub": subject} | texts
        for path, values in claims.items():
            name = ".".join(path)
            for value in values:
                other = value[0] if isinstance(value, list) else value
                for what, one in {
                    "is": value,
                    "has": ["x", other],
                    "has words": f"x {other} y",
                    "begins with": f"{other}x",
                    "ends with": f"x{other}",
                }.items():
                    changes[f"{name} {what} {other}"] = merged(every, nested(path, one))
            for what, one in {"missing": None, "empty": [], "a number": 7, "a truth": True, "an object": {"x": 1}}.items():
                changes[f"{name} {what}"] = merged(every, nested(path, one))
        for what, change in changes.items():
            values = {key: value for key, value in merged(base, change).items() if value is not None}
            tokens[f"{number}, {what}"] = signer.token(**values)
        tokens[f"{number}, forged"] = stranger.token(**merged(base, every))
    return tokens


def targets_of(found):
    """Method, path and headers of requests that meet the rules, and of others."""
    paths = ["/", "/other", "/other/x", "/x.css"]
    for path in found["paths"]:
        paths += [path, path + "x", path.rstrip("/") + "/x", path.rpartition("/")[0] or "/", path + "?a=1"]
    methods = list(dict.fromkeys(found["methods"] + ["GET", "POST"]))
    hosts = list(dict.fromkeys([None, *found["hosts"], *(["else.example"] if found["hosts"] else [])]))
    for path in dict.fromkeys(paths):
        for method in methods if path in found["paths"] or path == "/" else methods[:1]:
            for host in hosts:
                yield method, path, {"host": host} if host else {}
