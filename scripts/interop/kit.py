"""Processes, ports, HTTP, Debian packages and Envoy, for the runs against real servers.

Everything listens on 127.0.0.1, every process is ended by the one that started it, and what is downloaded is kept
outside of the repository: in $INTEROP_CACHE, by default ~/.cache/proxy-wasm-jwt, in a folder for each version.
"""

import base64
import ctypes
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import textwrap
import threading
import time
import urllib.parse
from http.client import HTTPConnection, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULE = Path(os.environ.get("JWT_WASM", ROOT / "envoy/jwt.wasm"))
ENVOY = Path(os.environ.get("ENVOY_BIN", ROOT / ".venv/bin/envoy"))
CACHE = Path(
    os.environ.get("INTEROP_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "proxy-wasm-jwt"
)


class Failure(Exception):
    """Something was not as it has to be."""


class Unavailable(Exception):
    """A server cannot be had on this machine; the text says what was tried."""


def say(text):
    print(text, flush=True)


def expect(condition, text):
    if not condition:
        raise Failure(text)


# --- processes


def run(*command, cwd=None, env=None, timeout=600, stdin=None):
    """Runs a command to its end; its output is shown only if it fails."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env=env and {**os.environ, **env},
            timeout=timeout,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except subprocess.TimeoutExpired as late:
        raise Failure(f"{' '.join(map(str, command))} did not end within {timeout} s") from late
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


def _die_with_parent():
    # The kernel ends the child if this process is killed: no server outlives a run.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Process:
    """A server, with its log in a file."""

    def __init__(self, name, command, log, env=None, cwd=None):
        self.name = name
        self.log = Path(log)
        with open(self.log, "ab") as output:
            self.child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def text(self):
        return self.log.read_text(errors="replace")

    def wait_until(self, what, ready, timeout=60):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.child.poll() is not None:
                raise Failure(f"{self.name} ended with {self.child.returncode} at its start:\n{self.text()[-3000:]}")
            if ready():
                return
            time.sleep(0.05)
        raise Failure(f"{self.name}: {what} did not happen within {timeout} s:\n{self.text()[-3000:]}")

    def stop(self, grace=10):
        if self.child.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                self.child.wait(grace)
            except subprocess.TimeoutExpired:
                pass
        # The rest of its own process group, if it left any.
        self._signal(signal.SIGKILL)
        self.child.wait()

    def _signal(self, number):
        try:
            os.killpg(self.child.pid, number)
        except ProcessLookupError:
            pass


_PORTS = set()


def free_port():
    """A port that was free a moment ago and is given once."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in _PORTS:
            _PORTS.add(port)
            return port


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
        return True
    except OSError:
        return False


def eventually(what, probe, timeout=30, pause=0.1):
    """The first true value of the probe."""
    end = time.monotonic() + timeout
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {timeout} s")
        time.sleep(pause)


# --- HTTP


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Failure(f"no JSON in the reply with status {self.status}: {self.body[:300]!r}") from error

    @property
    def reason(self):
        """The reason code of a refusal of the filter."""
        try:
            return json.loads(self.body).get("reason", "-")
        except (ValueError, AttributeError):
            return "-"

    def __repr__(self):
        return f"{self.status} {self.body[:200]!r}"


def http(method, url, headers=None, body=None, form=None, data=None, basic=None, context=None, timeout=20):
    """One request over one connection; redirects are not followed."""
    parts = urllib.parse.urlsplit(url)
    headers = dict(headers or {})
    if form is not None:
        body = urllib.parse.urlencode(form)
        headers["content-type"] = "application/x-www-form-urlencoded"
    if data is not None:
        body = json.dumps(data)
        headers["content-type"] = "application/json"
    if basic:
        # RFC 6749 section 2.3.1: both parts are form-encoded first.
        pair = ":".join(urllib.parse.quote(part, safe="") for part in basic)
        headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    if parts.scheme == "https":
        connection = HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=context)
    else:
        connection = HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        target = parts.path or "/"
        if parts.query:
            target += "?" + parts.query
        connection.request(method, target, body=body, headers=headers)
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())
    finally:
        connection.close()


def token_of(reply):
    """The access token in a reply of a token endpoint."""
    expect(reply.status == 200, f"the token endpoint answered {reply}")
    return reply.json()["access_token"]


