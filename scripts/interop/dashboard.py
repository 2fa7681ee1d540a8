"""Reads envoy/observability/dashboard.json with Grafana's own types, and draws docs/dashboard.png: its panels with the
answers of a real Prometheus that scrapes the demo. No Grafana takes part."""

import json
import re
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts/tests"), str(ROOT / "scripts/interop")]

import test_observability  # noqa: E402
from kit import cached, http, need, run  # noqa: E402

#: The version of matplotlib.
VERSION = "3.11.2"


def install(folder):
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", folder)
    run(*pip, f"matplotlib=={VERSION}")


sys.path.insert(0, str(cached("matplotlib", VERSION, install)))

import matplotlib  # noqa: E402

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.gridspec import GridSpec  # noqa: E402

BOARD = json.loads((test_observability.FOLDER / "dashboard.json").read_text())
SECONDS = 120
#: Grafana's units.
UNITS = {"reqps": "requests/s", "bytes": "MB", "short": "number", "s": "seconds", "percentunit": "share"}


def name(legend, labels):
    return re.sub(r"\{\{(\w+)\}\}", lambda part: labels.get(part[1], ""), legend).strip()


def series(port, panel, end):
    """The name and the points of each line of a panel, by its own queries."""
    for target in panel["targets"]:
        values = {"query": test_observability.filled(target["expr"]), "start": end - SECONDS, "end": end, "step": 2}
        query = urllib.parse.urlencode(values)
        for row in http("GET", f"http://127.0.0.1:{port}/api/v1/query_range?{query}").json()["data"]["result"]:
            scale = 1e6 if panel["fieldConfig"]["defaults"]["unit"] == "bytes" else 1
            points = [(float(at) - end, float(value) / scale) for at, value in row["values"]]
            yield name(target["legendFormat"], row["metric"]), points


def draw(port, file):
    end = time.time()
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in BOARD["panels"])
    figure = pyplot.figure(figsize=(12, rows * 0.4))
    grid = GridSpec(rows, 24, figure=figure, left=0.04, right=0.98, top=0.97, bottom=0.02)
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        # The last row and column of a panel's place are the gap to the next one.
        below, right = place["y"] + place["h"] - 2, place["x"] + place["w"] - 1
        axes = figure.add_subplot(grid[place["y"] : below, place["x"] : right])
        unit = panel["fieldConfig"]["defaults"]["unit"]
        axes.set_title(f"{panel['title']} ({UNITS.get(unit, unit)})", fontsize=9, loc="left")
        axes.tick_params(labelsize=7)
        lines = list(series(port, panel, end))
        if panel["type"] == "stat":
            axes.axis("off")
            text = "\n".join(f"{points[-1][1]:g}  {legend}" for legend, points in lines) or "no data"
            axes.text(0, 0.5, text, fontsize=11, va="center")
            continue
        for legend, points in lines:
            axes.plot(*zip(*points, strict=True), label=legend, linewidth=1)
        axes.set_xlim(-SECONDS, 0)
        axes.set_ylim(0, 1.2 * max((value for _, points in lines for _, value in points), default=0) or 1)
        if lines:
            axes.legend(fontsize=6, loc="upper left", framealpha=0.6)
        else:
            axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", fontsize=9)
    figure.text(0.54, 0.03, f"The last {SECONDS} seconds of the demo, by Prometheus; not drawn by Grafana", fontsize=9)
    figure.savefig(file, dpi=80)


def main(file):
    need("go", "Go 1.24 or later")
    path = test_observability.FOLDER / "dashboard.json"
    panels = run("go", "run", ".", path, cwd=Path(__file__).parent / "dashboard").strip()
    print(f"dashboard: {panels}, read with Grafana's own types", flush=True)
    case = test_observability.Rules()
    test_observability.Rules.setUpClass()
    try:
        with tempfile.TemporaryDirectory() as folder:
            port, traffic = case.start(Path(folder))
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                traffic(0.8)
                time.sleep(0.2)
            draw(port, file)
    finally:
        case.doCleanups()


if __name__ == "__main__":
    main(*sys.argv[1:])
