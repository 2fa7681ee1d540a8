"""SPIRE (Go): JWT-SVIDs, whose keys its OIDC discovery provider publishes, and a rotation by its local authority."""

import re

from idp import Idp
from kit import Process, accepts, eventually, free_port, go_build, http, run

VERSION = "v1.13.3"
DOMAIN = "example.org"


class Spire(Idp):
    name = "SPIRE"
    algorithms = ["ES256"]
    rotation = "`localauthority jwt prepare` and `activate`"
    slow = "a build of many minutes"
    provider_fields = {"subjects": {"prefix": f"spiffe://{DOMAIN}/"}}

    def install(self):
        self.version = VERSION
        self.commands = go_build(
            "spire", "github.com/spiffe/spire", VERSION, "./cmd/spire-server", "./support/oidc-discovery-provider"
        )
        self.port, self.server_port = free_port(), free_port()
        self.issuer = f"http://localhost:{self.port}"
        self.socket = self.folder / "api.sock"
        (self.folder / "server.conf").write_text(
            f"""server {{
    bind_address = "127.0.0.1"
    bind_port = "{self.server_port}"
    trust_domain = "{DOMAIN}"
    data_dir = "{self.folder}/data"
    socket_path = "{self.socket}"
    jwt_issuer = "{self.issuer}"
    default_jwt_svid_ttl = "10m"
    jwt_key_type = "ec-p256"
}}
plugins {{
    DataStore "sql" {{
        plugin_data {{ database_type = "sqlite3", connection_string = "{self.folder}/datastore.sqlite3" }}
    }}
    KeyManager "disk" {{ plugin_data {{ keys_path = "{self.folder}/keys.json" }} }}
    NodeAttestor "join_token" {{ plugin_data {{}} }}
}}
"""
        )
        (self.folder / "oidc.conf").write_text(
            f"""domains = ["localhost"]
allow_insecure_scheme = true
insecure_addr = "127.0.0.1:{self.port}"
jwt_issuer = "{self.issuer}"
jwks_uri = "{self.issuer}/keys"
server_api {{
    address = "unix://{self.socket}"
    poll_interval = "1s"
}}
"""
        )
        (self.folder / "data").mkdir()
        self.server = None

    def start(self):
        server = [self.commands / "spire-server", "run", "-config", self.folder / "server.conf"]
        self.server = Process("spire-server", server, self.folder / "server.log")
        self.server.wait_until("its API", lambda: self.socket.exists() and self.try_token(), timeout=60)
        provider = [self.commands / "oidc-discovery-provider", "-config", self.folder / "oidc.conf"]
        self.process = Process(self.name, provider, self.folder / "oidc.log")
        self.process.wait_until("its port", lambda: accepts(self.port))

    def stop(self):
        super().stop()
        if self.server:
            self.server.stop()
            self.server = None

    def _server(self, *arguments):
        return run(self.commands / "spire-server", *arguments, "-socketPath", self.socket)

    def token(self, algorithm=None):
        output = self._server("jwt", "mint", "-spiffeID", f"spiffe://{DOMAIN}/orders-client", "-audience", self.audience)
        return output.split()[-1]

    def rotate(self):
        # Its two steps: a prepared key is published before the server signs with it.
        prepared = self._server("localauthority", "jwt", "prepare")
        key = re.search(r"Authority ID: (\S+)", prepared)[1]
        eventually("the published key", lambda: key in self._published(), timeout=60)
        self._server("localauthority", "jwt", "activate", "-authorityID", key)

    def _published(self):
        return [entry["kid"] for entry in http("GET", f"{self.issuer}/keys").json()["keys"]]


SERVER = Spire
