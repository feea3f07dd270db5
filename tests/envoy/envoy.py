"""Runs a stock Envoy on loopback with Proxy-Wasm plugins, on either engine.

Standard library only: the demo and the bench use it too.
"""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "target/plugins"
MODULE = "rust_wasm_module"
ENGINES = ("v8", "rust")


def module_directory() -> Path:
    """Where lib<MODULE>.so is; another build can be named in the environment."""
    directory = Path(os.environ.get("RUST_WASM_MODULE_DIR", ROOT / "target/release"))
    if not (directory / f"lib{MODULE}.so").is_file():
        raise FileNotFoundError(f"no lib{MODULE}.so in {directory}: run make module")
    return directory


def envoy_binary() -> str:
    """$ENVOY_BIN, or PyPI's, without the Python launcher that its package puts before it."""
    if path := os.environ.get("ENVOY_BIN"):
        return path
    found = list((ROOT / "target/envoy-venv").glob("lib/python*/site-packages/**/envoy"))
    for path in (p for p in found if p.is_file() and p.read_bytes()[:4] == b"\x7fELF"):
        return str(path)
    raise FileNotFoundError("no Envoy in target/envoy-venv: run make target/envoy-venv/ready")


@dataclass
class Plugin:
    """One listener, whose only filter before the router is the plugin."""

    name: str  # of the listener and the plugin
    configuration: str = ""
    wasm: Path | str = "rust-hostcalls"  # a path, or the name of one of our plugins
    engine: str = ""  # "" is that of the Envoy; "none" leaves the filter out
    root_id: str = "root"
    vm_id: str = ""
    vm: dict[str, Any] = field(default_factory=dict)  # further fields of vm_config
    more: dict[str, Any] = field(default_factory=dict)  # further fields of the plugin
    on_route: "Plugin | None" = None  # another one for the path /own; our module alone has that

    def config(self, engine: str) -> dict[str, Any]:
        path = PLUGINS / f"{self.wasm}.wasm" if isinstance(self.wasm, str) else self.wasm
        string = "type.googleapis.com/google.protobuf.StringValue"
        return {
            "name": self.name,
            "root_id": self.root_id,
            "vm_config": {
                "vm_id": self.vm_id or self.name,
                "runtime": f"envoy.wasm.runtime.{engine}",
                "code": {"local": {"filename": str(path)}},
                **self.vm,
            },
            "configuration": {"@type": string, "value": self.configuration},
            **self.more,
        }

    def filters(self, engine: str) -> list[dict[str, Any]]:
        """The same plugin configuration, in the built-in filter or in our module."""
        wasm = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"
        if engine == "none":
            return []
        if engine == "v8":
            typed = {"@type": wasm, "config": self.config(engine)}
        else:
            typed = self.in_module("DynamicModuleFilter")
        return [{"name": "plugin", "typed_config": typed}]

    def in_module(self, message: str) -> dict[str, Any]:
        types = "type.googleapis.com"
        return {
            "@type": f"{types}/envoy.extensions.filters.http.dynamic_modules.v3.{message}",
            "dynamic_module_config": {
                "name": MODULE,
                "do_not_close": True,
                # So that a plugin's metrics have the names of the built-in filter's.
                "metrics_namespace": "wasmcustom",
            },
            "filter_name": self.name,
            "filter_config": {
                "@type": f"{types}/google.protobuf.Struct",
                "value": self.config("rust"),
            },
        }

    def routes(self) -> list[dict[str, Any]]:
        if self.on_route is None:
            return []
        plugin = self.on_route.in_module("DynamicModuleFilterPerRoute")
        return [
            {
                "match": {"prefix": "/own"},
                "route": {"cluster": "upstream"},
                "typed_per_filter_config": {"plugin": plugin},
            }
        ]


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def listener(plugin: Plugin, engine: str) -> dict[str, Any]:
    types = "type.googleapis.com/envoy.extensions.filters"
    router = {"@type": f"{types}.http.router.v3.Router"}
    manager = {
        "@type": f"{types}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": plugin.name,
        "http_protocol_options": {"enable_trailers": True},
        "route_config": {
            "name": "routes",
            "virtual_hosts": [
                {
                    "name": "host",
                    "domains": ["*"],
                    "routes": [
                        *plugin.routes(),
                        {
                            "match": {"path": "/direct"},
                            "direct_response": {"status": 200, "body": {"inline_string": "ok"}},
                        },
                        {
                            "name": "everything",
                            "match": {"prefix": "/"},
                            "route": {"cluster": "upstream"},
                        },
                    ],
                }
            ],
        },
        "http_filters": [
            *plugin.filters(plugin.engine or engine),
            {"name": "router", "typed_config": router},
        ],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    return {"name": plugin.name, "address": address(0), "filter_chains": [chain]}


def path_source(path: Path) -> dict[str, Any]:
    return {"resource_api_version": "V3", "path_config_source": {"path": str(path)}}


def cluster(name: str, port: int, http2: bool) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": address(port)}}
    protocol = {"http2_protocol_options" if http2 else "http_protocol_options": {}}
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
        "typed_extension_protocol_options": {
            options: {
                "@type": f"type.googleapis.com/{options}",
                "explicit_http_config": protocol,
            }
        },
    }


