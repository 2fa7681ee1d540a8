#!/usr/bin/env bash
# The linker of `make wasm`: the compiler's own (WASM_LD), asked for fewer exports.
#
# The SDK exports every callback of the ABI, and Envoy enters the module for each one that it finds, at each request. What
# is not asked for is not exported, and the linker leaves out all that only it would have used. The names to keep come as
# an argument, `--keep-exports=a,b,c`, so that Cargo sees a change of theirs and links again.
set -euo pipefail

keep=
for argument in "$@"; do
    case $argument in
    --keep-exports=*) keep=,${argument#*=}, ;;
    esac
done
[ -n "$keep" ] || { echo "wasm-ld.sh: no --keep-exports" >&2; exit 1; }

arguments=()
while [ $# -gt 0 ]; do
    case $1 in
    --keep-exports=*) ;;
    --export)
        [[ $keep != *,$2,* ]] || arguments+=(--export "$2")
        shift
        ;;
    --export=*) [[ $keep != *,${1#*=},* ]] || arguments+=("$1") ;;
    *) arguments+=("$1") ;;
    esac
    shift
done

exec "$WASM_LD" "${arguments[@]}"
