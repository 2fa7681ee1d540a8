#!/usr/bin/env bash
# Tests the page in headless Chromium. With SCREENSHOT=1 it also takes the picture in docs/.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

have npm || fail "test-page: Node.js 20 or later with npm is needed"
have chromium || apt_install chromium fonts-dejavu-core
# The folder is outside the source tree, because tests of the documentation read every page there.
folder=.build/page-test
mkdir -p "$folder"
cp page/tests/* "$folder/"
(cd "$folder" && { cmp -s package-lock.json node_modules/.installed || {
    LIMIT=300 limited npm ci --ignore-scripts --no-audit --no-fund >&2
    cp package-lock.json node_modules/.installed
}; })
export PAGE_FOLDER=$PWD/page/dist ANSWERS=$PWD/page/tests/answers.json
[ -z "${SCREENSHOT:-}" ] || export SCREENSHOT=$PWD/docs/jwtctl-page.png
node --test --test-reporter=spec "$folder/page.test.mjs"
if [ -n "${SCREENSHOT:-}" ]; then
    # This reduces the picture to a quarter of its bytes.
    apt_install pngquant
    pngquant --force --strip --output "$SCREENSHOT" 32 "$SCREENSHOT"
fi
