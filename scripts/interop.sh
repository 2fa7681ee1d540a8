#!/usr/bin/env bash
# The filter in a real Envoy with real identity providers. Arguments: names of servers, or `all`; `--list`
# prints them.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

have python3 || apt_install python3
have openssl || apt_install openssl
PYTHONDONTWRITEBYTECODE=1 exec python3 scripts/interop "$@"
