"""Checks of the Bazel build that need no Bazel: labels, lock, versions, patches, factory, example.

`make lint` checks the form of the Starlark.
"""

import json
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = "envoy_wasm_runtime_rust"
EXAMPLES = sorted((ROOT / "bazel/example").glob("envoy-*"))
PATCHES = sorted((ROOT / "envoy-patches").rglob("*.patch"))


class Package:
    """What a BUILD file declares and refers to. Given its functions, such a file is Python."""

    NATIVE = ("alias", "config_setting", "filegroup", "label_flag")
    LABELS = ("actual", "build_setting_default", "crate_root", "data", "deps", "hdrs", "library", "srcs")

    def __init__(self, folder):
        self.folder = folder
        self.declared = set()
        self.labels = set()
        self.scope = {
            "exports_files": lambda names, **_: self.exports_files(names),
            "glob": self.glob,
            "licenses": lambda _: None,
            "load": self.load,
            "package": lambda **_: None,
            "select": self.select,
            **{name: self.rule for name in self.NATIVE},
        }
        file = folder / "BUILD"
        exec(compile(file.read_text(), file, "exec"), self.scope)

    def load(self, label, *names):
        self.labels.add(label)
        for name in names:
            self.scope[name] = self.rule
        # Those that return dependencies.
        for name in {"aliases", "all_crate_deps"}.intersection(names):
            self.scope[name] = lambda **_: []

    def exports_files(self, names):
        missing = [name for name in names if not (self.folder / name).is_file()]
        assert not missing
        self.declared.update(names)

    def glob(self, patterns):
        files = [path for pattern in patterns for path in self.folder.glob(pattern)]
        assert files, patterns
        return [str(path.relative_to(self.folder)) for path in files]

    def select(self, branches):
        self.labels.update(key for key in branches if key != "//conditions:default")
        return []

    def rule(self, name, **attributes):
        self.declared.add(name)
        for key in attributes.keys() & set(self.LABELS):
            value = attributes[key]
            if isinstance(value, str):
                self.labels.add(value)
            elif isinstance(value, list):
                self.labels.update(value)

    def has(self, name):
        return name in self.declared or (self.folder / name).is_file()


def packages():
    files = [ROOT / "BUILD", *(ROOT / "bazel").rglob("BUILD"), ROOT / "cpp/BUILD", ROOT / "tests/bazel/BUILD"]
    folders = [file.parent for file in files if "example" not in file.parts]
    return {folder.relative_to(ROOT).as_posix().replace(".", ""): Package(folder) for folder in folders}


def is_declared(label, here, declared):
    """Whether a label of this module exists; another repository's is taken on trust."""
    if label.startswith(f"@{NAME}//"):
        label = label.removeprefix("@" + NAME)
    if label.startswith("@"):
        return True
    if not label.startswith("//"):
        return declared[here].has(label.removeprefix(":"))
    package, _, name = label[2:].partition(":")
    if name == "all":  # that the package has
        return package in declared and bool(declared[package].declared)
    return package in declared and declared[package].has(name or package.rpartition("/")[2])


def test_labels_and_files_exist():
    declared = packages()
    assert len(declared) == 6
    for here, package in declared.items():
        assert not [label for label in package.labels if not is_declared(label, here, declared)], here


def test_labels_in_starlark_examples_patches_and_docs_exist():
    declared = packages()
    own = [ROOT / "MODULE.bazel", *(file for file in (ROOT / "bazel").rglob("*.bzl") if "example" not in file.parts)]
    others = [file for example in EXAMPLES for file in example.rglob("*") if file.is_file()]
    others += [*PATCHES, *(ROOT / "docs").rglob("*.md"), ROOT / "envoy-patches/README.md"]
    labels = [label for file in own for label in re.findall(r'"(//[^"\s]*:[^"\s]+)"', file.read_text())]
    labels += [label for file in own + others for label in re.findall(rf"@{NAME}//[\w/]*:[\w.]*\w", file.read_text())]
    assert len(labels) > 15
    labels = [label for label in labels if label != "//visibility:public"]
    assert not [label for label in labels if not is_declared(label, "", declared)]


def test_paths_in_docs_exist():
    for doc in [ROOT / "docs/custom-envoy.md", ROOT / "envoy-patches/README.md"]:
        paths = re.findall(r"`((?:bazel|cpp|docs|envoy-patches|src|tests|tools)/[^\s`]+)`", doc.read_text())
        assert paths
        assert not [path for path in paths if not list(ROOT.glob(path.rstrip("/")))], doc


