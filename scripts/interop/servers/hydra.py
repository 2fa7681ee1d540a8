"""Ory Hydra (Go): access tokens as JWTs, a rotation by its admin API."""

import json

from idp import Idp
from kit import Failure, Process, accepts, expect, free_port, go_build, http, run, token_of

VERSION = "v2.3.0"
SECRET = "a-secret-of-a-client"


class Hydra(Idp):
    name = "Ory Hydra"
    rotation = "a new key in its set by its admin API"
    slow = "a build of some minutes"
    claim_to_headers = [
        {"claim_name": "client_id", "header_name": "x-jwt-client"},
        {"claim_name": "scp", "header_name": "x-jwt-scopes", "format": "csv"},
    ]

    def install(self):
        self.version = VERSION
        self.binary = go_build("hydra", "github.com/ory/hydra/v2", VERSION, "-tags", "sqlite", ".") / "hydra"
        self.port, self.admin_port = free_port(), free_port()
        self.issuer = f"http://localhost:{self.port}"
        self.admin = f"http://127.0.0.1:{self.admin_port}/admin"
        self.config = self.folder / "hydra.json"
        self.config.write_text(
            json.dumps(
                {
                    "dsn": f"sqlite://{self.folder}/hydra.db?_fk=true",
                    "serve": {
                        "public": {"port": self.port, "host": "127.0.0.1"},
                        "admin": {"port": self.admin_port, "host": "127.0.0.1"},
                    },
                    "urls": {"self": {"issuer": self.issuer, "public": self.issuer}},
                    "strategies": {"access_token": "jwt", "jwt": {"scope_claim": "both"}},
                    "secrets": {"system": ["a-secret-of-the-system-of-32-bytes"]},
                    "ttl": {"access_token": "10m"},
                    "sqa": {"opt_out": True},
                }
            )
        )
        run(self.binary, "migrate", "sql", "up", "--config", self.config, "-e", "--yes", timeout=600)
        self.registered = False

    def start(self):
        command = [self.binary, "serve", "all", "--dev", "--sqa-opt-out", "--config", self.config]
        self.process = Process(self.name, command, self.folder / "server.log")
        self.process.wait_until("its ports", lambda: accepts(self.port) and accepts(self.admin_port), timeout=120)
        if not self.registered:
            reply = http(
                "POST",
                f"{self.admin}/clients",
                data={
                    "client_id": "orders-client",
                    "client_secret": SECRET,
                    "grant_types": ["client_credentials"],
                    "token_endpoint_auth_method": "client_secret_basic",
                    "scope": "orders",
                    "audience": [self.audience],
                    "access_token_strategy": "jwt",
                },
            )
            expect(reply.status == 201, f"the client: {reply}")
            self.registered = True

    def token(self, algorithm=None):
        form = {"grant_type": "client_credentials", "scope": "orders", "audience": self.audience}
        return token_of(http("POST", f"{self.issuer}/oauth2/token", form=form, basic=("orders-client", SECRET)))

    def rotate(self):
        new = {"alg": "RS256", "use": "sig", "kid": "second"}
        reply = http("POST", f"{self.admin}/keys/hydra.jwt.access-token", data=new, timeout=60)
        if reply.status != 201:
            raise Failure(f"the new key: {reply}")

    def expected_headers(self, claims):
        return {"x-jwt-client": claims["client_id"], "x-jwt-scopes": "orders"}


SERVER = Hydra
