"""istiod and pilot-agent of Istio's Go module, with the files of envoy/istio, the pinned Envoy and a real issuer.

istiod makes the configuration of each proxy, and pilot-agent starts Envoy and serves it, as in a pod. The files are
applied as they are shipped, but for addresses, the issuer's name and the place of the module.
"""

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
from gateway import envoy_binary  # noqa: E402
from kit import (  # noqa: E402
    MODULE,
    Envoy,
    Failure,
    Registry,
    Unavailable,
    Upstream,
    broken,
    cluster,
    decode,
    eventually,
    expect,
    find_programs,
    free_port,
    http,
    need,
    run,
    say,
    scraped,
)
from servers.oidc_provider import OidcProvider  # noqa: E402

#: The filter that istiod makes of the WasmPlugin in `mesh.yaml`.
MESH_FILTER = "extensions.istio.io/trafficextension/istio-system.jwt~istio-translated-wasmplugin"
WAYPOINT_FILTER = "extensions.istio.io/trafficextension/default.jwt-waypoint~istio-translated-wasmplugin"
CLUSTER = "outbound|80||idp.example.com"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def sidecar(name, port, upstream):
    """The inbound listener of a workload. Without iptables, it is the `Sidecar` that says the port."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "workloadSelector": {"labels": {"app": name}},
            "ingress": [
                {
                    "port": {"number": port, "protocol": "HTTP", "name": "http"},
                    "bind": "127.0.0.1",
                    "defaultEndpoint": f"127.0.0.1:{upstream}",
                }
            ],
            "egress": [{"hosts": ["*/*"]}],
        },
    }


#: Proxies here have no certificates.
WITHOUT_MTLS = {
    "apiVersion": "security.istio.io/v1",
    "kind": "PeerAuthentication",
    "metadata": {"name": "default", "namespace": "istio-system"},
    "spec": {"mtls": {"mode": "DISABLE"}},
}


def edge(port, upstream):
    """A gateway with a route to the upstream."""
    metadata = {"name": "edge", "namespace": "istio-system"}
    gateway = {
        "selector": {"istio": "ingressgateway"},
        "servers": [{"port": {"number": port, "protocol": "HTTP", "name": "http"}, "bind": "127.0.0.1", "hosts": ["*"]}],
    }
    service = {
        "hosts": ["orders.internal"],
        "location": "MESH_EXTERNAL",
        "resolution": "STATIC",
        "ports": [{"number": 80, "protocol": "HTTP", "name": "http", "targetPort": upstream}],
        "endpoints": [{"address": "127.0.0.1"}],
    }
    route = {
        "hosts": ["*"],
        "gateways": ["edge"],
        "http": [{"route": [{"destination": {"host": "orders.internal", "port": {"number": 80}}}]}],
    }
    return [
        {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
        for kind, spec in (("Gateway", gateway), ("ServiceEntry", service), ("VirtualService", route))
    ]


def status(port, token=None, path="/orders"):
    return http("GET", f"http://127.0.0.1:{port}{path}", bearer(token) if token else {})


def answers(port, token, wanted, path="/orders", timeout=60):
    """Waits until a request is answered so: a new configuration is not there at once."""

    def probe():
        try:
            return (reply := status(port, token, path)).status == wanted and reply
        except OSError:
            return None

    try:
        return eventually(f"{wanted} for {path}", probe, timeout, 0.2)
    except Failure:
        raise Failure(f"{wanted} for {path} did not come within {timeout} s: {status(port, token, path)}") from None


def try_overlay(tools, folder):
    """The overlay in the README of envoy/istio changes what it says, and nothing else."""
    readme = (mesh.SHIPPED / "README.md").read_text()
    overlay = readme.split("```yaml\n# kustomization.yaml\n")[1].split("```")[0]
    place = folder / "overlay"
    place.mkdir()
    (place / "base").symlink_to(mesh.SHIPPED)
    (place / "kustomization.yaml").write_text(overlay.replace("../../envoy/istio", "base"))
    base, changed = (tools.load(tools.kustomize(path)) for path in (mesh.SHIPPED, place))
    plugin = of_kind(base, "WasmPlugin")
    plugin["spec"]["url"] = "oci://registry.example.com/proxy-wasm-jwt@sha256:0123"
    plugin["spec"]["pluginConfig"]["providers"]["corp"]["audiences"] = ["billing-api"]
    expect(changed == base, f"the overlay gives {changed}")
    say("istio: the overlay of the README, rendered by kubectl")


def main_job(port, idp, token):
    reply = answers(port, token, 200)
    seen = reply.json()
    expect(seen.get("x-jwt-sub") == decode(token)["sub"], f"the upstream saw {seen}")
    reply = status(port)
    expect((reply.status, reply.reason) == (401, "token_missing"), f"without a token: {reply}")
    reply = status(port, broken(token))
    expect((reply.status, reply.reason) == (401, "signature_invalid"), f"altered: {reply}")
    expect(status(port, path="/healthz").status == 200, "where no token is needed")


class Shipped:
    """The files of envoy/istio with other addresses, and the module where `url` says."""

    def __init__(self, tools, idp, url):
        self.tools, self.idp, self.url = tools, idp, url

    def read(self, text):
        """The resources of this text, which is changed where the test differs from a cluster. Each has to be there."""
        idp = self.idp
        for old, new in [
            ("https://idp.example.com/realms/main/protocol/openid-connect/certs", f"{idp.issuer}/jwks"),
            ("https://idp.example.com/realms/main", idp.issuer),
            ("orders-api", idp.audience),
        ]:
            expect(old in text or "WasmPlugin" not in text, f"envoy/istio has no {old!r} any more")
            text = text.replace(old, new)
        resources = self.tools.load(text)
        for resource in resources:
            spec = resource["spec"]
            if resource["kind"] == "ServiceEntry":
                # The same name at this machine's own address.
                expect(spec["ports"][0]["targetPort"] == 443, f"{spec['ports']}")
                spec["ports"][0]["targetPort"] = idp.port
                spec["endpoints"] = [{"address": "127.0.0.1"}]
            elif resource["kind"] == "DestinationRule":
                tls = spec["trafficPolicy"]["portLevelSettings"][0]["tls"]
                tls |= {"sni": "localhost", "subjectAltNames": ["localhost"], "caCertificates": str(idp.certificates.ca)}
            elif resource["kind"] == "WasmPlugin":
                expect(spec["url"].startswith("oci://"), f"{spec['url']}")
                spec["url"] = self.url
            elif resource["kind"] == "TrafficExtension":
                spec["wasm"]["url"] = self.url
        return resources

    def base(self):
        """The kustomization of envoy/istio, as kubectl renders it."""
        return self.read(self.tools.kustomize(mesh.SHIPPED))

    def file(self, name):
        return self.read((mesh.SHIPPED / name).read_text())


def of_kind(resources, kind):
    return next(one for one in resources if one["kind"] == kind)


def changed(resource, change):
    copy = json.loads(json.dumps(resource))
    change(copy["spec"])
    return copy


def with_reports(plugin):
    """The plugin with one path more, which needs a scope that the tokens lack."""
    rule = {"match": {"prefix": "/reports"}, "requires": {"provider_name": "corp"}}
    rule["authorize"] = {"scopes": {"all": ["reports:read"]}}
    return changed(plugin, lambda spec: spec["pluginConfig"]["rules"].insert(0, rule))


def try_sidecar(istiod, envoy, shipped, idp, upstream):
    """The whole mesh, by the WasmPlugin of mesh.yaml."""
    port = free_port()
    istiod.apply(sidecar("orders", port, upstream.port))
    resources = shipped.base()
    istiod.apply(*resources)
    proxy = mesh.Proxy(istiod, envoy, "orders", {"app": "orders"})
    token = idp.token()
    main_job(port, idp, token)
    names = proxy.filters(f"127.0.0.1_{port}")
    expect(names[0] == MESH_FILTER, f"the filters are {names}")
    cluster = proxy.clusters().get(CLUSTER)
    expect(cluster, f"the clusters are {sorted(proxy.clusters())}")
    context = cluster["transport_socket"]["typed_config"]["common_tls_context"]["combined_validation_context"]
    names = context["default_validation_context"].get("match_subject_alt_names")
    expect(names == [{"exact": "localhost"}], f"the issuer's certificate is checked for {names}")
    say(f"istio: WasmPlugin for the mesh: 200, 401 and an open path; filter {MESH_FILTER}, cluster {CLUSTER}")

    idp.rotate()
    rotated = idp.token()
    expect(decode(rotated, 0)["kid"] != decode(token, 0)["kid"], "the issuer has the same key")
    reply = status(port, rotated)
    expect(reply.status == 200, f"after a rotation: {reply}")
    say("istio: a rotation")

    plugin = of_kind(resources, "WasmPlugin")
    istiod.apply(with_reports(plugin))
    reply = answers(port, rotated, 403, "/reports")
    expect(reply.reason == "scope_insufficient", f"with too little scope: {reply}")
    expect(status(port, rotated).status == 200, "after an update")
    say("istio: an update, 403")

    def misspell(spec):
        corp = spec["pluginConfig"]["providers"]["corp"]
        corp["audience"] = corp.pop("audiences")

    istiod.apply(changed(plugin, misspell))
    eventually("the refusal in the log", lambda: "unknown field `audience`" in proxy.log(), timeout=60)
    expect(status(port, rotated, "/reports").status == 403, "the refused update took the old configuration away")
    expect(status(port, rotated).status == 200, "the refused update broke the filter")
    say("istio: a refused update leaves the configuration before it in force")

    # One that starts with it has nothing to keep.
    port = free_port()
    istiod.apply(sidecar("late", port, upstream.port))
    late = mesh.Proxy(istiod, envoy, "late", {"app": "late"}, wait=False)
    eventually("the refusal in the log", lambda: "unknown field `audience`" in late.log(), timeout=60)

    def probe():
        try:
            return status(port, rotated)
        except OSError:
            return None

    first = eventually("an answer", probe, timeout=60)
    expect(first.status == 500, f"a proxy that started with a refused configuration answers {first}")
    istiod.apply(plugin)
    answers(port, rotated, 200)
    late.stop()
    say("istio: a proxy that starts with a refused configuration answers 500 until it gets a good one")
    istiod.delete(plugin)
    answers(port=int(proxy_port(proxy, "127.0.0.1_")), token=None, wanted=200)
    return proxy


def try_cluster(istiod, envoy, shipped, idp, upstream):
    """What the README says of settings that change the cluster of the issuer."""
    port = free_port()
    own = sidecar("orders", port, upstream.port)

    def egress(*hosts):
        return changed(own, lambda spec: spec.update(egress=[{"hosts": list(hosts)}]))

    resources = shipped.base()
    istiod.apply(egress("./*"), *resources)
    proxy = mesh.Proxy(istiod, envoy, "orders", {"app": "orders"})
    answers(port, None, 401)
    reply = status(port, idp.token())
    expect((reply.status, reply.reason) == (503, "keys_unavailable"), f"without the cluster: {reply}")
    istiod.apply(egress("./*", "istio-system/idp.example.com"))
    answers(port, idp.token(), 200)

    def has_tls():
        found = proxy.clusters().get(CLUSTER)
        return None if found is None else "transport_socket" in found

    def applied(kind, spec, wanted):
        metadata = {"name": "another", "namespace": "default"}
        resource = {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
        istiod.apply(resource)
        eventually(f"TLS {wanted} with a {kind}", lambda: has_tls() is wanted, timeout=60)
        istiod.delete(resource)
        eventually("the cluster of issuer.yaml", has_tls, timeout=60)

    host = "idp.example.com"
    applied("DestinationRule", {"host": host, "trafficPolicy": {"loadBalancer": {"simple": "ROUND_ROBIN"}}}, False)
    ports = [{"name": "https", "number": 443, "protocol": "HTTPS"}]
    entry = {"hosts": [host], "location": "MESH_EXTERNAL", "resolution": "DNS", "ports": ports}
    applied("ServiceEntry", entry, None)
    answers(port, idp.token(), 200)
    say("istio: the settings that take away the cluster of the issuer, or its TLS")
    istiod.delete(*(one for one in resources if one["kind"] == "WasmPlugin"))
    proxy.stop()


def proxy_port(proxy, prefix):
    listeners = proxy.dump()["ListenersConfigDump"]["dynamic_listeners"]
    return next(
        one["name"].removeprefix(prefix)
        for one in listeners
        if one["name"].startswith(prefix) and one["active_state"]["listener"].get("traffic_direction") == "INBOUND"
    )


def try_workload(istiod, envoy, shipped, idp, upstream, other):
    """One workload of two, by the TrafficExtension of workload.yaml."""
    port = free_port()
    istiod.apply(sidecar("reports", port, upstream.port))
    extension = of_kind(shipped.file("workload.yaml"), "TrafficExtension")
    expect(extension["spec"]["selector"]["matchLabels"] == {"app": "orders"}, f"{extension['spec']['selector']}")
    reports = mesh.Proxy(istiod, envoy, "reports", {"app": "reports"})
    answers(port, None, 200)
    istiod.apply(extension)
    guarded = int(proxy_port(other, "127.0.0.1_"))
    answers(guarded, None, 401)
    main_job(guarded, idp, idp.token())
    expect(status(port).status == 200, "another workload has got the filter as well")
    name = f"extensions.istio.io/trafficextension/{extension['metadata']['namespace']}.{extension['metadata']['name']}"
    expect(name in other.filters(f"127.0.0.1_{guarded}"), "the filter's name")
    expect(name not in reports.filters(f"127.0.0.1_{port}"), "the filter of another workload")
    say(f"istio: TrafficExtension for one workload: {name}; another one stays as it was")
    istiod.delete(extension)
    reports.stop()
    other.stop()


def try_gateway(istiod, envoy, shipped, idp, upstream, registry):
    """The ingress gateway, by gateway.yaml; pilot-agent gets the module over HTTP, then as an image."""
    port = free_port()
    istiod.apply(*edge(port, upstream.port))
    plugin = of_kind(shipped.file("gateway.yaml"), "WasmPlugin")
    istiod.apply(plugin)
    labels = {"istio": "ingressgateway"}
    settings = {"WASM_INSECURE_REGISTRIES": registry.address}
    start = partial(mesh.Proxy, istiod, envoy, "ingress", labels, role="router", namespace="istio-system")
    proxy = start(settings=settings)
    token = idp.token()
    reply = answers(port, token, 200)
    expect(reply.json().get("x-jwt-sub") == decode(token)["sub"], f"the upstream saw {reply.json()}")
    answers(port, None, 401)
    stats = proxy.stats("wasmcustom.jwt.edge.denied_total")
    expect(stats and sum(stats.values()) >= 1, f"the metrics of the gateway are {stats}")
    say("istio: WasmPlugin for the ingress gateway, with the module over HTTP")
    digest = registry.push("filters/proxy-wasm-jwt")
    name = f"oci://{registry.address}/filters/proxy-wasm-jwt@{digest}"

    def from_image(spec):
        spec["url"] = name
        spec["pluginConfig"]["stat_prefix"] = "image"

    istiod.apply(changed(plugin, from_image))
    eventually("the filter of the image", lambda: proxy.stats("wasmcustom.jwt.image.denied_total"), timeout=60)
    answers(port, token, 200)
    answers(port, None, 401)
    stats = proxy.stats("wasmcustom.jwt.image.denied_total")
    expect(sum(stats.values()) >= 1, f"the metrics of the filter of the image are {stats}")
    say("istio: the module as an image that `make image` pushed, by its digest")
    missing = changed(plugin, lambda spec: spec.update(url=spec["url"] + "x"))
    istiod.delete(plugin)
    missing["metadata"]["name"] = "missing"
    istiod.apply(missing)
    reply = answers(port, token, 403, timeout=90)
    expect(b"RBAC: access denied" in reply.body, f"without the module: {reply}")
    say("istio: a module that cannot be fetched: 403 RBAC: access denied")
    istiod.delete(missing)
    proxy.stop()


def try_gateway_api(istiod, envoy, shipped, idp, upstream):
    """A gateway of the Kubernetes Gateway API, by what the comment in gateway.yaml says."""
    port = free_port()
    istiod.apply(*edge(port, upstream.port), *shipped.file("issuer.yaml"))
    text = (mesh.SHIPPED / "gateway.yaml").read_text()
    found = re.search(r"^  #   (targetRefs: .*)\n((?:  \w.*\n    .*\n      .*\n))", text, re.M)
    expect(found and "selector" in found[2], "gateway.yaml has no targetRefs in a comment before its selector")
    plugin = of_kind(shipped.read(text.replace(found[0], f"  {found[1]}\n")), "WasmPlugin")
    expect("selector" not in plugin["spec"], f"{plugin['spec']}")
    labels = {"istio": "ingressgateway", "gateway.networking.k8s.io/gateway-name": "edge"}
    istiod.apply(plugin)
    proxy = mesh.Proxy(
        istiod, envoy, "ingress", labels, role="router", namespace="istio-system", certificates=idp.certificates
    )
    answers(port, idp.token(), 200)
    answers(port, None, 401)
    say("istio: WasmPlugin for a gateway of the Gateway API, by the Gateway's name")

    # A plugin that Istio applies nowhere leaves the gateway open.
    def to_class(spec):
        spec["targetRefs"] = [{"group": "gateway.networking.k8s.io", "kind": "GatewayClass", "name": "istio"}]

    istiod.apply(changed(plugin, to_class))
    answers(port, None, 200)
    say("istio: by the GatewayClass, Istio applies no plugin to a gateway: gateway.yaml says so")
    istiod.delete(plugin)
    proxy.stop()


def migrated_policies(idp):
    """Policies of Istio for one workload: one path is open, and the rest needs a principal and a scope."""
    metadata = {"name": "orders", "namespace": "default"}
    selector = {"matchLabels": {"app": "orders"}}
    rules = [
        {
            "issuer": idp.issuer,
            "audiences": [idp.audience],
            "jwksUri": f"{idp.issuer}/jwks",
            "outputClaimToHeaders": [{"header": "x-jwt-sub", "claim": "sub"}],
        }
    ]
    allowed = [
        {"to": [{"operation": {"paths": ["/healthz"]}}]},
        {
            "from": [{"source": {"requestPrincipals": ["*"]}}],
            "when": [{"key": "request.auth.claims[scope]", "values": ["orders:read"]}],
        },
    ]
    return [
        {"apiVersion": "security.istio.io/v1", "kind": kind, "metadata": metadata, "spec": {"selector": selector, **spec}}
        for kind, spec in (("RequestAuthentication", {"jwtRules": rules}), ("AuthorizationPolicy", {"rules": allowed}))
    ]


def try_migration(istiod, envoy, tools, shipped, idp, upstream, folder):
    """The steps of docs/coming-from-istio.md, one after the other. The policies decide first, then both, then the filter."""
    port = free_port()
    istiod.apply(sidecar("orders", port, upstream.port), *shipped.file("issuer.yaml"))
    authentication, authorization = migrated_policies(idp)
    istiod.apply(authentication, authorization)
    proxy = mesh.Proxy(istiod, envoy, "orders", {"app": "orders"})
    token = idp.token()
    cases = [(token, "/orders"), (None, "/orders"), (broken(token), "/orders"), (None, "/healthz")]

    def decides(*wanted):
        """The statuses of the requests, each with whether the filter has answered."""

        def probe():
            replies = [status(port, value, path) for value, path in cases]
            return [(one.status, one.reason != "-") for one in replies] == list(wanted)

        eventually(f"{wanted}", probe, timeout=60, pause=0.2)

    by_istio = ((200, False), (403, False), (401, False), (200, False))
    by_filter = ((200, False), (401, True), (401, True), (200, False))
    decides(*by_istio)
    say("istio: the policies of Istio decide")

    # Steps 1 to 4.
    text = differential.convert(authentication, authorization)
    expect(text, "jwtctl convert does not translate the policies")
    converted = tools.load(text)[0]
    (provider,) = converted["providers"].values()
    uri = provider["remote_jwks"]["http_uri"]
    expect(uri["cluster"] == f"outbound|{idp.port}||localhost", f"the cluster is {uri['cluster']}")
    # Here, the name of the issuer's cluster is that of issuer.yaml.
    uri["cluster"] = CLUSTER
    extension = of_kind(shipped.file("workload.yaml"), "TrafficExtension")

    def apply(more):
        istiod.apply(changed(extension, lambda spec: spec["wasm"].update(pluginConfig={**converted, **more})))

    apply({"mode": "shadow", "shadow_changes_nothing": True, "stat_prefix": "trial"})

    def shadow_has_seen():
        """Sends the requests until the filter, which needs its keys first, has counted both reasons."""
        decides(*by_istio)
        counts = proxy.stats("wasmcustom.jwt.trial.shadow_denied")
        return all(counts.get(f"wasmcustom.jwt.trial.shadow_denied.{one}") for one in ("token_missing", "signature_invalid"))

    eventually("what the filter would refuse", shadow_has_seen, timeout=60, pause=0.5)
    seen = [row for row in scraped(folder, proxy.metrics) if row.get("jwt_filter") == "trial"]
    reasons = {row.get("jwt_reason") for row in seen if row["__name__"] == "jwt_shadow_denied"}
    expect({"token_missing", "signature_invalid"} <= reasons, f"Prometheus has {[one for one in seen if 'le' not in one]}")
    providers = {row.get("jwt_provider") for row in seen if row["__name__"] == "jwt_provider_shadow_denied"}
    expect(providers == set(converted["providers"]), f"Prometheus has {seen}")
    say("istio: the filter in shadow mode, with its metrics in Prometheus by relabel.yaml")

    # Step 5.
    provider["forward"] = True
    apply({})
    decides(*by_filter)
    say("istio: both decide")

    # Steps 6 and 7.
    istiod.delete(authorization)
    istiod.delete(authentication)
    provider.pop("forward")
    apply({})
    eventually("the end of the token", lambda: "authorization" not in status(port, token).json(), timeout=60)
    expect(status(port, token).json().get("x-jwt-sub") == decode(token)["sub"], "the claim in its header")

    def is_alone():
        filters = proxy.filters(f"127.0.0.1_{port}")
        return not [one for one in filters if "jwt_authn" in one or "rbac" in one]

    eventually("the end of Istio's own filters", is_alone, timeout=60)
    decides(*by_filter)
    say("istio: the filter decides alone")
    istiod.delete(extension)
    proxy.stop()


#: The resources that istiod needs in order to serve waypoints, and gateways of the Gateway API.
AMBIENT = {"PILOT_ENABLE_AMBIENT": "true", "PILOT_ENABLE_GATEWAY_API": "true"}
#: Where ztunnel and others reach a waypoint.
HBONE_PORT = 15008
SERVICE_ADDRESS = "240.240.0.10"


def entry(name, host, address, port, labels=None):
    """A service of the mesh with one endpoint on this machine."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": name, "namespace": "default", "labels": labels or {}},
        "spec": {
            "hosts": [host],
            "addresses": [address],
            "location": "MESH_INTERNAL",
            "resolution": "STATIC",
            "ports": [port],
            "endpoints": [{"address": "127.0.0.1"}],
        },
    }


