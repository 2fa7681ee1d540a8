#!/usr/bin/env bash
# The linker of `make wasm`: it calls the compiler's own linker (WASM_LD) with fewer exports.
#
# The SDK exports every callback of the ABI, and Envoy enters the module for each one that it finds, at each
# request. This script keeps only the exports in the argument `--keep-exports=a,b,c`, and the linker removes
# the code that only the other exports use. The names are an argument, so that Cargo sees when they change,
# and links again.
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
