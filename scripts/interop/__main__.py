"""The filter in a real Envoy with real identity providers, one after the other, and a table of what each has shown."""

import argparse
import importlib
import re
import shutil
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))

from checks import Row, check, table  # noqa: E402
from kit import ENVOY, MODULE, Failure, Unavailable, say  # noqa: E402

#: In the order in which they run; `slow` ones only if they are named.
MODULES = ("oidc_provider", "glewlwyd", "lemonldap", "keycloak", "hydra", "dex", "spire")


def load():
    servers = {}
    for module in MODULES:
        server = importlib.import_module(f"servers.{module}").SERVER
        servers[module.replace("_", "-")] = server
    return servers


def chosen(servers, names):
    if not names:
        return [server for server in servers.values() if not server.slow]
    if names == ["all"]:
        return list(servers.values())
    names = [name.lower() for name in names]
    unknown = [name for name in names if name not in servers]
    if unknown:
        raise Failure(f"no server is named {', '.join(unknown)}; there are {', '.join(servers)}, and `all`")
    return [servers[name] for name in names]


def main():
    parser = argparse.ArgumentParser(prog="interop", description=__doc__)
    parser.add_argument("names", nargs="*", help="servers, or `all`; by default those that need no long build")
    parser.add_argument("--list", action="store_true", help="print the servers")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and configurations")
    arguments = parser.parse_args()
    servers = load()
    if arguments.list:
        for name, server in servers.items():
            print(f"{name:14} {server.name}" + (f" (by its name only: {server.slow})" if server.slow else ""))
        return 0
    for needed, command in ((MODULE, "make wasm"), (ENVOY, "make envoy")):
        if not needed.exists():
            raise Failure(f"{needed} is missing: `{command}` makes it")
    rows = []
    work = Path(tempfile.mkdtemp(prefix="interop-"))
    try:
        for server in chosen(servers, arguments.names):
            folder = work / re.sub(r"\W+", "-", server.name.lower())
            folder.mkdir()
            try:
                row = check(server(folder), folder)
            except Unavailable as missing:
                # A server that cannot be had is not one that works.
                row = Row(server.name, skipped=str(missing))
            say(f"{row.name}: {'FAILED: ' + row.fault if row.fault else row.skipped or 'ok'} ({row.seconds:.0f} s)")
            rows.append(row)
    finally:
        if arguments.keep or any(row.fault for row in rows):
            say(f"logs and configurations: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    say("\n" + table(rows) + "\n")
    failed = sum(1 for row in rows if row.fault or row.skipped)
    say(f"{len(rows) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, Unavailable) as failure:
        sys.exit(f"interop: {failure}")
