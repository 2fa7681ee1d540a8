"""Glewlwyd (Debian): access tokens after RFC 9068, keys of each kind in one set, rotation by its admin API."""

import gzip
import json
import sqlite3

from idp import Idp
from kit import Failure, Process, accepts, expect, free_port, http, run, token_of, unpack_debian

#: The names that rnbyc, Glewlwyd's own tool, gives to the keys of these algorithms.
KEYS = {
    "RS256": "RSA2048",
    "PS256": "RSA2048",
    "ES256": "EC256",
    "ES384": "EC384",
    "ES512": "EC521",
    "EdDSA": "Ed25519",
}
PLUGIN = "oidc"


class Glewlwyd(Idp):
    name = "Glewlwyd"
    algorithms = list(KEYS)
    audience = "https://orders.example.com"
    rotation = "its admin API gets a set with a new key first, and resets the plugin"
    claim_to_headers = [
        {"claim_name": "client_id", "header_name": "x-jwt-client"},
        {"claim_name": "scope", "header_name": "x-jwt-scope"},
    ]
    provider_fields = {"profile": "rfc9068"}

    def install(self):
        self.files, self.version = unpack_debian(
            "glewlwyd", "rnbyc", leave_out=(r"(mysql|mariadb|default-mysql|dbconfig|fonts|libjs).*",)
        )
        self.environment = {"LD_LIBRARY_PATH": str(self.files / "usr/lib/x86_64-linux-gnu")}
        self.port = free_port()
        self.base = f"http://localhost:{self.port}"
        self.issuer = f"{self.base}/api/{PLUGIN}"
        database = self.folder / "glewlwyd.db"
        script = self.files / "usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz"
        connection = sqlite3.connect(database)
        connection.executescript(gzip.decompress(script.read_bytes()).decode())
        # Clients get a property for the key that signs their tokens.
        (parameters,) = connection.execute("SELECT gcmi_parameters FROM g_client_module_instance").fetchone()
        parameters = json.loads(parameters)
        parameters["data-format"]["sign_kid"] = {"multiple": False, "read": True, "write": True}
        connection.execute("UPDATE g_client_module_instance SET gcmi_parameters = ?", [json.dumps(parameters)])
        connection.commit()
        connection.close()
        modules = self.files / "usr/lib/glewlwyd"
        (self.folder / "glewlwyd.conf").write_text(
            f"""port={self.port}
bind_address="127.0.0.1"
external_url="{self.base}"
api_prefix="api"
log_mode="console"
log_level="INFO"
cookie_domain="localhost"
cookie_secure=0
session_expiration=86400
session_key="GLEWLWYD2_SESSION_ID"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="{modules}/user"
user_middleware_module_path="{modules}/user_middleware"
client_module_path="{modules}/client"
user_auth_scheme_module_path="{modules}/scheme"
plugin_module_path="{modules}/plugin"
hash_algorithm="SHA512"
database = {{ type = "sqlite3" path = "{database}" }};
"""
        )
        # Debian's package lacks this folder, and Glewlwyd does not start without it.
        (modules / "user_middleware").mkdir(exist_ok=True)
        self.keys = self._new_keys("first")
        self.configured = False

    def _new_keys(self, mark):
        arguments = [part for alg, kind in KEYS.items() for part in ("-g", kind, "-k", f"{mark}-{alg}", "-a", alg)]
        output = run(
            self.files / "usr/bin/rnbyc", "-j", *arguments, "-p", "/dev/null", "-n", "0", env=self.environment
        )
        # A line of text precedes the set.
        return json.loads(output[output.index("{") :])["keys"]

    def start(self):
        command = [self.files / "usr/bin/glewlwyd", "--config-file", self.folder / "glewlwyd.conf"]
        self.process = Process(self.name, command, self.folder / "server.log", env=self.environment)
        self.process.wait_until("its port", lambda: accepts(self.port))
        if not self.configured:
            self._configure()
            self.configured = True

    def _api(self, method, path, data=None):
        reply = http(method, f"{self.base}/api/{path}", {"cookie": self.cookie}, data=data)
        if reply.status != 200:
            raise Failure(f"{method} {path}: {reply.status} {reply.body[:400]!r}")
        return reply

    def _plugin(self):
        return {
            "module": "oidc",
            "name": PLUGIN,
            "display_name": "OIDC",
            "enabled": True,
            "parameters": {
                "iss": self.issuer,
                "jwks-private": json.dumps({"keys": self.keys}),
                "jwks-show": True,
                "default-kid": "",
                "client-sign_kid-parameter": "sign_kid",
                "jwt-type": "rsa",
                "jwt-key-size": "256",
                "subject-type": "public",
                "access-token-duration": 3600,
                "refresh-token-duration": 3600,
                "code-duration": 600,
                "refresh-token-rolling": False,
                "allow-non-oidc": True,
                "auth-type-code-enabled": False,
                "auth-type-token-enabled": False,
                "auth-type-id-token-enabled": True,
                "auth-type-password-enabled": False,
                "auth-type-client-enabled": True,
                "auth-type-device-enabled": False,
                "auth-type-refresh-enabled": False,
                "resource-allowed": True,
                "resource-scope": {"orders": [self.audience]},
                "resource-change-allowed": False,
                "oauth-dpop-allowed": True,
                "oauth-dpop-iat-duration": 60,
            },
        }

    def _configure(self):
        reply = http("POST", f"{self.base}/api/auth/", data={"username": "admin", "password": "password"})
        expect(reply.status == 200, f"the admin's login: {reply}")
        self.cookie = reply.headers["set-cookie"].split(";")[0]
        self._api("POST", "scope/", {"name": "orders", "display_name": "orders", "password_required": False})
        self._api("POST", "mod/plugin/", self._plugin())
        for algorithm in (*self.algorithms, None):
            client = {
                "client_id": f"orders-{algorithm}" if algorithm else "orders",
                "name": "orders",
                "enabled": True,
                "confidential": True,
                "client_secret": "a-secret-of-a-client",
                "authorization_type": ["client_credentials"],
                "token_endpoint_auth_method": ["client_secret_basic"],
                "scope": ["orders"],
            }
            if algorithm:
                client["sign_kid"] = f"first-{algorithm}"
            self._api("POST", "client/?source=database", client)

    def token(self, algorithm=None):
        name = f"orders-{algorithm}" if algorithm else "orders"
        form = {"grant_type": "client_credentials", "scope": "orders", "resource": self.audience}
        return token_of(http("POST", f"{self.issuer}/token", form=form, basic=(name, "a-secret-of-a-client")))

    def rotate(self):
        # Its manual's way: the new key is the first of the set, and the one before stays in it.
        self.keys = self._new_keys("second") + self.keys
        self._api("PUT", f"mod/plugin/{PLUGIN}", self._plugin())
        self._api("PUT", f"mod/plugin/{PLUGIN}/reset")

    def expected_headers(self, claims):
        return {"x-jwt-client": claims["client_id"], "x-jwt-scope": "orders"}


SERVER = Glewlwyd
