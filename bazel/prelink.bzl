"""Prelinking: one Rust library, of which a C++ link sees the C ABI and nothing else."""

load("@rules_cc//cc:find_cc_toolchain.bzl", "CC_TOOLCHAIN_ATTRS", "find_cpp_toolchain", "use_cc_toolchain")

def _prelinked_library_impl(ctx):
    toolchain = find_cpp_toolchain(ctx)
    archives = [file for file in ctx.files.library if file.extension == "a"]
    if len(archives) != 1:
        fail("%s has %d archives, not one" % (ctx.attr.library.label, len(archives)))
    output = ctx.actions.declare_file("lib%s.a" % ctx.label.name)
    ctx.actions.run(
        executable = ctx.file._prelink,
        arguments = [archives[0].path, output.path],
        inputs = archives,
        outputs = [output],
        tools = [toolchain.all_files],
        # The tools of the link itself, which know its object format.
        env = {
            "AR": toolchain.ar_executable,
            "LD": toolchain.ld_executable,
            "NM": toolchain.nm_executable,
            "OBJCOPY": toolchain.objcopy_executable,
        },
        # The script is bash and uses awk and sort.
        use_default_shell_env = True,
        mnemonic = "RustPrelink",
        progress_message = "Prelinking %{label}",
    )
    return [DefaultInfo(files = depset([output]))]

prelinked_library = rule(
    implementation = _prelinked_library_impl,
    doc = """Links a rust_static_library into one object with tools/prelink.

Envoy has Rust of its own. Without this, std's symbols would be defined twice.""",
    attrs = dict({
        "library": attr.label(
            mandatory = True,
            doc = "A rust_static_library.",
        ),
        "_prelink": attr.label(
            default = "//:tools/prelink",
            allow_single_file = True,
        ),
    }, **CC_TOOLCHAIN_ATTRS),
    fragments = ["cpp"],
    toolchains = use_cc_toolchain(),
)