def test_bazel_lock_is_in_step_with_cargo_lock():
    """tools/bazel-lock brings it in step."""
    cargo = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    bazel = json.loads((ROOT / "bazel/rust/crates.lock.json").read_text())["crates"]
    checksums = {crate["name"] + " " + crate["version"]: crate.get("checksum") for crate in cargo}

    # What Bazel would fetch is what Cargo would fetch, from the crates' own registry.
    for name, crate in bazel.items():
        if crate["repository"]:
            http = crate["repository"]["Http"]
            assert http["sha256"] == checksums.get(name), name
            assert http["url"].startswith("https://static.crates.io/"), name

    # And it is all that the runtime needs.
    by_name = {}
    for crate in cargo:
        by_name.setdefault(crate["name"], []).append(crate)
    seen, queue = set(), ["envoy-wasm-runtime-rust"]
    while queue:
        name, _, version = queue.pop().partition(" ")
        crate = next(c for c in by_name[name] if not version or c["version"] == version)
        identity = crate["name"] + " " + crate["version"]
        if identity not in seen:
            seen.add(identity)
            queue += crate.get("dependencies", [])
    assert not seen - bazel.keys()

    # The members' own dependencies: the lock has a checksum over those of the whole workspace.
    members = {crate["name"]: crate for crate in cargo if "source" not in crate}
    for name, member in members.items():
        ours = {dep.split(" ")[0] for dep in member.get("dependencies", [])} - members.keys()
        entry = json.dumps(bazel[name + " " + member["version"]])
        assert ours == set(re.findall(r'"id": "(\S+) ', entry)), f"{name}: run tools/bazel-lock"


def test_versions_agree():
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]
    version, edition, rust = (workspace[key] for key in ("version", "edition", "rust-version"))
    module = (ROOT / "MODULE.bazel").read_text()
    build = (ROOT / "bazel/rust/BUILD").read_text()
    example = (ROOT / "bazel/example/envoy-1.40/MODULE.bazel").read_text()
    assert f'name = "{NAME}",\n    version = "{version}"' in module
    assert f'    version = "{version}",' in build
    assert f'name = "{NAME}", version = "{version}"' in example
    for text in (ROOT / "envoy-patches/envoy/tests-1.40-module.patch", ROOT / "docs/custom-envoy.md"):
        assert f'name = "{NAME}", version = "{version}"' in text.read_text()
    assert f'    edition = "{edition}",' in build
    for text in (module, example):
        assert f'    versions = ["{rust}.0"],' in text


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: f"{patch.parent.name}/{patch.name}")
def test_patch_is_well_formed_and_listed(patch):
    text = patch.read_text()
    head, _, _ = text.partition("\n---\n")
    assert re.match(r"Subject: .+\n\n(.+\n)+\nUpstream: .+$", head)
    listed = subprocess.run(["git", "apply", "--numstat", patch], capture_output=True, text=True, check=True)
    assert listed.stdout
    assert f"{patch.parent.name}/{patch.name}" in (ROOT / "envoy-patches/README.md").read_text()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example_names_patches_that_exist(example):
    text = "".join(file.read_text() for file in example.iterdir() if file.is_file())
    named = re.findall(r"//patches:([\w.-]+\.patch)", text)
    assert named
    assert set(named) <= {patch.name for patch in PATCHES}


