"""oidc-provider (npm): every algorithm, DPoP by two client libraries, mutual TLS, TLS with a private authority."""

import json
import shutil

from checks import bearer, provider, upstream_cluster
from idp import Idp
from kit import (
    ROOT,
    Certificates,
    Envoy,
    Process,
    accepts,
    broken,
    cluster,
    decode,
    eventually,
    expect,
    free_port,
    http,
    listener,
    node_packages,
    run,
    token_of,
)

SOURCES = ROOT / "scripts/interop/oidc-provider"


def client_libraries(folder):
    """The scripts and the packages that they import, in this folder; returns the versions of the packages."""
    packages, modules = node_packages("oidc-provider", SOURCES)
    # Node.js looks for packages beside the file that imports them.
    for source in SOURCES.glob("*.mjs"):
        shutil.copy(source, folder)
    (folder / "node_modules").symlink_to(modules / "node_modules")
    return packages


def binding_listeners(server):
    """Listeners whose tokens are bound to a proof, to a proof with a nonce, and to a certificate."""
    certificate = server.certificates.issue("envoy", "localhost")
    tls = {"cert": certificate[0], "key": certificate[1], "ca": server.certificates.ca}

    def bound(name, binding, **more):
        config = {"providers": {"idp": provider(server, binding=binding)}, "stat_prefix": name}
        return listener(name, config, **more)

    return [
        bound("dpop", {"dpop": {"required": True}}),
        bound("nonce", {"dpop": {"required": True, "nonce": True}}),
        bound("mtls", {"mtls": "required"}, tls=tls),
    ]


def try_dpop(folder, envoy, issuer, client, audience, algorithm, authority=None):
    """Two client libraries at the listeners `dpop` and `nonce`, with tokens of this issuer."""
    environment = {"NODE_EXTRA_CA_CERTS": str(authority)} if authority else None
    for name, demands in (("dpop", 0), ("nonce", 2)):
        arguments = (issuer, envoy.url(name), audience, *client, algorithm)
        output = run("node", folder / "dpop.mjs", *arguments, cwd=folder, env=environment)
        for library, seen in json.loads(output.splitlines()[-1]).items():
            expect(seen == {"status": 200, "token_type": "dpop"}, f"{library} at the listener {name}: {seen}")
        refused = envoy.stats(rf"jwt\.{name}\.denied\.proof_nonce").popitem()[1]
        expect(refused == demands, f"the listener {name} asked {refused} times for a nonce and not {demands} times")


