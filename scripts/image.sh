#!/usr/bin/env bash
# Writes the module's image as an OCI layout to .build/oci. With REGISTRY=host/name, skopeo pushes it there as
# REGISTRY:VERSION, with the login of `skopeo login` or `docker login`. PLAIN_HTTP=1 is for a registry without
# TLS. NATIVE=1 writes the image of the native module to .build/oci-native, for the processors whose module is
# in envoy/.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

have python3 || apt_install python3
export PYTHONDONTWRITEBYTECODE=1
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
if [ -n "${NATIVE:-}" ]; then
    layout=${LAYOUT:-.build/oci-native}
    modules=()
    [ ! -e envoy/libjwt.so ] || [ "$(uname -m)" != x86_64 ] || modules+=("amd64=envoy/libjwt.so")
    [ ! -e envoy/libjwt.so ] || [ "$(uname -m)" != aarch64 ] || modules+=("arm64=envoy/libjwt.so")
    other=${NATIVE_ARM64:-envoy/libjwt-aarch64.so}
    [ ! -e "$other" ] || modules+=("arm64=$other")
    [ "${#modules[@]}" -gt 0 ] || fail "image: no native module is in envoy/; \`make native\` builds it"
    digest=$(python3 scripts/release/image.py make-native "$layout" "$version" "${modules[@]}")
    say "image: ${modules[*]}"
else
    module=${MODULE:-envoy/jwt.wasm}
    layout=${LAYOUT:-.build/oci}
    [ -e "$module" ] || fail "image: $module is missing; \`make wasm\` builds it"
    digest=$(python3 scripts/release/image.py make "$module" "$layout" "$version")
fi
say "image: $layout, $digest"
if [ -n "${REGISTRY:-}" ]; then
    have skopeo || apt_install skopeo
    options=(--all)
    [ -z "${PLAIN_HTTP:-}" ] || options+=(--dest-tls-verify=false)
    # skopeo's policy protects against foreign images; this image is our own.
    skopeo --insecure-policy copy "${options[@]}" "oci:$layout:$version" "docker://$REGISTRY:$version" >&2
    say "image: pushed; pin it as oci://$REGISTRY@$digest"
fi
echo "$digest"
