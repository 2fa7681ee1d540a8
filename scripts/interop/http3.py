"""Both modules in an Envoy that serves HTTP/3, and aioquic as the client.

Envoy decodes HTTP/3 with a library of its own (quiche), so what reaches the filter can differ from HTTP/2.
"""

import asyncio
import json
import os
import ssl
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kit import (  # noqa: E402
    MODULE,
    ROOT,
    Certificates,
    Envoy,
    Failure,
    Unavailable,
    broken,
    cached,
    cluster,
    expect,
    listener,
    run,
    say,
)

JWTCTL = Path(os.environ.get("JWTCTL", ROOT / "target/debug/jwtctl"))
NATIVE = Path(os.environ.get("JWT_NATIVE", ROOT / "envoy/libjwt.so"))
#: The version of PyPI's `aioquic`.
AIOQUIC = "1.7.2"
ADMIN = {"provider_name": "idp"}


def in_environment():
    """Runs this script in a Python that has aioquic."""

    def make(folder):
        run(sys.executable, "-m", "venv", "--copies", folder / "venv")
        pip = [folder / "venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run(*pip, f"aioquic=={AIOQUIC}")

    venv = cached("aioquic", AIOQUIC, make) / "venv"
    if Path(sys.prefix) != venv:
        os.execv(venv / "bin/python", [str(venv / "bin/python"), __file__])


class Issuer:
    """Serves the key set, the first time only after `pause` seconds: requests have to wait for it."""

    def __init__(self, jwks, pause):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                time.sleep(pause)
                self.send_response(200)
                self.send_header("content-length", str(len(jwks)))
                self.end_headers()
                self.wfile.write(jwks)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Upstream:
    """Answers with the request line, the header fields, the size of the body and the trailer fields, as JSON."""

    def __init__(self):
        class Handler(StreamRequestHandler):
            def fields(self):
                fields = []
                while line := self.rfile.readline().strip():
                    name, _, value = line.decode("latin-1").partition(":")
                    fields.append((name.lower(), value.strip()))
                return fields

            def handle(self):
                while line := self.rfile.readline().strip():
                    headers, trailers, size = self.fields(), [], 0
                    if ("transfer-encoding", "chunked") in headers:
                        while part := int(self.rfile.readline(), 16):
                            size += len(self.rfile.read(part))
                            self.rfile.readline()
                        trailers = self.fields()
                    else:
                        size = len(self.rfile.read(int(dict(headers).get("content-length", 0))))
                    seen = {"line": line.decode("latin-1"), "headers": headers, "body": size, "trailers": trailers}
                    body = json.dumps(seen).encode()
                    self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

        self.server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def policy():
    def rule(**match):
        return {"match": match, "requires": ADMIN, "authorize": {"scopes": {"all": ["admin"]}}}

    return {
        "providers": {
            "idp": {
                "issuer": "https://issuer.example",
                "audiences": ["api"],
                "remote_jwks": {"http_uri": {"uri": "http://issuer/jwks", "cluster": "issuer", "timeout": "5s"}},
                "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
                "from_cookies": ["sid"],
                "from_params": ["access_token"],
                "claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}],
            }
        },
        "rules": [
            {"match": {"path": "/open"}},
            rule(prefix="/admin"),
            rule(prefix="/method", methods=["POST"]),
            rule(prefix="/header", headers=[{"name": "x-env", "string_match": {"exact": "prod"}}]),
            rule(prefix="/host", hosts=["admin.example"]),
            {"match": {"prefix": "/"}, "requires": ADMIN},
        ],
    }


def over_http3(value, native, certificate):
    """The same listener for HTTP/3, and with the native module where wanted."""
    chain = value["filter_chains"][0]
    manager = chain["filters"][0]["typed_config"]
    manager |= {"codec_type": "HTTP3", "http3_protocol_options": {}}
    if native:
        config = manager["http_filters"][0]["typed_config"]["config"]["configuration"]
        manager["http_filters"][0]["typed_config"] = {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
            "dynamic_module_config": {"name": "jwt"},
            "filter_name": "jwt",
            "filter_config": config,
        }
    secrets = [{"certificate_chain": {"filename": str(certificate[0])}, "private_key": {"filename": str(certificate[1])}}]
    chain["transport_socket"] = {
        "name": "envoy.transport_sockets.quic",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport",
            "downstream_tls_context": {"common_tls_context": {"tls_certificates": secrets}},
        },
    }
    value["address"]["socket_address"]["protocol"] = "UDP"
    value["udp_listener_config"] = {"quic_options": {}}
    return value


