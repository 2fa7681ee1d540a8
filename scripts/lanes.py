#!/usr/bin/env python3
"""Builds both modules, and runs the tests of `cargo test --workspace`: each binary once, three at a time.

Many tests wait most of their time for Envoy, and processors are free meanwhile. So the test binaries run in
three lanes. The first two have every test with a clock, a socket or an Envoy. The third lane has the binaries
of COMPUTING. The kernel gives them the time that the others leave, so they delay no test that measures time.

The output of a binary appears when it ends; that of a failed one comes last.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: The first two lanes begin with these, the longest first. Binaries that this file does not name follow.
WAITING = [
    "-p proxy-wasm-jwt --test envoy",
    "-p proxy-wasm-jwt --test native",
    "-p proxy-wasm-jwt --test differential",
]

#: The third lane, the longest first, as `cargo test` selects them. None of them opens a socket, starts Envoy
#: or fails because a machine is slow.
COMPUTING = [
    "-p proxy-wasm-jwt --test instructions",
    "-p proxy-wasm-jwt --test simulator",
    "-p proxy-wasm-jwt --test engine",
    "-p proxy-wasm-jwt --lib",
    "--workspace --doc",
    "-p proxy-wasm-jwt --test host",
    "-p proxy-wasm-jwt --test wycheproof",
    "-p proxy-wasm-jwt-native --test loom",
    "-p proxy-wasm-jwt-native --test hooks",
    "-p proxy-wasm-jwt-native --lib",
    "-p jwtctl --lib",
    "-p jwtctl --test schema",
    "-p jwtctl --test check",
    "-p jwtctl --test policy",
    "-p jwtctl --test browser",
    "-p jwtctl --test page",
    "-p jwtctl-page --lib",
    "-p fuzz --lib",
    "-p minting --lib",
    "-p testkit --test tokens",
    "-p testkit-macros --lib",
    "-p proxy-wasm-jwt --test public_configs",
    "-p proxy-wasm-jwt --test rfc_vectors",
    "-p proxy-wasm-jwt --test artefact",
    "-p proxy-wasm-jwt --test architecture",
]

#: What is built at the same time. Each group has target directories of its own, so that no Cargo waits for
#: the other, and each build has parts that use a single processor.
BUILDS = [
    "scripts/wasm.sh && TRAP=1 scripts/wasm.sh",
    "scripts/native.sh && TRAP=1 scripts/native.sh && cargo test --workspace --no-run",
]


class Failure(Exception):
    """The tests cannot run."""


def say(text):
    print(text, flush=True)


# --- processes


def own_group():
    """In a child: a process group of its own, so that its children can be ended with it."""
    os.setpgid(0, 0)
    # The kernel ends the child if this process is killed.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def own_group_when_idle():
    """The same, for the third lane."""
    own_group()
    # All lanes belong to one session, so the kernel compares their priorities: it runs an idle task only if
    # no other task wants the processor.
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(19)


def end_of_idleness(process):
    """Gives an idle process its normal priority. Without the right to do so, it stays idle."""
    try:
        for task in os.listdir(f"/proc/{process.pid}/task"):
            os.sched_setscheduler(int(task), os.SCHED_OTHER, os.sched_param(0))
    except OSError:
        pass


def end(process):
    """Ends a process and its children."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def output_of(*command):
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)} ended with {done.returncode}")
    return done.stdout


# --- builds


def build():
    """Builds the modules and the tests."""
    begun = time.monotonic()
    # A first build reuses nothing. What the next one could reuse takes an eighth of its time to write.
    if not (ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug" / "incremental").exists():
        os.environ.setdefault("CARGO_INCREMENTAL", "0")
    running = []
    try:
        for group in BUILDS:
            command = ["bash", "-c", group]
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, preexec_fn=own_group)
            running.append(process)
        while None in (ended := [process.poll() for process in running]) and not any(ended):
            time.sleep(0.05)
        if any(ended):
            raise Failure("a build has failed")
    finally:
        for process in running:
            end(process)
    say(f"lanes: built in {time.monotonic() - begun:.0f} s")


# --- what is to run


def selection(package, target):
    """How `cargo test` selects this target."""
    kind = target["kind"][0]
    return f"-p {package['name']} " + (f"--{kind} {target['name']}" if kind in ("test", "bin") else "--lib")


def default_features(package):
    features, left = set(), ["default"]
    while left:
        feature = left.pop()
        if feature in package["features"] and feature not in features:
            features.add(feature)
            left += package["features"][feature]
    return features