FLAGS = ["-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
REGISTERS = "-DENVOY_STATIC_EXTENSION_REGISTRATION"


def run(compiler, folder, *arguments):
    """Compiles a program, runs it, and returns what it printed."""
    subprocess.run([compiler, *arguments, "-o", folder / "program"], check=True)
    return subprocess.run([folder / "program"], stdout=subprocess.PIPE, text=True, check=True).stdout


def includes(*folders):
    return [f"-I{ROOT / folder}" for folder in folders]


MIRRORS = includes("tests/cpp/envoy_mirror", "tests/cpp/mirror", "cpp", ".")
HOST = [os.environ.get(name) for name in ("PROXY_WASM_CPP_HOST", "PROXY_WASM_CPP_SDK")]
# What compiles and links the two programs below against Envoy's own registry.
ENVOY = shlex.split(os.environ.get("ENVOY_REGISTRY_FLAGS", ""))


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_host_mirror_prints_what_the_host_does(compiler, tmp_path):
    printed = (ROOT / "tests/cpp/mirror_probe.txt").read_text()
    probe = ROOT / "tests/cpp/mirror_probe.cc"
    assert run(compiler, tmp_path, *FLAGS, *MIRRORS, probe) == printed
    if all(HOST):
        sources = [probe, ROOT / "tests/adaptor/src/real_host.cc", f"{HOST[0]}/src/bytecode_util.cc"]
        assert run(compiler, tmp_path, *FLAGS, "-isystem", HOST[0], "-isystem", HOST[1], *sources) == printed


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
@pytest.mark.parametrize("define", [[], [REGISTERS], ["-DNDEBUG"]], ids=["plain", "registers", "optimised"])
def test_registry_mirror_behaves_as_envoys(compiler, define, tmp_path):
    """Envoy has the macro for its own targets alone; cpp/config.cc is not among them."""
    source = ROOT / "tests/bazel/registry_test.cc"
    assert "failed" not in run(compiler, tmp_path, *FLAGS, *define, *MIRRORS, source)
    if ENVOY and compiler == "clang++":
        assert "failed" not in run(compiler, tmp_path, *define, source, *ENVOY)


FIND_THE_FACTORY = """
#include <iostream>
#include "envoy/registry/registry.h"
#include "source/extensions/common/wasm/wasm_runtime_factory.h"
int main() {
  using Envoy::Extensions::Common::Wasm::WasmRuntimeFactory;
  auto* factory =
      Envoy::Registry::FactoryRegistry<WasmRuntimeFactory>::getFactory("envoy.wasm.runtime.rust");
  std::cout << (factory ? factory->createWasmVm()->getEngineName() : "not registered");
}
"""


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_factory_registers_where_it_is_linked(compiler, tmp_path):
    """Compiled as a plain cc_library compiles it. factory_test.cc does more, with the real registry."""
    (tmp_path / "main.cc").write_text(FIND_THE_FACTORY)
    sources = [tmp_path / "main.cc", ROOT / "cpp/config.cc", ROOT / "cpp/rust_vm.cc"]
    archive = ROOT / "target/release/librust_wasm_prelinked.a"
    assert run(compiler, tmp_path, *FLAGS, *MIRRORS, *sources, archive, "-lpthread", "-ldl", "-lm") == "rust"


def test_stock_envoy_accepts_the_example_configuration(tmp_path):
    """On V8, which is what a stock Envoy has."""
    (envoy,) = ROOT.glob("target/envoy-venv/lib/*/site-packages/envoy/_bin/envoy")
    plugin = ROOT / "target/plugins/rust-sdk.wasm"
    text = (ROOT / "bazel/example/envoy.yaml").read_text()
    assert "runtime: envoy.wasm.runtime.rust" in text
    text = text.replace("runtime: envoy.wasm.runtime.rust", "runtime: envoy.wasm.runtime.v8")
    text = text.replace("/etc/envoy/plugin.wasm", str(plugin))
    (tmp_path / "envoy.yaml").write_text(text)
    command = [envoy, "--mode", "validate", "--log-level", "warning", "-c", tmp_path / "envoy.yaml"]
    subprocess.run(command, check=True)


def test_examples_have_the_same_build_config():
    texts = {(example / "envoy_build_config/extensions_build_config.bzl").read_text() for example in EXAMPLES}
    assert len(EXAMPLES) == 2
    assert len(texts) == 1


def extensions(only):
    """What the examples' selection makes of Envoy's list, which stands here for ours to choose from."""
    text = (EXAMPLES[0] / "envoy_build_config/extensions_build_config.bzl").read_text()
    text = re.sub(r"^load\(.*?^\)$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = text.replace("_ONLY = []", f"_ONLY = {only}")
    small = re.search(r"^SMALL = (\[.*?^\])$", text, re.DOTALL | re.MULTILINE)[1]
    names = [*re.findall(r'"(envoy[\w.]+)"', small), "envoy.filters.http.lua"]
    space = {"_EXTENSIONS": {name: f"//{name}" for name in names}, "_LEGACY_ALWAYSLINK": 1}
    exec(text, space)  # Starlark, but Python all the same
    return set(names), set(space["SMALL"]), set(space["EXTENSIONS"])


def test_a_small_envoy_has_what_wasm_needs():
    everything, small, built = extensions("[]")
    assert built == everything
    everything, small, built = extensions("SMALL")
    assert built == small == everything - {"envoy.filters.http.lua"}
    # The example's filters, and the services that Wasm plugins are.
    used = re.findall(r"name: (envoy\.filters[\w.]+)", (ROOT / "bazel/example/envoy.yaml").read_text())
    assert len(used) >= 4
    assert set(used) <= small
    assert {"envoy.bootstrap.wasm", "envoy.access_loggers.wasm", "envoy.wasm.runtime.null"} <= small
