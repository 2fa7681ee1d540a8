#!/usr/bin/env bash
# Writes all files of a release to dist/: both modules, images, jwtctl, bills of materials, licenses, notes,
# checksums. It publishes nothing: the workflow of a tag does that, or a person.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

have python3 || apt_install python3
export PYTHONDONTWRITEBYTECODE=1
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
# The version in the tag must be the version of the sources.
if [ -n "${RELEASE_TAG:-}" ]; then
    [ "$RELEASE_TAG" = "v$version" ] || fail "release: the tag is $RELEASE_TAG and Cargo.toml has $version"
    grep -q "^## \[$version\]" CHANGELOG.md || fail "release: CHANGELOG.md has no section $version"
fi
dist=dist
rm -rf "$dist"
mkdir -p "$dist"
cp envoy/jwt.wasm "$dist/jwt.wasm"
digest=$(sha256sum <"$dist/jwt.wasm" | cut -d' ' -f1)
# Envoy does not read a loaded file again, so each version has its own file name.
native=libjwt-$version-linux-$(uname -m).so
cp envoy/libjwt.so "$dist/$native"
# Takes a file that another command makes, unless that command ran before the last change of the sources.
take() {
    local made=$1 name=$2 command=$3
    shift 3
    if [ ! -e "$made" ]; then
        say "release: no $made, which $command leaves"
    elif [ "$(stat -c %Y "$made")" -lt "$(git log -1 --format=%ct -- Cargo.toml Cargo.lock src "$@" 2>/dev/null || echo 0)" ]; then
        say "release: left out $made, which is older than its sources; $command makes it again"
    else
        cp "$made" "$dist/$name"
    fi
}
take envoy/libjwt-aarch64.so "libjwt-$version-linux-aarch64.so" "make native-arm64" native
for processor in x86_64 aarch64; do
    take ".build/static/jwtctl-$processor-linux" "jwtctl-$version-linux-$processor" "make static" jwtctl
done
image=$(LAYOUT="$dist/oci" MODULE="$dist/jwt.wasm" scripts/image.sh)
# The image is one file too, because a release on a forge contains no folders.
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$dist/oci" -cf "$dist/proxy-wasm-jwt-$version-oci.tar" \
    oci-layout index.json blobs
LAYOUT="$dist/oci-native" NATIVE=1 NATIVE_ARM64="$dist/libjwt-$version-linux-aarch64.so" scripts/image.sh >/dev/null
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$dist/oci-native" \
    -cf "$dist/proxy-wasm-jwt-native-$version-oci.tar" oci-layout index.json blobs
python3 scripts/release/sbom.py "$dist/jwt.wasm" >"$dist/sbom.cdx.json"
python3 scripts/release/licenses.py >"$dist/THIRD-PARTY-LICENSES.md"
# The bill of materials contains the digest of one file, so each processor has its own.
for made in "$dist"/libjwt-"$version"-linux-*.so; do
    processor=${made##*-linux-}
    python3 scripts/release/sbom.py "$made" native >"$dist/sbom-native-${processor%.so}.cdx.json"
done
python3 scripts/release/licenses.py native >"$dist/THIRD-PARTY-LICENSES-native.md"
python3 scripts/release/licenses.py jwtctl >"$dist/THIRD-PARTY-LICENSES-jwtctl.md"
toolchain=$(cat .build/wasm-toolchain 2>/dev/null || echo rustup)
case $toolchain in
debian) compiler=$(/usr/bin/rustc --version) ;;
*) compiler=$(rustc --version) ;;
esac
python3 scripts/release/notes.py "$version" "$digest" "$image" "$compiler ($toolchain) with $(wasm-opt --version)" \
    "$dist" >"$dist/RELEASE_NOTES.md"
# The checksums come last, and cover every other file.
(cd "$dist" && find . -type f ! -name SHA256SUMS -printf '%P\n' | sort | xargs sha256sum >SHA256SUMS)
say "release: $version in $dist/"
cat "$dist/SHA256SUMS"
