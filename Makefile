# The one entry. `make test` and `make lint` are all of CI.
.DELETE_ON_ERROR:
.PHONY: all setup plugins staticlib test lint format clean
all: staticlib

CPP = $(shell git ls-files --cached --others --exclude-standard '*.c' '*.cc' '*.h')
WASI = wasm32-wasip1
RUST_PLUGIN = tests/plugins/rust-sdk/Cargo.toml
AS_PLUGIN = tests/plugins/assemblyscript

# Installs the tools that are missing, and names them.
setup:
	tools/setup

# The guest plugins that tests and benches load, as target/plugins/*.wasm.
plugins: target/plugins/rust-sdk.wasm target/plugins/assemblyscript.wasm

# The library for a C or C++ link: plain, and prelinked so that nothing but the C ABI shows.
PACKAGES = --package envoy-wasm-runtime-rust
staticlib:
	cargo build --release --locked $(PACKAGES)
	tools/prelink target/release/librust_wasm.a target/release/librust_wasm_prelinked.a

# Every test, and a last line of totals. Cargo builds dependencies with the features that the
# selected packages ask for together: the whole workspace is selected from the start, so that
# wasmer is built once.
test: PACKAGES = --workspace
test: setup plugins staticlib
	tools/test

lint: setup
	cargo fmt --all --check
	cargo fmt --manifest-path $(RUST_PLUGIN) --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	clang-format --dry-run --Werror $(CPP)

format:
	cargo fmt --all
	cargo fmt --manifest-path $(RUST_PLUGIN)
	clang-format -i $(CPP)

clean:
	rm -rf target $(AS_PLUGIN)/node_modules

# Cargo knows best when this is stale. The directory test comes first because it also holds
# for a toolchain that is not rustup's.
target/plugins/rust-sdk.wasm: FORCE
	test -d "$$(rustc --print target-libdir --target $(WASI))" || rustup target add $(WASI)
	cargo build --release --locked --manifest-path $(RUST_PLUGIN) --target $(WASI) --target-dir target/plugins/build
	cmp -s target/plugins/build/$(WASI)/release/rust_sdk_plugin.wasm $@ || cp target/plugins/build/$(WASI)/release/rust_sdk_plugin.wasm $@

target/plugins/assemblyscript.wasm: $(wildcard $(AS_PLUGIN)/*.json $(AS_PLUGIN)/assembly/*)
	cd $(AS_PLUGIN) && npm ci --ignore-scripts --no-audit --no-fund
	mkdir -p $(@D)
	cd $(AS_PLUGIN) && npx asc assembly/index.ts --outFile ../../../$@

.PHONY: FORCE
FORCE:
