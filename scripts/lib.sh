# shellcheck shell=bash
# The other scripts source this file. It writes messages to stderr only: stdout is for the result of a command
# (`make token`).

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

say() { printf '%s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# If the network drops packets, a build must fail after a minute or two, and must not hang.
limited() { timeout --kill-after=5 "${LIMIT:-120}" "$@" </dev/null; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        fail "root or sudo is needed for that"
    fi
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
        -o Acquire::http::Timeout=30 "$@" </dev/null >/dev/null
}

# Fresh images have no package lists, old ones have stale lists.
apt_update() { apt update || say "apt-get update failed; going on with the lists that are here"; }

apt_knows() { [ -n "$(apt-cache madison "$1" 2>/dev/null)" ]; }

# Installs Debian packages. If they are already installed, it does not use the network.
apt_install() {
    local missing=() package
    for package in "$@"; do
        if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
            missing+=("$package")
        fi
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    have apt-get || fail "not a Debian-like machine: install the equivalent of ${missing[*]} by hand"
    say "apt-get install ${missing[*]}"
    # --no-remove: apt must not silently remove a compiler that the user chose.
    local install=(install -y --no-install-recommends --no-remove "${missing[@]}")
    apt "${install[@]}" && return 0
    apt_update
    apt "${install[@]}" || fail "could not install: ${missing[*]}"
}

# Debian's Rust with the source of its standard library, for targets without a package of the library.
install_debian_rust() {
    have apt-get || { say "no apt-get for Debian's Rust"; return 1; }
    # bookworm has a current compiler under the name that its browsers use. Elsewhere the packages with plain
    # names are current.
    apt_knows rustc-web || apt_update
    if apt_knows rustc-web; then
        apt_install rustc-web cargo-web rust-web-src
    else
        apt_install rustc cargo rust-src
    fi
}

# Runs a command with Debian's Rust. An installed rustup must not affect it: neither by its proxies in PATH
# nor by the variables that it exports to child processes.
with_debian_rust() (
    unset RUSTUP_TOOLCHAIN RUSTUP_HOME CARGO RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER LD_LIBRARY_PATH
    export PATH=/usr/bin:/bin:$PATH RUSTC=/usr/bin/rustc
    # build-std is not stable yet. It needs a compiler and a library source of the same version, which
    # Debian's packages have.
    export RUSTC_BOOTSTRAP=1
    "$@"
)

# Adds compiler flags to the array `flags` that keep the paths of the builder's directories out of a program,
# so that the same compiler gives the same bytes anywhere: those of the checkout, those of the registry (their
# names depend on the source of the crates), and that of the source of the standard library. The compiler
# names the last one if it is installed, and else the path that this sets. The argument is the compiler.
hide_paths() {
    local compiler=$1 directory version
    flags+=("--remap-path-prefix=$PWD=")
    for directory in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
        flags+=("--remap-path-prefix=$directory=")
    done
    version=$("$compiler" -vV | sed -n 's/^commit-hash: //p')
    [ "$version" != unknown ] || version=$("$compiler" -vV | sed -n 's/^release: //p')
    flags+=("--remap-path-prefix=$("$compiler" --print sysroot)/lib/rustlib/src/rust=/rustc/$version")
}