def declared(package):
    """The targets of a package that `cargo test --workspace` runs."""
    features = default_features(package)
    for target in package["targets"]:
        if target["test"] and features.issuperset(target.get("required-features", [])):
            yield selection(package, target)


def tests():
    """All tests: how `cargo test` selects each, with its command and the directory in which it runs."""
    packages = json.loads(output_of("cargo", "metadata", "--no-deps", "--format-version=1"))["packages"]
    by_id = {package["id"]: package for package in packages}
    found = {}
    messages = output_of("cargo", "test", "--workspace", "--no-run", "--message-format=json-render-diagnostics")
    for message in map(json.loads, messages.splitlines()):
        if message["reason"] == "compiler-artifact" and message["profile"]["test"] and message["executable"]:
            package = by_id[message["package_id"]]
            name = selection(package, message["target"])
            if name in found:
                raise Failure(f"Cargo has built {name} twice")
            found[name] = [message["executable"]], Path(package["manifest_path"]).parent
    missing = {name for package in packages for name in declared(package)} ^ set(found)
    if missing:
        raise Failure(f"the targets of Cargo.toml and the test binaries differ: {sorted(missing)}")
    # Cargo itself compiles and runs the examples of the documentation.
    found["--workspace --doc"] = ["cargo", "test", "--workspace", "--doc"], ROOT
    return found


def lanes(found):
    """The names of the tests that wait, and of those that compute: every test is in one of the lists."""
    if unknown := [name for name in [*COMPUTING, *WAITING] if name not in found]:
        raise Failure(f"scripts/lanes.py names {unknown}, which do not exist")
    others = [name for name in found if name not in COMPUTING and name not in WAITING]
    return [*WAITING, *others], list(COMPUTING)


# --- runs


class Run:
    """A test binary that runs. Its output goes to a file, so that it never waits for a reader."""

    def __init__(self, name, command, directory, environment, is_idle=False):
        self.name, self.begun, self.is_idle = name, time.monotonic(), is_idle
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment | {"CARGO_MANIFEST_DIR": str(directory)},
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            preexec_fn=own_group_when_idle if is_idle else own_group,
        )

    def report(self):
        self.output.seek(0)
        text = self.output.read().decode(errors="replace").strip("\n")
        return f"     Running {self.name} ({time.monotonic() - self.begun:.0f} s)\n\n{text}\n"

    def has_passed(self):
        # A binary that ends before all of its tests, by `exit(0)` in one of them, has no such line.
        return self.process.returncode == 0 and "test result: ok." in self.report()


def run(found):
    """Runs everything; returns the names of failed tests."""
    # As Cargo sets it: the tests of a procedural macro need the compiler's libraries.
    libraries = output_of("rustc", "--print", "target-libdir").strip()
    libraries = ":".join(filter(None, [libraries, os.environ.get("LD_LIBRARY_PATH")]))
    environment = dict(os.environ) | {"LD_LIBRARY_PATH": libraries}
    waiting, computing = lanes(found)
    running, reports = [], {}

    def start(name, is_idle=False):
        running.append(Run(name, *found[name], environment, is_idle))

    try:
        while waiting or computing or running:
            while waiting and sum(test.name not in COMPUTING for test in running) < 2:
                start(waiting.pop(0))
            # The processors are free for the third lane when no test of the others is left.
            is_last = all(test.name in COMPUTING for test in running)
            while computing and sum(test.name in COMPUTING for test in running) < (2 if is_last else 1):
                start(computing.pop(0), is_idle=not is_last)
            for test in running:
                if test.is_idle and is_last:
                    end_of_idleness(test.process)
                    test.is_idle = False
            time.sleep(0.05)
            for test in [test for test in running if test.process.poll() is not None]:
                running.remove(test)
                if test.has_passed():
                    say(test.report())
                else:
                    reports[test.name] = test.report()
                    say(f"     FAILED  {test.name}; its output comes last\n")
    finally:
        for test in running:
            end(test.process)
            say(test.report())
        for report in reports.values():
            say(report)
    return list(reports)


def main():
    def stop(number, _):
        sys.exit(128 + number)

    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, stop)
    build()
    found = tests()
    begun = time.monotonic()
    failed = run(found)
    say(f"lanes: {len(found)} test binaries in {time.monotonic() - begun:.0f} s, {len(failed)} failed")
    for name in failed:
        say(f"lanes: failed; again with: cargo test {name}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    try:
        main()
    except Failure as fault:
        sys.exit(f"lanes: {fault}")
