"""The archive built by Cargo, for builds whose Rust toolchain is too old or absent."""

_BUILD = """\
load("@rules_cc//cc:defs.bzl", "cc_library")

cc_library(
    name = "archive",
    srcs = ["librust_wasm_prelinked.a"],
    # What Rust's standard library asks of the system.
    linkopts = [
        "-ldl",
        "-lm",
        "-lpthread",
    ],
    visibility = ["//visibility:public"],
)
"""

def _run(ctx, doing, command, environment = {}):
    ctx.report_progress(doing)
    result = ctx.execute(command, environment = environment, timeout = 3600)
    if result.return_code:
        fail("%s failed:\n%s" % (doing, result.stderr))

def _cargo_archive_impl(ctx):
    ready = ctx.os.environ.get("RUST_WASM_ARCHIVE")
    if ready:
        ctx.watch(ready)
        ctx.symlink(ready, "librust_wasm_prelinked.a")
    else:
        cargo = ctx.which("cargo")
        if not cargo:
            fail("There is no cargo on the path; install one, or name an archive with " +
                 "--repo_env=RUST_WASM_ARCHIVE=...")
        manifest = ctx.path(Label("//:Cargo.toml"))
        ctx.watch(manifest)
        ctx.watch(ctx.path(Label("//:Cargo.lock")))
        ctx.watch_tree(manifest.dirname.get_child("src"))
        flags = ctx.os.environ.get("RUST_WASM_CARGO_FLAGS", "").split(" ")
        target = ctx.path("target")
        _run(
            ctx,
            "Building the archive with Cargo",
            [
                cargo,
                "build",
                "--release",
                "--locked",
                "--package=envoy-wasm-runtime-rust",
                "--manifest-path=%s" % manifest,
                # "".split(" ") is one empty flag.
            ] + [flag for flag in flags if flag],
            environment = {"CARGO_TARGET_DIR": str(target)},
        )
        _run(
            ctx,
            "Prelinking the archive",
            [
                ctx.path(Label("//:tools/prelink")),
                target.get_child("release", "librust_wasm.a"),
                "librust_wasm_prelinked.a",
            ],
        )
        ctx.delete(target)
    ctx.file("BUILD", _BUILD)

cargo_archive = repository_rule(
    implementation = _cargo_archive_impl,
    doc = """A repository whose target //:archive is the prelinked archive.

Takes the one that the environment variable RUST_WASM_ARCHIVE names, as `make staticlib` made it, or
else runs the machine's Cargo, with RUST_WASM_CARGO_FLAGS. Bazel's --repo_env sets both.""",
    environ = [
        # Of tools/prelink.
        "AR",
        "LD",
        "NM",
        "OBJCOPY",
        "PATH",
        "RUST_WASM_ARCHIVE",
        "RUST_WASM_CARGO_FLAGS",
    ],
)
