"""The checks of every server: discovery, tokens, forwarded claims, a rotation under load, an outage."""

import threading
import time
import traceback
from dataclasses import dataclass, field
from datetime import date

from kit import Envoy, Failure, Unavailable, Upstream, broken, decode, eventually, expect, http, listener, say

# Reasons with which the filter says that it could not decide; after the start of a process and during an
# outage only.
UNDECIDED = 503


@dataclass
class Row:
    """A line of the table at the end."""

    name: str
    version: str = "-"
    cells: dict = field(default_factory=dict)
    extras: list = field(default_factory=list)
    fault: str = ""
    skipped: str = ""
    seconds: float = 0.0


def bearer(token):
    return {"authorization": f"Bearer {token}"}


def provider(idp, **more):
    """The provider's configuration as an operator writes it: issuer, audience, discovery."""
    value = {
        "issuer": idp.issuer,
        "audiences": [idp.audience],
        "discovery": {"cluster": "idp"},
        "claim_to_headers": idp.claim_to_headers,
    }
    value.update(idp.provider_fields)
    value.update(more)
    return value


class Load:
    """Requests without a pause, from a few threads, with the newest token and with one that is some seconds older."""

    def __init__(self, url, idp, threads=3):
        self.url, self.idp = url, idp
        self.tokens = [idp.token()]
        self.count, self.refused, self.withdrawn = 0, [], set()
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self._request, args=(number,), daemon=True) for number in range(threads)]
        self.threads.append(threading.Thread(target=self._renew, daemon=True))
        for thread in self.threads:
            thread.start()

    def _renew(self):
        while not self.ended.wait(0.25):
            try:
                token = self.idp.token()
            except (OSError, Failure):
                continue  # A server that starts again issues none; the tokens that it has issued remain good.
            with self.lock:
                held = [one for one in self.tokens if decode(one, 0).get("kid") not in self.withdrawn]
                self.tokens = [*held[-20:], token]

    def _request(self, number):
        turn = number
        while not self.ended.is_set():
            turn += 1
            with self.lock:
                held = list(self.tokens)
            token = held[-1] if turn % 2 else held[0]
            try:
                reply = http("GET", self.url, bearer(token))
            except OSError as error:
                with self.lock:
                    self.refused.append(f"no reply: {error}")
                continue
            with self.lock:
                # The server withdrew its key: it may pass or not, while the filter has not fetched the new
                # key set.
                if decode(token, 0).get("kid") in self.withdrawn:
                    continue
                self.count += 1
                if reply.status != 200:
                    self.refused.append(f"{reply.status} {reply.reason} for kid {decode(token, 0).get('kid')}")
            time.sleep(0.005)

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(30)


def first_reply(envoy, token, path="/orders"):
    """Waits until the filter has keys."""
    return eventually(
        "a reply that is not 503",
        lambda: (reply := http("GET", envoy.url(path=path), bearer(token))).status != UNDECIDED and reply,
    )


def verdicts(envoy, idp, row):
    """Good, altered, foreign and missing tokens, for each algorithm; and what the upstream sees."""
    reply = http("GET", envoy.url())
    expect((reply.status, reply.reason) == (401, "token_missing"), f"without a token: {reply}")
    expect("www-authenticate" in reply.headers, "a 401 without a challenge")
    done = []
    for algorithm in idp.algorithms:
        token = idp.token(algorithm)
        expect(decode(token, 0)["alg"] == algorithm, f"asked for {algorithm}, got {decode(token, 0)}")
        reply = first_reply(envoy, token)
        expect(reply.status == 200, f"{algorithm}, a good token: {reply}, claims {decode(token)}")
        seen = reply.json()
        expect("authorization" not in seen, "the upstream received the token")
        for header, wanted in idp.expected_headers(decode(token)).items():
            expect(seen.get(header) == wanted, f"{header} is {seen.get(header)!r} and not {wanted!r}")
        forged = {name: "forged" for name in idp.expected_headers(decode(token))}
        reply = http("GET", envoy.url(), {**bearer(token), **forged})
        for header, wanted in idp.expected_headers(decode(token)).items():
            expect(reply.json().get(header) == wanted, f"a client's own {header} reached the upstream")
        reply = http("GET", envoy.url(), bearer(broken(token)))
        expect((reply.status, reply.reason) == (401, "signature_invalid"), f"{algorithm}, altered: {reply}")
        reply = http("GET", envoy.url("other"), bearer(token))
        expect((reply.status, reply.reason) == (401, "audience_mismatch"), f"another audience: {reply}")
        done.append(algorithm)
    row.cells["algorithms"] = " ".join(done)
    row.cells["claims"] = " ".join(idp.expected_headers(decode(idp.token())))