def waypoint(upstream):
    """The waypoint, as the controller of Gateways would leave it, and a service behind it."""
    mesh_port = {"number": HBONE_PORT, "protocol": "HBONE", "name": "mesh"}
    host = "waypoint.default.svc.cluster.local"
    gateway = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "waypoint", "namespace": "default", "labels": {"istio.io/waypoint-for": "service"}},
        "spec": {
            "gatewayClassName": "istio-waypoint",
            "listeners": [{"name": "mesh", "port": HBONE_PORT, "protocol": "HBONE"}],
        },
        "status": {"addresses": [{"type": "Hostname", "value": host}]},
    }
    http_port = {"number": 80, "protocol": "HTTP", "name": "http", "targetPort": upstream}
    return [
        gateway,
        entry("waypoint", host, "240.240.0.1", mesh_port),
        entry("orders", "orders.internal", SERVICE_ADDRESS, http_port, {"istio.io/use-waypoint": "waypoint"}),
    ]


#: What other builds of Envoy lack: the filter for the metadata of workloads, and a type of filter state.
ISTIO_ONLY = ("type.googleapis.com/io.istio.http.peer_metadata.Config", "istio.hashable_string")


def without_istio_only(value):
    """A listener of istiod without the members of its lists that only Istio's build of Envoy has."""
    if isinstance(value, list):
        return [without_istio_only(one) for one in value if not is_istio_only(one)]
    if isinstance(value, dict):
        return {key: without_istio_only(one) for key, one in value.items()}
    return value