class OidcProvider(Idp):
    name = "oidc-provider"
    algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
    audience = "https://orders.example.com"
    rotation = "a new key set in its file, and a restart"
    claim_to_headers = [
        {"claim_name": "client_id", "header_name": "x-jwt-client"},
        {"claim_name": "scope", "header_name": "x-jwt-scope"},
    ]
    provider_fields = {"profile": "rfc9068"}

    def install(self):
        self.version = client_libraries(self.folder)["oidc-provider"]
        certificates = self.certificates = Certificates(self.folder / "tls")
        self.port, self.wrong_host, self.expired = free_port(), free_port(), free_port()
        self.issuer = f"https://localhost:{self.port}"
        good = certificates.issue("idp", "localhost")
        self.listen = [
            (self.port, good),
            (self.wrong_host, certificates.issue("wrong-host", "other.example.com")),
            (self.expired, certificates.issue("expired", "localhost", "20200101000000Z", "20200201000000Z")),
        ]
        self.client = certificates.issue("client", "client.example.com")
        self.other_client = certificates.issue("other-client", "other.example.com")
        self.keys = [self._new_keys("first")]

    def _node(self, script, *arguments, **more):
        return run("node", self.folder / script, *arguments, cwd=self.folder, **more)

    def _new_keys(self, mark):
        return json.loads(self._node("keys.mjs", mark, *self.algorithms))["keys"]

    def start(self):
        keys = self.folder / "keys.json"
        keys.write_text(json.dumps({"keys": [key for keys in self.keys for key in keys]}))
        settings = {
            "issuer": self.issuer,
            "keys": str(keys),
            "audience": self.audience,
            "algorithms": self.algorithms,
            "clientCert": str(self.client[0]),
            "listen": [{"port": port, "cert": str(cert), "key": str(key)} for port, (cert, key) in self.listen],
        }
        (self.folder / "settings.json").write_text(json.dumps(settings))
        command = ["node", self.folder / "server.mjs", self.folder / "settings.json"]
        self.process = Process(self.name, command, self.folder / "server.log", cwd=self.folder)
        self.process.wait_until("its port", lambda: all(accepts(port) for port, _ in self.listen))

    def _ask(self, basic=None, client=None, **form):
        form = {"grant_type": "client_credentials", "resource": self.audience, "scope": "orders:read", **form}
        context = self.certificates.context(client)
        return token_of(http("POST", self.issuer + "/token", form=form, basic=basic, context=context))

    def token(self, algorithm=None):
        return self._ask(basic=(f"orders-{algorithm or 'RS256'}", "secret"))

    def rotate(self):
        # It signs with the first key that fits; the old one stays published, because its tokens are not over.
        self.keys.insert(0, self._new_keys("second"))
        self.stop()
        self.start()

    def cluster(self, port=None):
        return cluster("idp", port or self.port, tls={"ca": self.certificates.ca, "name": "localhost"})

    def more_listeners(self):
        return binding_listeners(self)

    def expected_headers(self, claims):
        return {"x-jwt-client": claims["client_id"], "x-jwt-scope": "orders:read"}

    def extras(self):
        return [self.dpop, self.mtls, self.tls]

    def dpop(self, envoy, *_):
        """DPoP with openid-client and oauth4webapi"""
        client = ("orders-RS256", "secret")
        try_dpop(self.folder, envoy, self.issuer, client, self.audience, "EdDSA", self.certificates.ca)
        reply = http("GET", envoy.url("dpop"), bearer(self.token()))
        expect(reply.status == 401, f"an unbound token where proofs are required: {reply}")
        return "DPoP with openid-client and oauth4webapi, with and without nonce"

    def mtls(self, envoy, *_):
        """tokens bound to a certificate"""
        token = self._ask(client=self.client, client_id="mtls")
        expect("x5t#S256" in decode(token)["cnf"], f"an unbound token: {decode(token)}")
        url = envoy.url("mtls", scheme="https", host="localhost")
        reply = http("GET", url, bearer(token), context=self.certificates.context(self.client))
        expect(reply.status == 200, f"with the client's certificate: {reply}")
        reply = http("GET", url, bearer(token), context=self.certificates.context(self.other_client))
        expect((reply.status, reply.reason) == (401, "binding_mismatch"), f"with another certificate: {reply}")
        reply = http("GET", envoy.url(), bearer(token))
        expect((reply.status, reply.reason) == (401, "binding_mismatch"), f"as a bearer token: {reply}")
        return "mTLS-bound tokens"

    def tls(self, _, folder, upstream):
        """TLS with a private authority: another host, an expired certificate"""
        token = self.token()
        for what, port in (("wrong host", self.wrong_host), ("expired", self.expired)):
            config = {"providers": {"idp": provider(self)}}
            envoy = Envoy(folder, [listener("main", config)], [self.cluster(port), upstream_cluster(upstream)])
            try:
                eventually(
                    f"a failed handshake, {what}",
                    lambda envoy=envoy: sum(envoy.stats(r"cluster\.idp\.ssl\.fail_verify").values()),
                )
                for value in (token, broken(token)):
                    reply = http("GET", envoy.url(), bearer(value))
                    expect((reply.status, reply.reason) == (503, "keys_unavailable"), f"{what}: {reply}")
            finally:
                envoy.stop()
        return "TLS with a private CA: good, wrong host, expired"


SERVER = OidcProvider