def upstream_cluster(port):
    """Envoy sends trailers over HTTP/1 only where it is told to."""
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    value = cluster("upstream", port)
    value["typed_extension_protocol_options"] = {
        options: {
            "@type": f"type.googleapis.com/{options}",
            "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}},
        }
    }
    return value


class Answer:
    """The response; without a status, Envoy ended the stream or the connection."""

    def __init__(self, status="-", headers=(), body=b""):
        self.status, self.headers, self.body = status, dict(headers), body

    @property
    def reason(self):
        return json.loads(self.body)["reason"] if self.body.startswith(b"{") and self.status != "200" else "-"

    def upstream(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:200]!r}"


async def send(port, ca, headers, body, trailers):
    """One request over a connection of its own."""
    from aioquic.asyncio.client import connect
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.h3.connection import H3Connection
    from aioquic.h3.events import DataReceived, HeadersReceived
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.events import ConnectionTerminated, StreamReset

    class Client(QuicConnectionProtocol):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            self.h3 = H3Connection(self._quic)
            self.answer = Answer()
            self.end = asyncio.get_running_loop().create_future()

        def finish(self, answer):
            if not self.end.done():
                self.end.set_result(answer)

        def quic_event_received(self, event):
            if isinstance(event, (ConnectionTerminated, StreamReset)):
                self.finish(Answer())
            for part in self.h3.handle_event(event):
                if isinstance(part, HeadersReceived) and part.headers[0][0] == b":status":
                    self.answer.headers = {name.decode(): value.decode() for name, value in part.headers}
                    self.answer.status = self.answer.headers[":status"]
                if isinstance(part, DataReceived):
                    self.answer.body += part.data
                if part.stream_ended:
                    self.finish(self.answer)

    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name="localhost")
    configuration.load_verify_locations(cafile=str(ca))
    configuration.verify_mode = ssl.CERT_REQUIRED
    async with connect("127.0.0.1", port, configuration=configuration, create_protocol=Client) as client:
        stream = client._quic.get_next_available_stream_id()
        client.h3.send_headers(stream, headers, end_stream=body is None)
        if body is not None:
            client.h3.send_data(stream, body, end_stream=not trailers)
        if trailers:
            client.h3.send_headers(stream, trailers, end_stream=True)
        client.transmit()
        return await asyncio.wait_for(client.end, 20)


class Client:
    def __init__(self, port, ca):
        self.port, self.ca = port, ca

    def ask(self, path, *fields, method="GET", authority="api.example", body=None, trailers=()):
        """Fields are pairs of texts, which the client encodes as Latin-1, so that they can contain any byte."""
        headers = [(":method", method), (":authority", authority), *fields]
        if method != "CONNECT":
            headers[1:1] = [(":scheme", "https"), (":path", path)]
        coded = [[(name.encode(), value.encode("latin-1")) for name, value in part] for part in (headers, trailers)]
        return asyncio.run(send(self.port, self.ca, coded[0], body, coded[1]))


def bearer(token):
    return ("authorization", f"Bearer {token}")


def decisions(alice, root):
    """Name, arguments of the request, and the wanted status and reason."""
    token, admin = bearer(alice), bearer(root)
    lacks = ("403", "scope_insufficient")
    passes = ("200", "-")
    # quiche itself refuses the message, so the filter never sees it.
    ended = ("-", "-")
    return [
        ("no token", ("/x",), {}, ("401", "token_missing")),
        ("an open path", ("/open",), {}, passes),
        ("a broken signature", ("/x", bearer(broken(alice))), {}, ("401", "signature_invalid")),
        ("too little scope", ("/admin", token), {}, lacks),
        ("enough scope", ("/admin", admin), {}, passes),
        ("a method in lower case", ("/method", token), {"method": "post"}, lacks),
        ("another method", ("/method", token), {}, passes),
        ("a value that the rule names", ("/header", token, ("x-env", "prod")), {}, lacks),
        ("one of two values", ("/header", token, ("x-env", "dev"), ("x-env", "prod")), {}, lacks),
        ("a byte that is no text", ("/header", token, ("x-env", "prod\xff")), {}, ended),
        ("a host", ("/host", token), {"authority": "admin.example"}, lacks),
        ("a host with a final dot", ("/host", token), {"authority": "admin.example."}, lacks),
        ("a host with a port", ("/host", token), {"authority": "ADMIN.example:443"}, lacks),
        ("a second host", ("/host", token, ("host", "admin.example")), {}, ended),
        ("dot segments", ("/x/../admin", token), {}, lacks),
        ("an escape", ("/%61dmin", token), {}, lacks),
        ("two slashes", ("//x/admin", token), {}, lacks),
        ("backslashes", ("/x\\..\\admin", token), {}, lacks),
        ("a NUL", ("/open\0", token), {}, ended),
        ("an absolute path", ("https://x/open",), {}, ended),
        ("two tokens", ("/x", token, admin), {}, ("400", "token_multiple")),
        ("tokens in two cookie fields", ("/x", ("cookie", f"sid={alice}"), ("cookie", f"sid={root}")), {}, ("400", "token_multiple")),
        ("CONNECT", (None,), {"method": "CONNECT", "authority": "api.example:443"}, ("401", "token_missing")),
    ]  # fmt: skip


