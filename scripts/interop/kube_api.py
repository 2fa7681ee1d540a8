"""A stand-in for the Kubernetes API: lists and watches of the resources that a test applies.

istiod translates a WasmPlugin only if it gets its resources from Kubernetes; from files, it takes a TrafficExtension
alone. This server keeps what it is given and checks nothing: the checks are istiod's own.
"""

import itertools
import json
import queue
import re
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>v[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<resource>[^/]+)(?:/(?P<name>[^/]+))?(?:/status)?"
)


def plural(kind):
    """The name of the resource of a kind, as in `wasmplugins`."""
    word = kind.lower()
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith("s") else "s")


#: Kinds that istiod lists and that no test applies.
OTHERS = [
    "ConfigMap", "Deployment", "EndpointSlice", "Endpoints", "HorizontalPodAutoscaler", "Ingress", "IngressClass", "Lease",
    "MutatingWebhookConfiguration", "Namespace", "Node", "Pod", "PodDisruptionBudget", "Secret", "Service", "ServiceAccount",
    "ValidatingWebhookConfiguration",
]  # fmt: skip


def group_and_version(resource):
    group, _, version = resource["apiVersion"].rpartition("/")
    return group, version


def definition(group, kind):
    """As much of a CustomResourceDefinition as says that the kind exists."""
    annotations = {"gateway.networking.k8s.io/bundle-version": "v1.4.0"} if "gateway" in group else {}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural(kind)}.{group}", "annotations": annotations},
    }