def is_istio_only(value):
    if not isinstance(value, dict):
        return False
    return value.get("factory_key") in ISTIO_ONLY or value.get("typed_config", {}).get("type_url") in ISTIO_ONLY


def tunnel(envoy, folder, certificates):
    """An Envoy that does what ztunnel does for a client: HBONE (CONNECT in HTTP/2 with mutual TLS) to the waypoint."""
    chain, key = certificates.issue("client", "client", uri="spiffe://cluster.local/ns/default/sa/client")
    port = free_port()
    proxy = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "tunnel",
        "cluster": "waypoint",
        "tunneling_config": {"hostname": f"{SERVICE_ADDRESS}:80"},
    }
    tls = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "alpn_protocols": ["h2"],
            "tls_certificates": [{"certificate_chain": {"filename": str(chain)}, "private_key": {"filename": str(key)}}],
            "validation_context": {
                "trusted_ca": {"filename": str(certificates.ca)},
                "match_typed_subject_alt_names": [
                    {"san_type": "URI", "matcher": {"exact": "spiffe://cluster.local/ns/default/sa/waypoint"}}
                ],
            },
        },
    }
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    target = {
        **cluster("waypoint", HBONE_PORT),
        "transport_socket": {"name": "tls", "typed_config": tls},
        "typed_extension_protocol_options": {
            options: {"@type": f"type.googleapis.com/{options}", "explicit_http_config": {"http2_protocol_options": {}}}
        },
    }
    listener = {
        "name": "tunnel",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "tunnel", "typed_config": proxy}]}],
    }
    return Envoy(folder, [listener], [target], binary=envoy), port