def check(client, alice, root):
    # The first request waits for the keys, and its body and trailers with it. Nothing of the client's own
    # reaches the upstream under the name of the claim header.
    owned = [("x-jwt-sub", "mallory"), ("x_jwt_sub", "mallory"), ("x-jwt.sub", "mallory"), ("x-other", "1")]
    for name, fields in (("waits", (bearer(alice), *owned)), ("known", (bearer(alice), *owned)), ("open", owned)):
        path = "/open" if name == "open" else "/x"
        answer = client.ask(path, *fields, method="POST", body=b"x" * 100_000, trailers=owned)
        expect(answer.status == "200", f"a body with trailers ({name}): {answer}")
        seen = answer.upstream()
        subjects = [value for field, value in seen["headers"] if field.replace("_", "-").replace(".", "-") == "x-jwt-sub"]
        expect(subjects == (["alice"] if name != "open" else []), f"{name}: the upstream has {seen}")
        expect((seen["body"], seen["trailers"]) == (100_000, [["x-other", "1"]]), f"{name}: the upstream has {seen}")
    # Clients send each cookie as a field of its own (RFC 9114 section 4.2.1).
    answer = client.ask("/x", ("cookie", "a=1"), ("cookie", f"sid={alice}"), ("cookie", "b=2"))
    expect(answer.status == "200", f"a token in a cookie: {answer}")
    expect(["cookie", "a=1; b=2"] in answer.upstream()["headers"], f"the upstream has {answer}")
    answer = client.ask(f"/x?access_token={alice}&y=1")
    expect(answer.status == "200" and answer.upstream()["line"].startswith("GET /x?y=1 "), f"a token in the query: {answer}")
    answer = client.ask("/x")
    expect(answer.headers.get("www-authenticate", "").startswith("Bearer"), f"the challenge: {answer.headers}")
    wanted = decisions(alice, root)
    for name, arguments, named, expected in wanted:
        answer = client.ask(*arguments, **named)
        expect((answer.status, answer.reason) == expected, f"{name}: {answer}, and not {expected}")
    return len(wanted) + 6


def main():
    for needed, command in ((MODULE, "make wasm"), (NATIVE, "make native"), (JWTCTL, "make jwtctl")):
        expect(needed.exists(), f"{needed} is not there: run `{command}`")
    in_environment()
    with tempfile.TemporaryDirectory(prefix="http3-") as folder:
        folder = Path(folder)
        (folder / "policy.json").write_text(json.dumps(policy()))
        jwks = run(JWTCTL, "mint", "key", "ES256", "--out", folder / "key.pem")
        mint = (JWTCTL, "mint", "token", "--key", folder / "key.pem", "--for", folder / "policy.json", "--sub")
        alice = run(*mint, "alice", "--lifetime", "3000").strip()
        root = run(*mint, "root", "--lifetime", "3000", "--scope", "admin").strip()
        certificates = Certificates(folder / "certificates")
        certificate = certificates.issue("edge", "localhost")
        upstream = Upstream()
        os.environ["ENVOY_DYNAMIC_MODULES_SEARCH_PATH"] = str(NATIVE.parent)
        for module in ("jwt.wasm", "libjwt.so"):
            issuer = Issuer(jwks.encode(), pause=1)
            value = over_http3(listener("main", policy()), module == "libjwt.so", certificate)
            envoy = Envoy(folder, [value], [upstream_cluster(upstream.port), cluster("issuer", issuer.port)])
            try:
                count = check(Client(envoy.ports["main"], certificates.ca), alice, root)
            except Failure:
                say(envoy.log()[-3000:])
                raise
            finally:
                envoy.stop()
            say(f"http3: {module}: {count} requests decided as expected")
    say("\n1 passed, 0 failed")


if __name__ == "__main__":
    try:
        main()
    except (Failure, Unavailable) as failure:
        sys.exit(f"http3: {failure}")
