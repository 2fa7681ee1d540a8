#!/usr/bin/env bash
# The module's image as an OCI layout at .build/oci. With REGISTRY=host/name it is pushed there as REGISTRY:VERSION, by
# skopeo, which takes the login of `skopeo login` or `docker login`. PLAIN_HTTP=1 is for a registry without TLS.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

have python3 || apt_install python3
module=${MODULE:-envoy/jwt.wasm}
layout=${LAYOUT:-.build/oci}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
[ -e "$module" ] || fail "image: $module is missing; \`make wasm\` builds it"
digest=$(PYTHONDONTWRITEBYTECODE=1 python3 scripts/release/image.py make "$module" "$layout" "$version")
say "image: $layout, $digest"
if [ -n "${REGISTRY:-}" ]; then
    have skopeo || apt_install skopeo
    options=()
    [ -z "${PLAIN_HTTP:-}" ] || options+=(--dest-tls-verify=false)
    # Its policy is about images that are run; this one is our own.
    skopeo --insecure-policy copy "${options[@]}" "oci:$layout:$version" "docker://$REGISTRY:$version" >&2
    say "image: pushed; pin it as oci://$REGISTRY@$digest"
fi
echo "$digest"
