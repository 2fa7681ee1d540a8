"""Keycloak (Maven Central): realm import, four kinds of keys, nested roles, DPoP, tokens bound to a certificate."""

import json
import shutil
import subprocess

from checks import bearer, provider
from idp import Idp
from kit import (
    Certificates,
    Failure,
    Process,
    Unavailable,
    accepts,
    cached,
    decode,
    expect,
    free_port,
    http,
    listener,
    need,
    run,
    say,
    token_of,
)
from servers.oidc_provider import binding_listeners, client_libraries, try_dpop

VERSION = "26.7.3"
ARTIFACT = "org.keycloak:keycloak-quarkus-dist"
REALM = "main"
SECRET = "a-secret-of-a-client"
#: The key providers of the algorithms, with their settings.
KEYS = {
    "RS256": ("rsa-generated", {"algorithm": ["RS256"], "keySize": ["2048"]}),
    "PS256": ("rsa-generated", {"algorithm": ["PS256"], "keySize": ["2048"]}),
    "ES256": ("ecdsa-generated", {"ecdsaEllipticCurveKey": ["P-256"]}),
    "EdDSA": ("eddsa-generated", {"eddsaEllipticCurveKey": ["Ed25519"]}),
}


def key_provider(algorithm, name, priority):
    kind, settings = KEYS[algorithm]
    return {
        "name": name,
        "providerId": kind,
        "config": {**settings, "priority": [str(priority)], "enabled": ["true"], "active": ["true"]},
    }