def try_waypoint(istiod, envoy, shipped, idp, upstream):
    """The files of ambient mode: what istiod makes of them for a waypoint, and requests that go through it.

    The pinned Envoy takes the clusters, and refuses the listeners, since they name what only Istio's own build has. So
    a second waypoint has the same listeners without that in its bootstrap configuration.
    """
    plugin, reference = shipped.file("waypoint.yaml")
    istiod.apply(WITHOUT_MTLS, *waypoint(upstream.port), *shipped.file("issuer.yaml"), plugin)
    labels = {"gateway.networking.k8s.io/gateway-name": "waypoint"}
    start = partial(mesh.Proxy, istiod, envoy, "waypoint", labels, role="waypoint", certificates=idp.certificates)
    proxy = start(wait=False)

    def made():
        try:
            listeners = proxy.dump()["ListenersConfigDump"].get("dynamic_listeners", [])
        except OSError:
            return None
        found = (one.get("error_state", {}).get("failed_configuration", {}) for one in listeners)
        found = {one.get("name"): one for one in found}
        return {"connect_terminate", "main_internal"} <= set(found) and found

    listeners = eventually("the listeners of the waypoint", made, timeout=60)
    inner = listeners["main_internal"]
    managers = [chain["filters"][-1]["typed_config"].get("http_filters") for chain in inner["filter_chains"]]
    names = [[one["name"] for one in filters] for filters in managers if filters]
    chain = next((one for one in inner["filter_chains"] if one["name"] == "inbound-vip|80|http|orders.internal"), None)
    expect(chain, f"the service has no chain: {[one['name'] for one in inner['filter_chains']]}")
    expect(names and all(one[0] == WAYPOINT_FILTER for one in names), f"the filters are {names}")
    expect(CLUSTER not in proxy.clusters(), "a ServiceEntry alone gives the waypoint a cluster")
    istiod.apply(reference)
    eventually("the cluster of the issuer", lambda: CLUSTER in proxy.clusters(), timeout=60)
    say(f"istio: for a waypoint, istiod makes the filter {WAYPOINT_FILTER}, and the cluster with the annotation only")
    proxy.stop()
    taken = [without_istio_only(listeners[name]) for name in ("main_internal", "connect_terminate")]
    # Envoy reads its bootstrap configuration before it has the clusters of istiod.
    taken[1]["filter_chains"][0]["filters"][-1]["typed_config"]["route_config"]["validate_clusters"] = False
    proxy = start(more={"static_resources": {"listeners": taken}})
    client, port = tunnel(envoy, istiod.folder, idp.certificates)
    token = idp.token()
    reply = answers(port, token, 200)
    expect(reply.json().get("x-jwt-sub") == decode(token)["sub"], f"the upstream saw {reply.json()}")
    answers(port, None, 401)
    answers(port, broken(token), 401)
    answers(port, None, 200, path="/healthz")
    istiod.apply(with_reports(plugin))
    answers(port, token, 403, "/reports")
    say("istio: requests through HBONE and the filters of the waypoint: 200, 401, an open path, an update, 403")
    istiod.delete(reference)
    eventually("the end of the cluster", lambda: CLUSTER not in proxy.clusters(), timeout=60)
    client.stop()
    proxy.stop()


