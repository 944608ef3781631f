"""Where a local stack sends its traces: a real Jaeger when there is one, else our stand-in."""

import json
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from deploy.local.home import Home, write_private
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.startup import StackFailed
from deploy.local.supervisor import Program
from deploy.local.web import is_ready


@dataclass(frozen=True, slots=True)
class Collector:
    """A collector to start: what to run, what it is, where spans go and where questions go."""

    program: Program
    kind: str
    otlp_url: str
    web_url: str

    @property
    def traces_url(self) -> str:
        """The query API: GET <this>/<trace id>."""
        return f"{self.web_url}/api/traces"

    @property
    def is_jaeger(self) -> bool:
        """Whether it is the real thing, with a user interface at `web_url`."""
        return self.kind == "jaeger"


def choose_collector(home: Home, kept: ExitStack) -> Collector:
    """The Jaeger (v2) that VENUS_JAEGER_BIN names, else the stand-in; on free ports, ours until `kept` is closed."""
    grpc_port, http_port = free_ports(2, kept)
    otlp, web = f"{LOOPBACK}:{grpc_port}", f"{LOOPBACK}:{http_port}"
    told = os.environ.get("VENUS_JAEGER_BIN", "")
    if told and not os.access(told, os.X_OK):
        raise StackFailed(f"VENUS_JAEGER_BIN is {told}, which is no program")
    if told:
        settings = home.run / "jaeger.yaml"
        write_private(settings, json.dumps(_jaeger_settings(otlp, web), indent=2))  # JSON is YAML
        command = [str(Path(told)), "--config", str(settings)]
    else:
        command = [sys.executable, "-m", "deploy.local.otlp_sink", "--grpc", otlp, "--http", web]
    return Collector(
        program=Program("traces", command, os.environ, partial(is_ready, f"http://{web}/"), drain_s=5.0),
        kind="jaeger" if told else "stand-in",
        otlp_url=f"http://{otlp}",
        web_url=f"http://{web}",
    )


def _jaeger_settings(otlp: str, web: str) -> dict[str, Any]:
    """One receiver, one store in memory, one query API: the rest of an all-in-one would want ports of its own."""
    return {
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query"],
            "pipelines": {
                "traces": {"receivers": ["otlp"], "processors": [], "exporters": ["jaeger_storage_exporter"]}
            },
            "telemetry": {"metrics": {"level": "none"}},
        },
        "extensions": {
            "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": 10_000}}}},
            "jaeger_query": {
                "storage": {"traces": "memory"},
                "http": {"endpoint": web},
                "grpc": {"endpoint": f"{LOOPBACK}:0"},
            },
        },
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": otlp}}}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
    }
