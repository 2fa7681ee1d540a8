"""The published MCP client libraries at two MCP servers behind the filter, with oidc-provider as authorization server."""

import json
import shutil
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))

from checks import bearer, upstream_cluster  # noqa: E402
from kit import (  # noqa: E402
    ROOT,
    Envoy,
    Failure,
    Process,
    Unavailable,
    accepts,
    cached,
    cluster,
    decode,
    expect,
    free_port,
    http,
    listener,
    node_packages,
    run,
    say,
)

SOURCES = ROOT / "scripts/interop/mcp"
#: The version of PyPI's `mcp`.
PYTHON_MCP = "2.3.0"


def configuration(issuer, base):
    """Two protected resources in one filter, each with an audience of its own."""

    def server(name, scope):
        resource = f"{base}/{name}/mcp"
        return {
            "match": {"prefix": f"/{name}/mcp"},
            "requires": {"provider_and_audiences": {"provider_name": "idp", "audiences": [resource]}},
            "authorize": {"scopes": {"all": [scope]}},
            "protected_resource": {"resource": resource, "scopes_supported": ["tools:call", "tools:admin"]},
        }

    return {
        "providers": {
            "idp": {
                "issuer": issuer,
                "audiences": [f"{base}/orders/mcp"],
                "discovery": {"cluster": "idp"},
                "claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}],
                "profile": "rfc9068",
            }
        },
        "rules": [
            # A part of the first server that needs more: its 403 says which scope.
            {**server("orders", "tools:admin"), "match": {"prefix": "/orders/mcp/admin"}},
            server("orders", "tools:call"),
            server("billing", "tools:admin"),
        ],
        "bypass_cors_preflight": True,
    }


def with_cors(value):
    """Envoy's own CORS filter in front, for clients in browsers."""
    manager = value["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"].insert(
        0,
        {
            "name": "envoy.filters.http.cors",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"},
        },
    )
    manager["route_config"]["virtual_hosts"][0]["typed_per_filter_config"] = {
        "envoy.filters.http.cors": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
            "allow_origin_string_match": [{"exact": "https://inspector.example.com"}],
            "allow_methods": "GET, POST, DELETE",
            "allow_headers": "authorization, content-type, mcp-protocol-version, mcp-session-id",
            "expose_headers": "www-authenticate, mcp-session-id",
        }
    }
    return value


def main():
    packages, modules = node_packages("mcp", SOURCES)

    def make_python(folder):
        run(sys.executable, "-m", "venv", "--copies", folder / "venv")
        pip = [folder / "venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run(*pip, f"mcp=={PYTHON_MCP}")

    python = cached("mcp-python", PYTHON_MCP, make_python) / "venv/bin/python"
    packages["mcp"] = PYTHON_MCP
    folder = Path(tempfile.mkdtemp(prefix="mcp-"))
    for source in (*SOURCES.glob("*.mjs"), SOURCES / "client.py"):
        shutil.copy(source, folder)
    (folder / "node_modules").symlink_to(modules / "node_modules")
    processes = []

    def node(name, port, *arguments):
        process = Process(name, ["node", folder / name, str(port), *arguments], folder / f"{name}.log", cwd=folder)
        processes.append(process)
        process.wait_until("its port", lambda: accepts(port))

    idp_port, servers_port, envoy_port = free_port(), free_port(), free_port()
    issuer, base = f"http://127.0.0.1:{idp_port}", f"http://127.0.0.1:{envoy_port}"
    envoy = None
    try:
        node("authorization.mjs", idp_port, f"{base}/orders/mcp", f"{base}/billing/mcp")
        node("servers.mjs", servers_port)
        jwt = with_cors(listener("main", configuration(issuer, base)))
        jwt["address"]["socket_address"]["port_value"] = envoy_port
        upstream = type("Upstream", (), {"port": servers_port})
        envoy = Envoy(folder, [jwt], [cluster("idp", idp_port), upstream_cluster(upstream)])
        tokens = {}
        # The environment was made in another folder: its programs are found by the interpreter's own path.
        clients = {
            "@modelcontextprotocol/sdk": ("node", folder / "client.mjs", "sdk"),
            "@modelcontextprotocol/client": ("node", folder / "client.mjs", "client"),
            "mcp": (python, folder / "client.py"),
        }
        for name, command in clients.items():
            for server, scope in (("orders", "tools:call"), ("billing", "tools:admin")):
                url = f"{base}/{server}/mcp"
                output = run(*command, url, cwd=folder)
                seen = json.loads(output.splitlines()[-1])
                expect(seen["said"] == f"/{server}/mcp alice no token", f"{name} at {server}: {seen}")
                asked = seen["asked"][-1]
                expect(asked["resource"] == url, f"{name} asked for {asked}")
                expect(scope in asked["scope"].split(), f"{name} asked for {asked}")
                claims = decode(seen["token"])
                expect(claims["aud"] in (url, [url]), f"{name}: the token is for {claims['aud']}")
                tokens[server] = seen["token"]
                say(f"mcp: {name} {packages[name]} at {server}: from the URL to the tool")
        # A token of one server is none for the other, and the challenge leads to the other's metadata.
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}}
        accept = {"accept": "application/json, text/event-stream"}
        reply = http("POST", f"{base}/billing/mcp", {**bearer(tokens["orders"]), **accept}, data=call)
        expect((reply.status, reply.reason) == (401, "audience_mismatch"), f"a token of the other server: {reply}")
        metadata = f"{base}/.well-known/oauth-protected-resource/billing/mcp"
        expect(f'resource_metadata="{metadata}"' in reply.headers["www-authenticate"], str(reply.headers))
        # The step up: 403 with the scope to ask for, and the same resource.
        reply = http("POST", f"{base}/orders/mcp/admin", {**bearer(tokens["orders"]), **accept}, data=call)
        expect((reply.status, reply.reason) == (403, "scope_insufficient"), f"with too little scope: {reply}")
        challenge = reply.headers["www-authenticate"]
        for part in ('error="insufficient_scope"', 'scope="tools:admin"', "oauth-protected-resource/orders/mcp"):
            expect(part in challenge, f"no {part} in {challenge}")
        # A browser's preflight passes, and a refusal shows its challenge to the script that asked.
        origin = {"origin": "https://inspector.example.com"}
        preflight = {**origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        reply = http("OPTIONS", f"{base}/orders/mcp", preflight)
        expect(reply.status == 200, f"a preflight: {reply}")
        expect("mcp-protocol-version" in reply.headers["access-control-allow-headers"], str(reply.headers))
        reply = http("POST", f"{base}/orders/mcp", {**origin, **accept}, data=call)
        expect(reply.status == 401, f"without a token: {reply}")
        expect("www-authenticate" in reply.headers["access-control-expose-headers"], str(reply.headers))
        say("mcp: two servers in one Envoy, tokens kept apart, 403 with the scope to ask for, CORS")
        say("\n1 passed, 0 failed")
    except Failure:
        if envoy:
            say("\n".join(line for line in envoy.log().splitlines() if "wasm" in line)[-3000:])
        raise
    finally:
        if envoy:
            envoy.stop()
        for process in processes:
            process.stop()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    try:
        main()
    except (Failure, Unavailable) as failure:
        sys.exit(f"mcp: {failure}")
