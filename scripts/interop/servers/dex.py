"""Dex (Go): tokens for a client, which Dex signs with its local keys, and its own periodic rotation."""

import json
import os
import shutil

from idp import Idp
from kit import Failure, Process, Unavailable, accepts, cached, free_port, http, need, run, say, token_of

#: Dex's module path has no `/v2`, so its releases after 2.13.0 are no versions of a Go module. The proxy has
#: this commit, but not the module `api/v2` of the same commit. So this is built from Dex's own repository, at
#: this commit.
VERSION = "ab64ed778070"
REPOSITORY = os.environ.get("DEX_REPOSITORY", "https://github.com/dexidp/dex")
SECRET = "a-secret-of-a-client"
CLIENT = "orders-api"


def build(folder):
    need("go", "Go 1.25 or later")
    need("git", "apt-get install git")
    say(f"  building Dex at {VERSION}; this takes some minutes")
    sources = folder / ".sources"
    try:
        # A server that asks for a password has no sources for this command either.
        run("git", "clone", "--quiet", "--no-checkout", REPOSITORY, sources, env={"GIT_TERMINAL_PROMPT": "0"})
        run("git", "checkout", "--quiet", VERSION, cwd=sources)
    except Failure as failure:
        raise Unavailable(
            f"git cannot get commit {VERSION} of {REPOSITORY}; DEX_REPOSITORY names another copy, as a URL or a folder"
            f" ({failure})"
        ) from failure
    run("go", "build", "-o", folder / "dex", "./cmd/dex", cwd=sources, timeout=7200)
    shutil.rmtree(sources)


class Dex(Idp):
    name = "Dex"
    rotation = "its own periodic rotation (`keysRotationPeriod`)"
    slow = "a build of some minutes"
    # Dex names the client itself as audience.
    audience = CLIENT
    claim_to_headers = [
        {"claim_name": "sub", "header_name": "x-jwt-sub"},
        {"claim_name": "name", "header_name": "x-jwt-name"},
    ]

    def install(self):
        self.version = VERSION
        self.binary = cached("dex", VERSION, build) / "dex"
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}/dex"
        self.config = self.folder / "dex.json"

    def start(self):
        configuration = {
            "issuer": self.issuer,
            "storage": {"type": "sqlite3", "config": {"file": f"{self.folder}/dex.db"}},
            "web": {"http": f"127.0.0.1:{self.port}"},
            "oauth2": {"grantTypes": ["authorization_code", "client_credentials"]},
            "expiry": {"idTokens": "10m"},
            "signer": {"type": "local", "config": {"keysRotationPeriod": "20s", "algorithm": "RS256"}},
            "staticClients": [
                {
                    "id": CLIENT,
                    "name": "The orders service",
                    "secret": SECRET,
                    "redirectURIs": ["http://127.0.0.1/callback"],
                }
            ],
            "enablePasswordDB": True,
        }
        self.config.write_text(json.dumps(configuration))
        self.process = Process(self.name, [self.binary, "serve", self.config], self.folder / "server.log")
        self.process.wait_until("its port", lambda: accepts(self.port), timeout=120)

    def token(self, algorithm=None):
        form = {"grant_type": "client_credentials", "scope": "openid profile"}
        return token_of(http("POST", f"{self.issuer}/token", form=form, basic=(CLIENT, SECRET)))

    def rotate(self):
        """Nothing to do: every 30 s, Dex replaces a key that is older than its period."""

    def expected_headers(self, claims):
        return {"x-jwt-sub": claims["sub"], "x-jwt-name": claims["name"]}


SERVER = Dex