def in_force(proxy, mark):
    """Whether the newest configuration that has this mark is the one that new connections get."""
    dump = proxy.dump()
    listeners = dump["ListenersConfigDump"].get("dynamic_listeners", [])
    if any("warming_state" in one for one in listeners):
        return False
    # istiod serves the filter's configuration beside the listener, with the plugin's own as a string in it.
    active = json.dumps([one.get("active_state") for one in listeners]) + json.dumps(dump.get("EcdsConfigDump"))
    return mark in active


def try_policies(istiod, envoy, tools, folder, upstream):
    """RequestAuthentication and AuthorizationPolicy beside what `jwtctl convert` makes of them, each for a workload."""
    seed, count = int(os.environ.get("POLICIES_SEED", "1")), int(os.environ.get("POLICIES", "40"))
    tokens, requests = differential.Tokens(folder), differential.Requests()
    ports = {app: free_port() for app in ("original", "converted")}
    for app, port in ports.items():
        istiod.apply(sidecar(app, port, upstream.port))
    proxies = {app: mesh.Proxy(istiod, envoy, app, {"app": app}) for app in ports}
    before, refused, compared, counts = [], 0, 0, [0, 0]
    for number, policies in differential.cases(seed, count):
        mark = f"case-{seed}-{number}-end"
        resources = differential.istio_resources(tokens, policies, "original", mark)
        text = differential.convert(*resources)
        if text is None:
            refused += 1
            continue
        kept = {(one["kind"], one["metadata"]["name"]) for one in resources}
        istiod.delete(*(one for one in before if (one["kind"], one["metadata"]["name"]) not in kept))
        before = resources
        istiod.apply(*resources, differential.istio_plugin(tools.load(text)[0], "converted"))
        for app, proxy in proxies.items():
            eventually(f"case {number} in the workload {app}", partial(in_force, proxy, mark), timeout=60)
        time.sleep(0.5)
        clients = [differential.Client(port) for port in ports.values()]
        what = f"case {number} of seed {seed}: {json.dumps(policies)}\n{text}"
        passed = differential.compare(what, *clients, tokens, requests.some(seed, number))
        counts = [one + other for one, other in zip(counts, passed)]
        compared += 1
        if compared % 5 == 0:
            say(f"istio: {compared} policies compared")
    expect(compared >= refused and min(counts) > 500, f"{compared} cases, {refused} not carried over, {counts}")
    say(
        f"istio: {compared} policies and their conversion decide {sum(counts)} requests alike ({counts[1]} passed); "
        f"{refused} more are not carried over, and jwtctl says so"
    )
    istiod.delete(*before)
    for proxy in proxies.values():
        proxy.stop()


