#!/usr/bin/env bash
# A C compiler and linker, for the crates that compile C or link build scripts.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

have cc || apt_install build-essential