def decode(token, part=1):
    """The header (0) or the payload (1) of a token, without a check of anything."""
    piece = token.split(".")[part]
    return json.loads(base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4)))


def broken(token):
    """The same token with another signature of the same length."""
    head, _, signature = token.rpartition(".")
    middle = len(signature) // 2
    return f"{head}.{signature[:middle]}{'A' if signature[middle] != 'A' else 'B'}{signature[middle + 1:]}"


class Upstream:
    """Answers each request with the headers that it has received, as JSON."""

    def __init__(self):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                length = int(self.headers.get("content-length") or 0)
                self.rfile.read(length)
                body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


# --- Envoy


def cluster(name, port, host="127.0.0.1", tls=None):
    """A cluster with one address. `tls` contains `ca` (a file) and `name` (the name in the certificate)."""
    value = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}]}
            ],
        },
    }
    if tls:
        value["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": tls["name"],
                "common_tls_context": {
                    "validation_context": {
                        "trusted_ca": {"filename": str(tls["ca"])},
                        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": tls["name"]}}],
                    }
                },
            },
        }
    return value


def listener(name, config, tls=None, vm_id="jwt"):
    """A listener with the filter in front of the upstream. `tls` has `cert` and `key`, and `ca` for its clients."""
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {
            "name": name,
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}],
                }
            ],
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.wasm",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                    "config": {
                        "name": name,
                        "failure_policy": "FAIL_RELOAD",
                        "vm_config": {
                            "vm_id": vm_id,
                            "runtime": "envoy.wasm.runtime.v8",
                            "code": {"local": {"filename": str(MODULE)}},
                        },
                        "configuration": {
                            "@type": "type.googleapis.com/google.protobuf.StringValue",
                            "value": json.dumps(config),
                        },
                    },
                },
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            },
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    if tls:
        common = {
            "tls_certificates": [
                {"certificate_chain": {"filename": str(tls["cert"])}, "private_key": {"filename": str(tls["key"])}}
            ]
        }
        if "ca" in tls:
            common["validation_context"] = {"trusted_ca": {"filename": str(tls["ca"])}}
        chain["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": common,
                "require_client_certificate": "ca" in tls,
            },
        }
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [chain],
    }


def node_packages(name, sources):
    """The versions of the packages in `package.json`, and the folder in which they are installed."""
    need("node", "Node.js 20 or later")
    need("npm", "Node.js 20 or later")
    packages = json.loads((sources / "package.json").read_text())["dependencies"]

    def make(folder):
        for file in ("package.json", "package-lock.json"):
            shutil.copy(sources / file, folder)
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)

    return packages, cached(name, "-".join(packages.values()), make)


def stats(admin, pattern):
    """Counters and gauges of an Envoy whose names match."""
    text = http("GET", f"{admin}/stats?filter={urllib.parse.quote(pattern)}").body.decode()
    pairs = (line.rsplit(": ", 1) for line in text.splitlines() if ": " in line)
    return {name: int(value) for name, value in pairs if value.isdigit()}


class Envoy:
    """A real Envoy with two workers."""

    def __init__(self, folder, listeners, clusters, binary=None):
        folder = Path(tempfile.mkdtemp(prefix="envoy-", dir=folder))
        bootstrap = {
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
            "static_resources": {"listeners": listeners, "clusters": clusters},
        }
        (folder / "envoy.json").write_text(json.dumps(bootstrap))
        admin = folder / "admin-address"
        self.process = Process(
            "Envoy",
            [binary or ENVOY, "--config-path", folder / "envoy.json", "--admin-address-path", admin]
            + ["--concurrency", "2", "--disable-hot-restart", "--log-level", "info"]
            + ["--component-log-level", "main:warning,wasm:debug"],
            folder / "envoy.log",
        )
        self.process.wait_until("the admin address", lambda: admin.exists() and admin.read_text().strip())
        self.admin = "http://" + admin.read_text().strip()
        self.process.wait_until("LIVE", self._live)
        self.ports = {}
        for status in http("GET", self.admin + "/listeners?format=json").json()["listener_statuses"]:
            self.ports[status["name"]] = status["local_address"]["socket_address"]["port_value"]

    def _live(self):
        try:
            return http("GET", self.admin + "/ready", timeout=2).status == 200
        except OSError:
            return False

    def url(self, name="main", path="/orders", scheme="http", host="127.0.0.1"):
        return f"{scheme}://{host}:{self.ports[name]}{path}"

    def stats(self, pattern):
        return stats(self.admin, pattern)

    def log(self):
        return self.process.text()

    def stop(self):
        self.process.stop()


