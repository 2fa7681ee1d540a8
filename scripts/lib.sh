# shellcheck shell=bash
# Sourced by the other scripts. Everything said goes to stderr: stdout belongs to what was asked for (`make token`).

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

say() { printf '%s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# A network that drops packets must cost a minute or two, never a build that hangs.
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

# Installs Debian packages; does not even look at the network when they are there already.
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
    # --no-remove: a compiler that the user chose is not thrown out behind their back.
    local install=(install -y --no-install-recommends --no-remove "${missing[@]}")
    apt "${install[@]}" && return 0
    apt_update
    apt "${install[@]}" || fail "could not install: ${missing[*]}"
}

# Debian's Rust with the source of its standard library, for targets that no package has one for.
install_debian_rust() {
    have apt-get || { say "no apt-get for Debian's Rust"; return 1; }
    # bookworm has a current compiler under the name that its browsers use; elsewhere the plain names are current.
    apt_knows rustc-web || apt_update
    if apt_knows rustc-web; then
        apt_install rustc-web cargo-web rust-web-src
    else
        apt_install rustc cargo rust-src
    fi
}

# Runs a command with Debian's Rust. A rustup beside it must not leak in: neither its proxies in PATH nor what it exports to
# child processes.
with_debian_rust() (
    unset RUSTUP_TOOLCHAIN RUSTUP_HOME CARGO RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER LD_LIBRARY_PATH
    export PATH=/usr/bin:/bin:$PATH RUSTC=/usr/bin/rustc
    # build-std is not stable yet; the compiler and the library's source are of one version, which is all that it needs.
    export RUSTC_BOOTSTRAP=1
    "$@"
)