def enter_network():
    """Starts this program again in a network and with mounts of its own: there the ports of Istio are free and nobody
    else is, and pilot-agent has the folder that it keeps modules in."""
    if os.geteuid() != 0:
        raise Unavailable("this command needs root, for a network and mounts of its own")
    for program in ("unshare", "ip", "mount"):
        need(program, "apt-get install util-linux iproute2")
    os.environ["INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", sys.executable, *sys.argv])


def main():
    binaries = mesh.build()
    tools = mesh.Tools()
    envoy, version = envoy_binary()
    folder = Path(tempfile.mkdtemp(prefix="istio-"))
    (folder / "idp").mkdir()
    if "INSIDE" not in os.environ:
        # Downloads the programs of the issuer while the network is available.
        OidcProvider(folder / "idp").install()
        # Inside, /var/lib is another one, without Debian's lists of packages.
        find_programs()
        shutil.rmtree(folder)
        enter_network()
    run("ip", "link", "set", "lo", "up")
    run("mount", "-t", "tmpfs", "modules", "/var/lib")
    Path("/var/lib/istio/data").mkdir(parents=True)
    idp, upstream, istiod, files, registry = OidcProvider(folder / "idp"), Upstream(), None, None, None
    try:
        idp.install()
        idp.start()
        (folder / "downloads").mkdir()
        shutil.copy(MODULE, folder / "downloads/jwt.wasm")
        files = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder / "downloads")))
        threading.Thread(target=files.serve_forever, daemon=True).start()
        # istiod itself fetches keys for RequestAuthentication, and has to trust the issuer.
        istiod = mesh.Istiod(folder, binaries, {"SSL_CERT_FILE": str(idp.certificates.ca)})
        say(f"istio: istiod {mesh.RELEASE} ({mesh.VERSION}) with Envoy {version}")
        parts = os.environ.get("PARTS", "files migration policies waypoint").split()
        istiod.apply(WITHOUT_MTLS)
        if "files" in parts:
            try_overlay(tools, folder)
            by_file = Shipped(tools, idp, f"file://{MODULE}")
            proxy = try_sidecar(istiod, envoy, by_file, idp, upstream)
            try_workload(istiod, envoy, by_file, idp, upstream, proxy)
            try_cluster(istiod, envoy, by_file, idp, upstream)
            by_http = Shipped(tools, idp, f"http://127.0.0.1:{files.server_address[1]}/jwt.wasm")
            registry = Registry(folder)
            try_gateway(istiod, envoy, by_http, idp, upstream, registry)
        if "migration" in parts:
            try_migration(istiod, envoy, tools, Shipped(tools, idp, f"file://{MODULE}"), idp, upstream, folder)
        if "policies" in parts:
            try_policies(istiod, envoy, tools, folder, upstream)
        if "waypoint" in parts:
            istiod.stop()
            (folder / "ambient").mkdir()
            istiod = mesh.Istiod(folder / "ambient", binaries, AMBIENT)
            by_file = Shipped(tools, idp, f"file://{MODULE}")
            try_waypoint(istiod, envoy, by_file, idp, upstream)
            try_gateway_api(istiod, envoy, by_file, idp, upstream)
        say(f"\nistiod {mesh.RELEASE}, Envoy {version}: every step as expected\n1 passed, 0 failed")
    except Failure:
        say(f"istio: logs and configurations: {folder}")
        raise
    finally:
        mesh.stop_proxies()
        if istiod:
            istiod.stop()
        idp.stop()
        upstream.stop()
        if files:
            files.shutdown()
        if registry:
            registry.stop()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    try:
        main()
    except (Failure, Unavailable) as failure:
        sys.exit(f"istio: {failure}")