# --- what servers are made of


def cached(name, version, make):
    """The folder of this version in the cache. `make(folder)` fills it once; a folder half filled is never taken."""
    folder = CACHE / name / version
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        make(fresh)
        try:
            fresh.rename(folder)
        except OSError:
            # Another run was faster.
            expect(folder.exists(), f"{folder} cannot be made")
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def need(program, hint):
    found = shutil.which(program)
    if not found:
        raise Unavailable(f"{program} is not installed ({hint})")
    return found


def debian_version(package):
    need("apt-cache", "a Debian-like machine")
    found = re.search(r"Candidate: (\S+)", run("apt-cache", "policy", package))
    if not found or found[1] == "(none)":
        # Fresh images have no lists of packages.
        run(*as_root("apt-get", "-qq", "update"))
        found = re.search(r"Candidate: (\S+)", run("apt-cache", "policy", package))
    if not found or found[1] == "(none)":
        raise Unavailable(f"Debian's package {package} is not to be had here")
    return found[1]


def as_root(*command):
    return command if os.geteuid() == 0 else ("sudo", *command)


def unpack_debian(*packages, leave_out=()):
    """The packages and what they depend on and this machine lacks, unpacked below a folder and not installed.

    No service is started, nothing outside of the folder changes, and no root is needed. Returns the folder and the
    version of the first package. `leave_out` has regular expressions of packages that are not needed to run it.
    """
    version = debian_version(packages[0])

    def make(folder):
        plan = run("apt-get", "-s", "-qq", "install", "--no-install-recommends", *packages)
        # A version in brackets is that of a package which is here already and would be upgraded.
        names = [line.split()[1] for line in plan.splitlines() if re.match(r"Inst \S+ \(", line)]
        names = [name for name in names if not any(re.fullmatch(pattern, name) for pattern in leave_out)]
        names += [name for name in packages if name not in names]
        say(f"  downloading {len(names)} packages of Debian")
        downloads = folder / ".download"
        downloads.mkdir()
        try:
            run("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *names, cwd=downloads, timeout=900)
        except Failure:
            # Lists older than the archive name files that it no longer has.
            run(*as_root("apt-get", "-qq", "update"))
            run("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *names, cwd=downloads, timeout=900)
        for archive in sorted(downloads.glob("*.deb")):
            run("dpkg-deb", "-x", archive, folder)
        shutil.rmtree(downloads)

    # Another list of packages is another folder.
    mark = hashlib.sha256(repr((packages, leave_out)).encode()).hexdigest()[:8]
    return cached(packages[0], f"{version}-{mark}", make), version


class Registry:
    """Debian's registry of images."""

    def __init__(self, folder):
        folder = Path(folder)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        config = folder / "registry.yml"
        storage = {"filesystem": {"rootdirectory": str(folder / "registry")}}
        config.write_text(json.dumps({"version": "0.1", "storage": storage, "http": {"addr": self.address}}))
        self.process = Process("docker-registry", [program("docker-registry"), "serve", config], folder / "registry.log")
        self.process.wait_until("its port", lambda: accepts(self.port))
        self.layout = folder / "layout"

    def push(self, name):
        """The digest of the module's image, which `make image` pushes under this name."""
        more = {"REGISTRY": f"{self.address}/{name}", "PLAIN_HTTP": "1", "LAYOUT": str(self.layout), "MODULE": str(MODULE)}
        return run(ROOT / "scripts/image.sh", env=more).split()[-1]

    def stop(self):
        self.process.stop()


def program(package):
    """The program of Debian's package of the same name. A variable has it where the lists of packages are not there."""
    return os.environ.get(f"INTEROP_{package}") or str(unpack_debian(package)[0] / "usr/bin" / package)


def find_programs():
    """What `Registry` and `scraped` need, for this program when it runs in other namespaces."""
    need("skopeo", "apt-get install skopeo")
    for package in ("docker-registry", "prometheus"):
        os.environ[f"INTEROP_{package}"] = program(package)


def scraped(folder, target):
    """The labels of the filter's metrics in a Prometheus that scrapes this address with the rules of relabel.yaml."""
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="prometheus-", dir=folder))
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: envoy\n  metrics_path: /stats/prometheus\n"
        f'  static_configs: [{{targets: ["{target}"]}}]\n'
        + textwrap.indent((ROOT / "envoy/observability/relabel.yaml").read_text(), "  ")
    )
    command = [program("prometheus"), f"--config.file={folder}/prometheus.yml"]
    command += [f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address=127.0.0.1:{port}"]
    prometheus = Process("prometheus", command, folder / "prometheus.log")
    try:
        query = urllib.parse.quote('{__name__=~".*jwt_.+"} > 0')

        def ask():
            reply = http("GET", f"http://127.0.0.1:{port}/api/v1/query?query={query}")
            return reply.status == 200 and [row["metric"] for row in reply.json()["data"]["result"]]

        prometheus.wait_until("its port", lambda: accepts(port))
        return eventually("the metrics", ask)
    finally:
        prometheus.stop()


def go_build(name, module, version, *arguments, keep=()):
    """The commands of a Go module of this version, built from the sources that the module proxy has; `keep` has files
    of the sources that they need beside them.

    They are built in a copy of the module, with its own go.sum. `go install module@version` refuses modules with
    replacements. A replacement by a folder leads to another module of the same repository, which its archive lacks: it is
    dropped, and the module's own published version is taken.
    """
    need("go", "Go 1.24 or later")
    mark = hashlib.sha256(repr(arguments).encode()).hexdigest()[:8]

    def make(folder):
        say(f"  building {module}@{version}; this takes some minutes")
        found = json.loads(run("go", "mod", "download", "-json", f"{module}@{version}", cwd=folder, timeout=1800))
        sources = folder / ".sources"
        shutil.copytree(found["Dir"], sources)
        for path in (sources, *sources.rglob("*")):
            path.chmod(path.stat().st_mode | 0o200)
        replaced = json.loads(run("go", "mod", "edit", "-json", cwd=sources)).get("Replace") or []
        for entry in replaced:
            if entry["New"]["Path"].startswith("."):
                run("go", "mod", "edit", "-dropreplace", entry["Old"]["Path"], cwd=sources)
        run("go", "build", "-mod=mod", "-o", f"{folder}/", *arguments, cwd=sources, timeout=7200)
        for path in keep:
            shutil.copy(sources / path, folder)
        shutil.rmtree(sources)

    return cached(name, f"{version}-{mark}", make)


class Certificates:
    """A certificate authority of this run, made by openssl."""

    def __init__(self, folder):
        need("openssl", "apt-get install openssl")
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca = self.folder / "ca.pem"
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=Private CA", "-keyout", "ca.key", "-out", "ca.pem",
            "-addext", "basicConstraints=critical,CA:TRUE",
        )  # fmt: skip
        (self.folder / "index.txt").write_text("")
        (self.folder / "ca.cnf").write_text(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nserial=serial\npolicy=p\ndefault_md=sha256\n"
            "unique_subject=no\ncopy_extensions=copy\n[p]\ncommonName=supplied\n"
        )
        (self.folder / "serial").write_text("1000\n")

    def _openssl(self, *arguments):
        run("openssl", *arguments, cwd=self.folder)

    def issue(self, name, dns, start="20200101000000Z", end="20991231235959Z", uri=None):
        """A certificate for this DNS name, or for a workload's URI too, and its key, as files."""
        names = f"DNS:{dns},IP:127.0.0.1" + (f",URI:{uri}" if uri else "")
        self._openssl(
            "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={dns}",
            "-addext", f"subjectAltName={names}", "-keyout", f"{name}.key", "-out", f"{name}.csr",
        )  # fmt: skip
        self._openssl(
            "ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key",
            "-startdate", start, "-enddate", end, "-in", f"{name}.csr", "-out", f"{name}.pem",
        )  # fmt: skip
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def context(self, client=None):
        """A client's TLS, which trusts this authority alone."""
        context = ssl.create_default_context(cafile=self.ca)
        if client:
            context.load_cert_chain(*client)
        return context
