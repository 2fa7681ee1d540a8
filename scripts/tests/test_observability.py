"""The alert rules by promtool, and the dashboard's queries by a real Prometheus that scrapes the demo."""

import json
import random
import re
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts/interop"))

from kit import Process, accepts, broken, eventually, expect, free_port, http, run, unpack_debian  # noqa: E402

FOLDER = ROOT / "envoy/observability"
DEMO = ("cargo", "run", "--quiet", "--package", "testkit", "--bin", "demo", "--")


def filled(query):
    """A query of the dashboard with its variables filled in."""
    return query.replace("$filter", ".*").replace("$instance", ".*").replace("$__rate_interval", "30s")


def queries():
    """Each query of the dashboard with its variables filled in, with the panel's title."""
    board = json.loads((FOLDER / "dashboard.json").read_text())
    found = []
    for panel in board["panels"]:
        for target in panel["targets"]:
            found.append((panel["title"], filled(target["expr"])))
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups()
            found.append((variable["label"], f"count by ({label}) ({metric})"))
    return found


def alerts():
    """Names and expressions, by promtool's own reading of the file."""
    text = (FOLDER / "alerts.yaml").read_text()
    return re.findall(r"alert: (\w+)", text)


def prometheus_config(target, is_relabeled):
    """The configuration of a Prometheus that scrapes this address, with the rules of relabel.yaml if so."""
    text = f"""global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{json.dumps(str(FOLDER / "alerts.yaml"))}]
scrape_configs:
- job_name: envoy
  metrics_path: /stats/prometheus
  static_configs: [{{targets: ["{target}"]}}]
"""
    return text + (textwrap.indent((FOLDER / "relabel.yaml").read_text(), "  ") if is_relabeled else "")


def ask(port, query):
    reply = http("GET", f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(query)}").json()
    expect(reply["status"] == "success", f"{query}: {reply}")
    return reply["data"]["result"]


def series(port):
    """The names and the labels of the filter's metrics."""
    rows = ask(port, '{__name__=~"jwt_.+"}')
    return {
        tuple(sorted((key, value) for key, value in row["metric"].items() if key not in ("instance", "job")))
        for row in rows
    }