# A line of a plugin's log as the built-in filter writes it, `[level][logger] wasm log PREFIX:
# message`, and the lines of the message that follow. The prefix of a stream context is `NAME
# ROOT_ID VM_ID`, that of a root context `ROOT_ID VM_ID`.
LOG = re.compile(
    r"^\[(\w+)\]\[\w+\][^\n]*?wasm log ([^:\n]*): (.*?)$(?=\n\[\w+\]\[|\Z)", re.M | re.S
)


class Envoy:
    """A running Envoy; use it in a `with`."""

    def __init__(
        self,
        engine: str,
        plugins: Iterable[Plugin],
        upstream: int = 1,  # nothing listens on port 1
        http2_upstream: bool = True,
        workers: int = 1,
        environment: dict[str, str] | None = None,
        level: str = "trace",
        wait: bool = True,
        xds: bool = False,  # listeners and routes come from files, and can be updated
    ):
        self.plugins = {plugin.name: plugin for plugin in plugins}
        self.directory = tempfile.TemporaryDirectory(prefix="envoy-")
        here = Path(self.directory.name)
        self.log_file, admin = here / "envoy.log", here / "admin"
        node = {"id": "a-node", "cluster": "a-cluster", "metadata": {"key": "of node"}}
        config = {
            "node": node,
            "admin": {"address": address(0)},
            "stats_flush_interval": "0.2s",
            "static_resources": {
                "listeners": [listener(p, engine) for p in self.plugins.values()],
                "clusters": [
                    cluster("upstream", upstream, http2_upstream),
                    cluster("nowhere", 1, True),
                ],
            },
        }
        self.here = here
        if xds:
            listeners = config["static_resources"].pop("listeners")
            config["dynamic_resources"] = {"lds_config": path_source(here / "lds.json")}
            for one in listeners:
                manager = one["filter_chains"][0]["filters"][0]["typed_config"]
                routes = manager.pop("route_config") | {"name": one["name"]}
                source = path_source(here / f"{one['name']}.json")
                manager["rds"] = {"config_source": source, "route_config_name": one["name"]}
                self._serve(f"{one['name']}.json", "config.route.v3.RouteConfiguration", [routes])
            self.listeners = listeners
            self.update_listeners()
        (here / "envoy.json").write_text(json.dumps(config))
        command = [envoy_binary(), "-c", str(here / "envoy.json"), "--use-dynamic-base-id"]
        command += ["--admin-address-path", str(admin), "--concurrency", str(workers)]
        command += ["--log-format", "[%l][%n] %v", "-l", "warn"]
        command += ["--component-log-level", f"wasm:{level},dynamic_modules:{level}"]
        command += ["--drain-time-s", "1", "--parent-shutdown-time-s", "2"]
        variables = {"PATH": os.environ["PATH"], **(environment or {})}
        if "rust" in {engine, *(plugin.engine for plugin in self.plugins.values())}:
            variables["ENVOY_DYNAMIC_MODULES_SEARCH_PATH"] = str(module_directory())
            variables["RUST_WASM_NODE"] = json.dumps(node)
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=self.log_file.open("wb"), env=variables
        )
        self._admin = admin
        self.ports: dict[str, int] = {}
        if wait:
            try:
                self._wait_until_ready()
            except BaseException:
                self.stop()
                raise

    def _serve(self, file: str, kind: str, resources: list[dict[str, Any]]) -> None:
        name = f"type.googleapis.com/envoy.{kind}"
        resources = [{"@type": name, **resource} for resource in resources]
        new = self.here / "new"
        new.write_text(json.dumps({"resources": resources}))
        new.rename(self.here / file)  # which is what Envoy watches for

    def update_listeners(self, **changes: object) -> None:
        """Has all listeners made anew, with these changes of their connection managers."""
        for one in self.listeners:
            one["filter_chains"][0]["filters"][0]["typed_config"].update(changes)
        self._serve("lds.json", "config.listener.v3.Listener", self.listeners)

    def _wait_until_ready(self) -> None:
        for _ in every(0.02, 60):
            if self.process.poll() is not None:
                raise RuntimeError(f"Envoy ended at start:\n{self.log()[-3000:]}")
            if self._admin.exists() and self._admin.read_text() and self._ready():
                break
        else:
            raise RuntimeError(f"Envoy is not ready:\n{self.log()[-3000:]}")
        for entry in json.loads(self.admin("listeners?format=json"))["listener_statuses"]:
            port = entry["local_address"]["socket_address"]["port_value"]
            self.ports[entry["name"]] = port

    def _ready(self) -> bool:
        try:
            return "LIVE" in self.admin("ready")
        except OSError:
            return False

    def admin(self, path: str, post: bool = False) -> str:
        url = f"http://{self._admin.read_text()}/{path}"
        request = urllib.request.Request(url, method="POST" if post else "GET")
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.read().decode()

    def stats(self, pattern: str) -> dict[str, str]:
        text = self.admin(f"stats?filter={pattern}")
        return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)

    def log(self, since: int = 0) -> str:
        """Envoy's log from that byte on."""
        with self.log_file.open("rb") as file:
            file.seek(since)
            return file.read().decode(errors="replace")

    def log_size(self) -> int:
        return self.log_file.stat().st_size

    def plugin_log(self, plugin: str, since: int = 0) -> list[str]:
        """What the plugin logged from that byte of the log on, as `level message`."""
        one = self.plugins[plugin]
        of_root = f"{one.root_id} {one.vm_id or one.name}"
        prefixes = (f"{one.name} {of_root}", of_root)
        found = LOG.findall(self.log(since).rstrip())
        return [f"{level} {message}" for level, prefix, message in found if prefix in prefixes]

    def version(self) -> str:
        return json.loads(self.admin("server_info"))["version"].split("/")[1]

    def resident(self) -> int:
        """Bytes of memory that the process has resident."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return 1024 * int(re.search(r"^Rss:\s+(\d+)", text, re.M)[1])

    def cpu(self) -> float:
        """Seconds of CPU that all its threads used."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def wait_for_end(self, seconds: float) -> int:
        return self.process.wait(seconds)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def __enter__(self) -> "Envoy":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.directory.cleanup()


def every(pause: float, limit: float) -> Iterable[None]:
    """Yields at once and after each pause, until the limit in seconds has passed."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        yield None
        time.sleep(pause)
