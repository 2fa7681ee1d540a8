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
        fail "root is needed for: $*"
    fi
}

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
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Acquire::http::Timeout=30)
    # --no-remove: a compiler the user chose is not thrown out behind their back.
    local install=("${apt[@]}" install -y --no-install-recommends --no-remove "${missing[@]}")
    as_root "${install[@]}" </dev/null >&2 && return 0
    # Fresh images have no package lists, old ones have stale lists.
    as_root "${apt[@]}" update </dev/null >&2 || say "apt-get update failed; trying with the lists that are here"
    as_root "${install[@]}" </dev/null >&2 || fail "could not install: ${missing[*]}"
}