class Rules(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        files, _ = unpack_debian("prometheus")
        cls.programs = files / "usr/bin"

    def test_promtool_accepts_the_rules(self):
        output = run(self.programs / "promtool", "check", "rules", FOLDER / "alerts.yaml")
        self.assertIn(f"SUCCESS: {len(alerts())} rules found", output)

    def test_each_rule_fires_when_it_has_to_and_no_other_time(self):
        run(self.programs / "promtool", "test", "rules", FOLDER / "alerts_test.yaml")
        tested = set(re.findall(r"alertname: (\w+)", (FOLDER / "alerts_test.yaml").read_text()))
        self.assertEqual(tested, set(alerts()))

    def test_a_prometheus_that_scrapes_the_demo_answers_every_query(self):
        with tempfile.TemporaryDirectory() as folder:
            self._scrape(Path(folder))

    def test_the_relabeling_of_an_envoy_without_tags_gives_the_same_names_and_labels(self):
        seen = []
        for has_tags in (True, False):
            with tempfile.TemporaryDirectory() as folder:
                port, traffic = self.start(Path(folder), has_tags)
                traffic()
                eventually("the metrics", lambda port=port: len(series(port)) > 50)
                # The scrape that has these requests.
                eventually("a refusal", lambda port=port: ask(port, "sum(jwt_denied) > 0"))
                seen.append(series(port))
                self.doCleanups()
        self.assertEqual(*seen)

    def test_the_shipped_configurations_have_the_tags_of_the_documentation(self):
        tags = re.search(r"```yaml\n(stats_config:\n.*?)```", (ROOT / "docs/operating.md").read_text(), re.S)[1]
        for name in ("envoy.yaml", "envoy-native.yaml"):
            self.assertIn(tags, (ROOT / "envoy" / name).read_text(), name)

    def test_the_relabeling_names_every_reason(self):
        table = (ROOT / "docs/refusals.md").read_text().split("## Reasons")[1].split("## Details")[0]
        reasons = re.findall(r"^\| `(\w+)` \| \d{3} ", table, re.M)
        self.assertGreater(len(reasons), 20)
        listed = re.search(r'\(total\|(.+?)\)"', re.sub(r"\\\n *", "", (FOLDER / "relabel.yaml").read_text()))[1]
        self.assertEqual(listed.split("|"), reasons)

    def start(self, folder, has_tags=True):
        """The demo and a Prometheus that scrapes it: the port of the latter, and a function that sends requests.

        Without tags in Envoy's configuration, Prometheus makes the labels.
        """
        subprocess.run(["cargo", "build", "--quiet", "--package", "testkit", "--bin", "demo"], cwd=ROOT, check=True)
        # Its working directory is the repository: it keeps its key below it.
        command = [*DEMO, "run", "--port", "0"]
        if not has_tags:
            text = (ROOT / "envoy/envoy.yaml").read_text()
            without = re.sub(r"^stats_config:\n(?: .*\n)+", "", text, flags=re.M)
            self.assertNotEqual(text, without)
            (folder / "envoy.yaml").write_text(without)
            command += ["--config", folder / "envoy.yaml"]
        demo = Process("demo", command, folder / "demo.log", cwd=ROOT)
        self.addCleanup(demo.stop)
        demo.wait_until("Envoy's log", lambda: "Ctrl-C" in demo.text(), timeout=120)
        main, admin = re.search(r"listener main on (\S+)\nits admin on (http://[^, ]+)", demo.text()).groups()
        token = run(*DEMO, "token", cwd=ROOT).strip()
        expired = run(*DEMO, "token", "--expires-in=-600", cwd=ROOT).strip()

        port = free_port()
        target = admin.removeprefix("http://")
        (folder / "prometheus.yml").write_text(prometheus_config(target, is_relabeled=not has_tags))
        command = [
            self.programs / "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address=127.0.0.1:{port}",
        ]  # fmt: skip
        prometheus = Process("prometheus", command, folder / "prometheus.log")
        self.addCleanup(prometheus.stop)
        ready = f"http://127.0.0.1:{port}/-/ready"
        prometheus.wait_until("ready", lambda: accepts(port) and http("GET", ready).status == 200)

        def traffic(share=1.0):
            """Sends each request with a chance that falls by `share` from one to the next."""
            for place, (path, value) in enumerate((
                ("/orders", token), ("/orders", token), ("/orders", broken(token)), ("/orders", expired),
                ("/orders", None), ("/healthz", None), ("/payments", None), ("/reports", token),
            )):  # fmt: skip
                if random.random() > share**place:
                    continue
                headers = {"authorization": f"Bearer {value}"} if value else {}
                http("GET", main + path, headers)

        return port, traffic

    def _scrape(self, folder):
        port, traffic = self.start(folder)
        end = time.monotonic() + 6
        while time.monotonic() < end:
            traffic()
            time.sleep(0.5)
        eventually("a sample", lambda: ask(port, "jwt_allowed"))
        # Every label of the documented tags is there, and the filter's counts are these.
        reasons = {row["metric"].get("jwt_reason") for row in ask(port, "jwt_denied > 0")}
        self.assertLessEqual({"token_missing", "token_expired", "signature_invalid", "scope_insufficient"}, reasons)
        self.assertEqual({row["metric"]["jwt_filter"] for row in ask(port, "jwt_allowed > 0")}, {"demo"})
        self.assertEqual({row["metric"]["jwt_provider"] for row in ask(port, "jwt_provider_keys > 0")}, {"demo"})
        asked = queries()
        self.assertGreater(len(asked), 15)
        # A rate needs two samples, and a subquery with a step of 30 s a point on it.
        for title, query in asked:
            traffic()
            with self.subTest(panel=title, query=query):
                eventually(f"a result for {query}", lambda query=query: ask(port, query), timeout=75, pause=1)
        rules = http("GET", f"http://127.0.0.1:{port}/api/v1/rules").json()["data"]["groups"]
        seen = {rule["name"]: rule for group in rules for rule in group["rules"]}
        self.assertEqual(set(seen), set(alerts()))
        for rule in seen.values():
            self.assertEqual(rule["health"], "ok", rule)


if __name__ == "__main__":
    unittest.main()
