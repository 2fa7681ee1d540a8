"""LemonLDAP::NG (Debian): its own rotateOidcKeys replaces the only key at once, so that new tokens come before the filter
can know their key, and old tokens end."""

import json
import re

from idp import Idp
from kit import Process, accepts, expect, free_port, http, need, run, token_of, unpack_debian


class LemonLdap(Idp):
    name = "LemonLDAP::NG"
    rotation = "rotateOidcKeys, which withdraws the old key at once"
    hard_rotation = True
    claim_to_headers = [
        {"claim_name": "client_id", "header_name": "x-jwt-client"},
        {"claim_name": "scope", "header_name": "x-jwt-scope"},
    ]

    def install(self):
        need("perl", "apt-get install perl")
        self.files, self.version = unpack_debian(
            "liblemonldap-ng-portal-perl",
            "libconvert-pem-perl",
            "libstring-random-perl",
            "libio-string-perl",
            leave_out=(r"(fonts|libjs)-.*",),
        )
        release = re.search(r"v5\.(\d+)", run("perl", "-v"))[1]
        # It does not start without a module for captchas, which no client here sees, and its own needs
        # ImageMagick.
        captcha = self.folder / "perl/Lemonldap/NG/Portal/Captcha/None.pm"
        captcha.parent.mkdir(parents=True)
        captcha.write_text(
            "package Lemonldap::NG::Portal::Captcha::None;\nuse Mouse;\n"
            "extends 'Lemonldap::NG::Portal::Main::Plugin';\nsub init { 1 }\n1;\n"
        )
        places = [self.folder / "perl", self.files / "usr/share/perl5", *self.files.glob(f"usr/lib/*/perl5/5.{release}")]
        self.environment = {
            "PERL5LIB": ":".join(map(str, places)),
            "LLNG_DEFAULTCONFFILE": str(self.folder / "lemonldap-ng.ini"),
        }
        self.port = free_port()
        self.issuer = f"http://localhost:{self.port}/"
        for name in ("conf", "cache", "sessions", "sessions/lock", "psessions", "psessions/lock"):
            (self.folder / name).mkdir()
        share = self.files / "usr/share/lemonldap-ng"
        (self.folder / "lemonldap-ng.ini").write_text(
            f"""[all]
logLevel = warn
checkTime = 1
[configuration]
type = File
dirName = {self.folder}/conf
localStorage = Cache::FileCache
localStorageOptions = {{ 'namespace' => 'config', 'default_expires_in' => 600, 'cache_root' => '{self.folder}/cache' }}
[portal]
staticPrefix = /static
templateDir = {share}/portal/templates
languages = en
"""
        )
        configuration = json.loads((self.files / "var/lib/lemonldap-ng/conf/lmConf-1.json").read_text())

        def storage(name):
            return {
                "Directory": f"{self.folder}/{name}",
                "LockDirectory": f"{self.folder}/{name}/lock",
                "generateModule": "Lemonldap::NG::Common::Apache::Session::Generate::SHA256",
            }

        configuration.update(
            {
                "portal": self.issuer,
                "domain": "localhost",
                "securedCookie": 0,
                "globalStorageOptions": storage("sessions"),
                "persistentStorageOptions": storage("psessions"),
                "localSessionStorageOptions": {
                    "namespace": "sessions",
                    "default_expires_in": 600,
                    "cache_root": f"{self.folder}/cache",
                },
                "notification": 0,
                "captcha": "::Captcha::None",
                "portalDisplayResetPassword": 0,
                "portalDisplayRegister": 0,
                "registerDB": "Null",
                "issuerDBOpenIDConnectActivation": 1,
                "issuerDBOpenIDConnectPath": "^/oauth2/",
                "issuerDBOpenIDConnectRule": 1,
                "oidcServiceMetaDataIssuer": self.issuer,
                "oidcRPMetaDataOptions": {
                    "orders": {
                        "oidcRPMetaDataOptionsClientID": "orders-client",
                        "oidcRPMetaDataOptionsClientSecret": "secret",
                        "oidcRPMetaDataOptionsAllowClientCredentialsGrant": 1,
                        "oidcRPMetaDataOptionsAccessTokenJWT": 1,
                        "oidcRPMetaDataOptionsAccessTokenSignAlg": "RS256",
                        "oidcRPMetaDataOptionsIDTokenSignAlg": "RS256",
                        "oidcRPMetaDataOptionsAccessTokenExpiration": 600,
                        "oidcRPMetaDataOptionsAdditionalAudiences": self.audience,
                        "oidcRPMetaDataOptionsBypassConsent": 1,
                    }
                },
                "oidcRPMetaDataExportedVars": {"orders": {}},
                "oidcRPMetaDataMacros": {"orders": {}},
            }
        )
        (self.folder / "conf/lmConf-1.json").write_text(json.dumps(configuration))
        (self.folder / "portal.psgi").write_text(
            "use Lemonldap::NG::Portal::Main;\nLemonldap::NG::Portal::Main->run({});\n"
        )
        # It has no key when it is new; its own tool makes the first one, too.
        self.rotate()

    def _perl(self, script, *arguments):
        return ["perl", self.files / script, *arguments]

    def start(self):
        command = self._perl("usr/bin/plackup", "--host", "127.0.0.1", "--port", self.port, self.folder / "portal.psgi")
        self.process = Process(self.name, command, self.folder / "server.log", env=self.environment)
        self.process.wait_until("its port", lambda: accepts(self.port))

    def token(self, algorithm=None):
        form = {"grant_type": "client_credentials", "scope": "orders"}
        return token_of(http("POST", self.issuer + "oauth2/token", form=form, basic=("orders-client", "secret")))

    def rotate(self):
        run(*self._perl("usr/share/lemonldap-ng/bin/rotateOidcKeys"), env=self.environment)

    def expected_headers(self, claims):
        expect("orders" in claims["scope"].split(), f"the scope is {claims['scope']!r}")
        return {"x-jwt-client": claims["client_id"], "x-jwt-scope": claims["scope"]}


SERVER = LemonLdap
