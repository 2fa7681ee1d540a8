"""What a module or a tool is made of, by `cargo metadata`: the crates that are compiled for it, without those of tests and build tools
that leave nothing in it."""

import json
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The package and the target of each module and tool.
MODULES = {
    "wasm": ("proxy-wasm-jwt", "wasm32-wasip1"),
    "native": ("proxy-wasm-jwt-native", f"{platform.machine()}-unknown-linux-gnu"),
    "jwtctl": ("jwtctl", "x86_64-unknown-linux-musl"),
    "page": ("jwtctl-page", "wasm32-wasip1"),
}


def metadata(target):
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def compiled(package, target):
    """Name and version of each crate that cargo compiles for the module alone.

    `cargo metadata` counts what the features of the tests add, too.
    """
    command = ["cargo", "tree", "--locked", "--target", target, "--package", package, "--edges", "normal"]
    command += ["--prefix", "none", "--no-dedupe", "--format", "{p}"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {(line.split()[0], line.split()[1].removeprefix("v")) for line in output.splitlines() if line}


class Crates:
    """The package itself, the crates in the module, and which needs which."""

    def __init__(self, module="wasm"):
        package, target = MODULES[module]
        whole, kept = metadata(target), compiled(package, target)
        packages = {package["id"]: package for package in whole["packages"]}
        nodes = {node["id"]: node for node in whole["resolve"]["nodes"]}
        self.root = next(p for p in whole["packages"] if p["name"] == package and p["source"] is None)
        self.needs, seen, todo = {}, set(), [self.root["id"]]
        while todo:
            ident = todo.pop()
            if ident in seen:
                continue
            seen.add(ident)
            needed = [
                dependency["pkg"]
                for dependency in nodes[ident]["deps"]
                # A macro runs in the compiler, but what it writes is in the module, so its crate is listed,
                # too.
                if any(kind["kind"] is None for kind in dependency["dep_kinds"])
                and (packages[dependency["pkg"]]["name"], packages[dependency["pkg"]]["version"]) in kept
            ]
            self.needs[ident] = sorted(needed)
            todo.extend(needed)
        self.packages = packages
        self.all = sorted(
            (packages[ident] for ident in seen if ident != self.root["id"]), key=lambda p: (p["name"], p["version"])
        )


def version():
    return Crates().root["version"]


def timestamp():
    """When the sources were committed, so that the same sources give the same files."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return int(done.stdout.strip() or 0) if done.returncode == 0 else 0
