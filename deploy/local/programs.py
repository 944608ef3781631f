"""The five services as programs: which address each has, what each is told."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

from deploy.local.collector import Collector
from deploy.local.keys import Keys
from deploy.local.ports import LOOPBACK, free_ports, take
from deploy.local.supervisor import Program
from deploy.local.web import is_ready

PARTICIPANTS: Final = ("inventory", "sales", "ledger")
WITH_DATABASE: Final = (*PARTICIPANTS, "orchestrator")
SERVICES: Final = (*WITH_DATABASE, "gateway")
GATEWAY_PORT: Final = 8080


@dataclass(frozen=True, slots=True)
class Addresses:
    """host:port of all that the services open: gRPC of all but the gateway, metrics of all, HTTP of the gateway."""

    grpc: Mapping[str, str]
    metrics: Mapping[str, str]
    http: str

    def readiness(self, name: str) -> str:
        """Where a service answers /readyz: the gateway where tills call it, so that it is ready for them."""
        return self.http if name == "gateway" else self.metrics[name]


def choose_addresses(kept: ExitStack) -> Addresses:
    """Free ports for all, ours until `kept` is closed; 8080 for the gateway if it is free."""
    ports = free_ports(len(WITH_DATABASE) + len(SERVICES) + 1, kept)
    addresses = [f"{LOOPBACK}:{port}" for port in ports]
    http = f"{LOOPBACK}:{GATEWAY_PORT}" if take(GATEWAY_PORT, kept) else addresses.pop()
    grpc = {name: addresses.pop() for name in WITH_DATABASE}
    return Addresses(grpc, {name: addresses.pop() for name in SERVICES}, http)


def service_programs(
    addresses: Addresses, keys: Keys, database_urls: Mapping[str, str], valkey_url: str, collector: Collector
) -> Sequence[Program]:
    """The participants side by side, then who calls them, then the gateway; all of them before the collector ends."""
    common = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp_url,
        "OTEL_EXPORTER_OTLP_INSECURE": "true",
        "PYTHONUNBUFFERED": "1",
        "VENUS_ENVIRONMENT": "local",
        "VENUS_ISSUERS_FILE": str(keys.issuers),
        "VENUS_REDIS_URL": valkey_url,
        "VENUS_SERVICE_JWKS_FILE": str(keys.services),
        "VENUS_TRACE_RATIO": os.environ.get("VENUS_TRACE_RATIO", "1.0"),
        **{f"VENUS_{name.upper()}_TARGET": target for name, target in addresses.grpc.items()},
    }
    return [
        Program(
            name=name,
            command=[sys.executable, "-m", f"services.{name}"],
            environment={
                **common,
                **_no_proxy(),
                "VENUS_SERVICE_KEY_FILE": str(keys.service_key(name)),
                "VENUS_METRICS_BIND": addresses.metrics[name],
                **({"VENUS_GRPC_BIND": addresses.grpc[name]} if name in addresses.grpc else {}),
                **({"VENUS_DATABASE_URL": database_urls[name]} if name in database_urls else {}),
                **({"VENUS_HTTP_BIND": addresses.http} if name == "gateway" else {}),
            },
            ready=partial(is_ready, f"http://{addresses.readiness(name)}/readyz"),
            needs=_needs(name, collector),
        )
        for name in SERVICES
    ]


def _needs(name: str, collector: Collector) -> frozenset[str]:
    before = {"orchestrator": PARTICIPANTS, "gateway": WITH_DATABASE}.get(name, ())
    return frozenset((collector.program.name, *before))


def _no_proxy() -> Mapping[str, str]:
    """Without this gRPC would send even calls to this machine through a proxy that the environment names."""
    hosts = f"{LOOPBACK},localhost"
    return {name: ",".join(filter(None, (os.environ.get(name, ""), hosts))) for name in ("no_proxy", "NO_PROXY")}