class Keycloak(Idp):
    name = "Keycloak"
    version = VERSION
    algorithms = list(KEYS)
    rotation = "a key with a higher priority by its admin API"
    slow = "a download of 180 MB, and some minutes to build and start on two cores"
    claim_to_headers = [
        {"claim_name": "azp", "header_name": "x-jwt-client"},
        {"claim_name": "realm_access.roles", "header_name": "x-jwt-roles", "format": "csv"},
    ]

    def install(self):
        self.version = VERSION
        need("java", "Java 17 or 21")

        def make(folder):
            say(f"  downloading {ARTIFACT} {VERSION} from Maven Central")
            if shutil.which("mvn"):
                run(
                    "mvn", "-q", "-B", "dependency:copy", f"-Dartifact={ARTIFACT}:{VERSION}:zip",
                    f"-DoutputDirectory={folder}", timeout=1800,
                )  # fmt: skip
            else:
                raise Unavailable("mvn is not installed (apt-get install maven)")
            archive = next(folder.glob("*.zip"))
            shutil.unpack_archive(archive, folder)
            archive.unlink()
            home = next(folder.glob("keycloak-*"))
            home.rename(folder / "home")
            kc = folder / "home/bin/kc.sh"
            kc.chmod(0o755)
            say("  kc.sh build")
            run(kc, "build", "--db=dev-file", "--https-client-auth=request", "--features=dpop", timeout=1800)

        files = cached("keycloak", VERSION, make)
        # It keeps its database below its home. Hard links: the distribution is large and is not written to.
        self.home = self.folder / "home"
        if subprocess.run(["cp", "-al", files / "home", self.home], stderr=subprocess.DEVNULL).returncode != 0:
            shutil.rmtree(self.home, ignore_errors=True)
            shutil.copytree(files / "home", self.home)
        self.port, self.tls_port = free_port(), free_port()
        self.base = f"http://localhost:{self.port}"
        self.issuer = f"{self.base}/realms/{REALM}"
        self.certificates = Certificates(self.folder / "tls")
        self.server = self.certificates.issue("idp", "localhost")
        self.client = self.certificates.issue("client", "client.example.com")
        self.other_client = self.certificates.issue("other-client", "other.example.com")
        imported = self.home / "data/import"
        imported.mkdir(parents=True)
        (imported / f"{REALM}-realm.json").write_text(json.dumps(self._realm()))

    def _client(self, name, **attributes):
        return {
            "clientId": name,
            "secret": SECRET,
            "serviceAccountsEnabled": True,
            "standardFlowEnabled": False,
            "attributes": attributes,
            "protocolMappers": [
                {
                    "name": "audience",
                    "protocol": "openid-connect",
                    "protocolMapper": "oidc-audience-mapper",
                    "config": {"included.custom.audience": self.audience, "access.token.claim": "true"},
                }
            ],
        }

    def _realm(self):
        clients = [
            *(self._client(f"orders-{alg}", **{"access.token.signed.response.alg": alg}) for alg in self.algorithms),
            self._client("dpop", **{"dpop.bound.access.tokens": "true"}),
            self._client("mtls", **{"tls.client.certificate.bound.access.tokens": "true"}),
            self._client("typed", **{"access.token.header.type.rfc9068": "true"}),
        ]
        keys = [key_provider(alg, f"first-{alg}", 100) for alg in self.algorithms]
        return {
            "realm": REALM,
            "enabled": True,
            "sslRequired": "none",
            "accessTokenLifespan": 600,
            "roles": {"realm": [{"name": "orders-reader"}]},
            "clients": clients,
            "users": [
                {
                    "username": f"service-account-{client['clientId']}",
                    "enabled": True,
                    "serviceAccountClientId": client["clientId"],
                    "realmRoles": ["orders-reader"],
                }
                for client in clients
            ],
            "components": {"org.keycloak.keys.KeyProvider": keys},
        }

    def start(self):
        cert, key = self.server
        command = [
            self.home / "bin/kc.sh", "start", "--optimized", "--import-realm", "--http-enabled=true",
            "--http-host=127.0.0.1", f"--http-port={self.port}", f"--https-port={self.tls_port}",
            f"--https-certificate-file={cert}", f"--https-certificate-key-file={key}",
            f"--truststore-paths={self.certificates.ca}", f"--hostname={self.base}",
        ]  # fmt: skip
        environment = {
            "KC_BOOTSTRAP_ADMIN_USERNAME": "admin",
            "KC_BOOTSTRAP_ADMIN_PASSWORD": "admin",
            "JAVA_OPTS_APPEND": "-Xmx768m",
        }
        self.process = Process(self.name, command, self.folder / "server.log", env=environment)
        self.process.wait_until("its realm", self._answers, timeout=420)

    def _answers(self):
        try:
            return accepts(self.port) and http("GET", self.issuer).status == 200
        except OSError:
            return False

    def _ask(self, client, base=None, context=None):
        url = f"{base or self.base}/realms/{REALM}/protocol/openid-connect/token"
        form = {"grant_type": "client_credentials"}
        return http("POST", url, form=form, basic=(client, SECRET), context=context)

    def token(self, algorithm=None):
        return token_of(self._ask(f"orders-{algorithm or 'RS256'}"))

    def _admin(self, method, path, data=None):
        form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin", "password": "admin"}
        url = f"{self.base}/realms/master/protocol/openid-connect/token"
        headers = bearer(token_of(http("POST", url, form=form)))
        reply = http(method, f"{self.base}/admin/realms/{path}", headers, data=data)
        if reply.status >= 300:
            raise Failure(f"{method} {path}: {reply}")
        return reply

    def rotate(self):
        realm = self._admin("GET", REALM).json()["id"]
        key = key_provider("RS256", "second-RS256", 200)
        key.update({"providerType": "org.keycloak.keys.KeyProvider", "parentId": realm})
        self._admin("POST", f"{REALM}/components", key)

    def more_listeners(self):
        by_type = provider(self, token_types=["at+jwt"], required_claims=["azp"])
        by_profile = provider(self, profile="rfc9068")
        typed = [
            listener(name, {"providers": {"idp": value}, "stat_prefix": name})
            for name, value in (("type", by_type), ("profile", by_profile))
        ]
        return [*binding_listeners(self), *typed]

    def expected_headers(self, claims):
        roles = claims["realm_access"]["roles"]
        expect("orders-reader" in roles, f"the roles are {roles}")
        return {"x-jwt-client": claims["azp"], "x-jwt-roles": ",".join(roles)}

    def extras(self):
        dpop = [self.dpop] if shutil.which("node") and shutil.which("npm") else []
        return [*dpop, self.mtls, self.typed]

    def dpop(self, envoy, *_):
        """DPoP with openid-client and oauth4webapi"""
        client_libraries(self.folder)
        # It refuses proofs by EdDSA: "Unsupported DPoP algorithm: Ed25519".
        try_dpop(self.folder, envoy, self.issuer, ("dpop", SECRET), self.audience, "ES384")
        return "DPoP with openid-client and oauth4webapi, with and without nonce"

    def mtls(self, envoy, *_):
        """tokens bound to a certificate"""
        context = self.certificates.context(self.client)
        token = token_of(self._ask("mtls", f"https://localhost:{self.tls_port}", context))
        expect("x5t#S256" in decode(token).get("cnf", {}), f"an unbound token: {decode(token)}")
        url = envoy.url("mtls", scheme="https", host="localhost")
        reply = http("GET", url, bearer(token), context=context)
        expect(reply.status == 200, f"with the client's certificate: {reply}")
        reply = http("GET", url, bearer(token), context=self.certificates.context(self.other_client))
        expect((reply.status, reply.reason) == (401, "binding_mismatch"), f"with another certificate: {reply}")
        reply = http("GET", envoy.url(), bearer(token))
        expect((reply.status, reply.reason) == (401, "binding_mismatch"), f"as a bearer token: {reply}")
        return "mTLS-bound tokens"

    def typed(self, envoy, *_):
        """access tokens of the type `at+jwt`"""
        token = token_of(self._ask("typed"))
        expect(decode(token, 0)["typ"] == "at+jwt", f"the header is {decode(token, 0)}")
        reply = http("GET", envoy.url("type"), bearer(token))
        expect(reply.status == 200, f"by `token_types`: {reply}")
        reply = http("GET", envoy.url("type"), bearer(self.token()))
        expect((reply.status, reply.reason) == (401, "type_rejected"), f"a token of another type: {reply}")
        # They have no `client_id`, which RFC 9068 requires.
        reply = http("GET", envoy.url("profile"), bearer(token))
        expect((reply.status, reply.reason) == (401, "claim_missing"), f"by `profile: rfc9068`: {reply}")
        return "`at+jwt` by `token_types`"


SERVER = Keycloak