def rotation(envoy, idp, row):
    load = Load(envoy.url(), idp)
    try:
        eventually("requests under way", lambda: load.count > 20)
        before = decode(load.tokens[-1], 0).get("kid")
        if idp.hard_rotation:
            load.withdrawn.add(before)
        idp.rotate()

        def rotated():
            token = idp.try_token()
            return token and decode(token, 0).get("kid") != before and token

        eventually("a token with a new kid", rotated, timeout=60)
        seen = load.count
        eventually("requests after the rotation", lambda: load.count > seen + 100, timeout=60)
        time.sleep(2)
    finally:
        load.stop()
    expect(not load.refused, f"{len(load.refused)} of {load.count} good requests were refused: {load.refused[:5]}")
    expect(load.count > 120, f"only {load.count} requests")
    row.cells["rotation"] = f"{idp.rotation}: {load.count} requests, 0 refused"


def outage(envoy, idp, folder, upstream, row):
    token = idp.token()
    expect(http("GET", envoy.url(), bearer(token)).status == 200, "before the outage")
    idp.stop()
    try:
        end, count = time.monotonic() + 3, 0
        while time.monotonic() < end:
            # A token that the cache of verified tokens does not have costs a signature check with the keys
            # held.
            for value in (token, broken(token)):
                reply = http("GET", envoy.url(), bearer(value))
                wanted = 200 if value == token else 401
                expect(reply.status == wanted, f"in the outage: {reply}")
                count += 1
        cold = start_envoy(folder, idp, upstream)
        reply = http("GET", cold.url(), bearer(token))
        expect((reply.status, reply.reason) == (503, "keys_unavailable"), f"without keys: {reply}")
        expect("retry-after" in reply.headers, "a 503 without retry-after")
    finally:
        idp.start()
    reply = first_reply(cold, idp.token())
    cold.stop()
    expect(reply.status == 200, f"after the outage: {reply}")
    row.cells["outage"] = f"{count} requests as before; a new Envoy 503, then 200"


def start_envoy(folder, idp, upstream, extra=()):
    other = provider(idp, audiences=["another-audience"])
    return Envoy(
        folder,
        [
            listener("main", {"providers": {"idp": provider(idp)}}),
            listener("other", {"providers": {"idp": other}, "stat_prefix": "other"}),
            *extra,
        ],
        [idp.cluster(), upstream_cluster(upstream), *idp.more_clusters()],
    )


def upstream_cluster(upstream):
    from kit import cluster

    return cluster("upstream", upstream.port)


def check(idp, folder):
    """Runs everything against one server."""
    row = Row(idp.name)
    started = time.monotonic()
    upstream, envoy = Upstream(), None
    try:
        say(f"{idp.name}: installing")
        idp.install()
        row.version = idp.version
        say(f"{idp.name} {idp.version}: starting")
        idp.start()
        envoy = start_envoy(folder, idp, upstream, idp.more_listeners())
        reply = first_reply(envoy, idp.token())
        expect(reply.status == 200, f"the first token: {reply}; claims {decode(idp.token())}")
        log = envoy.log()
        expect("the discovery document names" in log, "the log shows no discovery document")
        row.cells["discovery"] = "yes"
        for step in (verdicts, rotation):
            say(f"{idp.name}: {step.__name__}")
            step(envoy, idp, row)
        for extra in idp.extras():
            say(f"{idp.name}: {extra.__doc__}")
            row.extras.append(extra(envoy, folder, upstream) or extra.__doc__)
        say(f"{idp.name}: outage")
        outage(envoy, idp, folder, upstream, row)
        crashed = {name: value for name, value in envoy.stats("vm_reload|wasm.*crash").items() if value}
        expect(not crashed, f"the module crashed: {crashed}")
    except Unavailable:
        raise
    except Exception as failure:  # noqa: BLE001: the other servers run nevertheless
        row.fault = str(failure) if isinstance(failure, Failure) else "".join(traceback.format_exception(failure))
        if envoy:
            lines = [line for line in envoy.log().splitlines() if "wasm" in line]
            row.fault += "\n  Envoy's log:\n  " + "\n  ".join(lines[-15:])
    finally:
        if envoy:
            envoy.stop()
        idp.stop()
        upstream.stop()
        row.seconds = time.monotonic() - started
    return row


COLUMNS = ("server", "version", "algorithms", "claims forwarded", "rotation under load", "outage", "also")


def table(rows):
    """The table at the end, in Markdown, so that it can be copied to a page."""
    lines = [COLUMNS, tuple("---" for _ in COLUMNS)]
    for row in rows:
        if row.skipped or row.fault:
            verdict = ("not run: " + row.skipped if row.skipped else "FAILED: " + row.fault).splitlines()[0]
            lines.append((row.name, row.version, verdict, "", "", "", ""))
            continue
        cells = [row.cells.get(name, "-") for name in ("algorithms", "claims", "rotation", "outage")]
        lines.append((row.name, row.version, *cells, "; ".join(row.extras) or "-"))
    text = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"{text}\n\nRun on {date.today().isoformat()}."