class KubeApi:
    def __init__(self):
        self.lock = threading.Lock()
        self.versions = itertools.count(1)
        self.latest = 0
        self.kept = {}
        self.watchers = []
        self.kinds = {plural(kind): kind for kind in OTHERS} | {"endpoints": "Endpoints"}
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                api.get(self)

            def do_POST(self):
                api.put(self)

            do_PUT = do_PATCH = do_POST

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_):
                """A client that has gone is no fault."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        with self.lock:
            for _, events in self.watchers:
                events.put(None)
        self.server.shutdown()
        self.server.server_close()

    def kubeconfig(self):
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "clusters": [{"name": "test", "cluster": {"server": self.url}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                "users": [{"name": "test", "user": {}}],
            }
        )

    def apply(self, *resources):
        for resource in resources:
            self.store(json.loads(json.dumps(resource)))

    def store(self, resource):
        """Keeps a resource and tells those who watch it. Versions of one kind are one resource."""
        metadata = resource["metadata"]
        group, _ = group_and_version(resource)
        key = (group, plural(resource["kind"]))
        with self.lock:
            names = self.kept.setdefault(key, {})
            name = (metadata.get("namespace"), metadata["name"])
            before = names.get(name)
            self.latest = next(self.versions)
            self.kinds[key[1]] = resource["kind"]
            metadata["resourceVersion"] = str(self.latest)
            metadata["uid"] = before["metadata"]["uid"] if before else f"00000000-0000-0000-0000-{self.latest:012}"
            metadata.setdefault("creationTimestamp", f"2026-01-01T00:00:{self.latest % 60:02}Z")
            metadata["generation"] = self.latest
            names[name] = resource
            self.tell(key, "MODIFIED" if before else "ADDED", resource)
        return resource

    def delete(self, resource):
        group, _ = group_and_version(resource)
        key = (group, plural(resource["kind"]))
        metadata = resource["metadata"]
        with self.lock:
            gone = self.kept[key].pop((metadata.get("namespace"), metadata["name"]))
            self.latest = next(self.versions)
            gone["metadata"]["resourceVersion"] = str(self.latest)
            self.tell(key, "DELETED", gone)

    def tell(self, key, event, resource):
        for of, events in self.watchers:
            if of == key:
                events.put((event, json.loads(json.dumps(resource))))

    def kind(self, resource):
        """Of kinds that are not known, the client knows the name itself."""
        return self.kinds.get(resource, "Unknown")

    # --- HTTP

    def get(self, handler):
        parts = urllib.parse.urlsplit(handler.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        if parts.path == "/version":
            return self.answer(handler, 200, {"major": "1", "minor": "34", "gitVersion": "v1.34.0"})
        found = PATH.fullmatch(parts.path)
        if not found:
            return self.answer(handler, 404, status(404, parts.path))
        group, resource = found["group"] or "", found["resource"]
        key, version = (group, resource), f"{group}/{found['version']}" if group else found["version"]
        partial = "PartialObjectMetadata" in handler.headers.get("accept", "")
        shown = lambda one: shape(one, version, partial)  # noqa: E731
        if found["name"]:
            with self.lock:
                one = self.kept.get(key, {}).get((found["namespace"], found["name"]))
            return self.answer(handler, 200, shown(one)) if one else self.answer(handler, 404, status(404, parts.path))
        name = re.search(r"metadata\.name=([^,]+)", query.get("fieldSelector", ""))
        is_meant = lambda one: (  # noqa: E731
            found["namespace"] in (None, one["metadata"].get("namespace"))
            and (not name or name[1] == one["metadata"]["name"])
        )
        with self.lock:
            items = [one for one in self.kept.get(key, {}).values() if is_meant(one)]
            latest = str(self.latest)
            events = queue.Queue()
            if query.get("watch") in ("true", "1"):
                self.watchers.append((key, events))
        kind = "PartialObjectMetadata" if partial else self.kind(resource)
        if query.get("watch") not in ("true", "1"):
            listed = {"kind": f"{kind}List", "apiVersion": "meta.k8s.io/v1" if partial else version}
            listed |= {"metadata": {"resourceVersion": latest}, "items": [shown(one) for one in items]}
            return self.answer(handler, 200, listed)
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()

        def send(event, one):
            line = json.dumps({"type": event, "object": one}).encode() + b"\n"
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            handler.wfile.flush()

        try:
            if query.get("sendInitialEvents") == "true":
                for one in items:
                    send("ADDED", shown(one))
                mark = {"resourceVersion": latest, "annotations": {"k8s.io/initial-events-end": "true"}}
                send("BOOKMARK", {"kind": kind, "apiVersion": version, "metadata": mark})
            else:
                # What changed between the list and the watch.
                since = int(query.get("resourceVersion") or 0)
                for one in items:
                    if int(one["metadata"]["resourceVersion"]) > since:
                        send("MODIFIED", shown(one))
            while event := events.get():
                if is_meant(event[1]):
                    send(event[0], shown(event[1]))
        except OSError:
            pass
        finally:
            with self.lock:
                self.watchers = [pair for pair in self.watchers if pair[1] is not events]
            handler.close_connection = True

    def put(self, handler):
        """Leases and the like: kept as they come. A change of a part is answered with what is there."""
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        found = PATH.fullmatch(urllib.parse.urlsplit(handler.path).path)
        try:
            resource = json.loads(body)
            if handler.command == "PATCH" or not found or "metadata" not in resource:
                raise ValueError
        except ValueError:
            return self.answer(handler, 200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})
        version = f"{found['group']}/{found['version']}" if found["group"] else found["version"]
        resource.setdefault("apiVersion", version)
        resource.setdefault("kind", self.kind(found["resource"]))
        if found["namespace"]:
            resource["metadata"].setdefault("namespace", found["namespace"])
        if "/status" not in handler.path:
            resource = self.store(resource)
        self.answer(handler, 201 if handler.command == "POST" else 200, resource)

    @staticmethod
    def answer(handler, code, value):
        body = json.dumps(value).encode()
        handler.send_response(code)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


def shape(resource, version, partial):
    if partial:
        return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": resource["metadata"]}
    return {**resource, "apiVersion": version}


def status(code, path):
    return {
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": "NotFound",
        "message": f"{path} is not there",
    }  # fmt: skip
