"""./venus trace: what one call did, service by service."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from deploy.local.home import Home, description_of
from deploy.local.startup import StackFailed
from deploy.local.waterfall import draw, fetch_trace


def trace(argv: Sequence[str]) -> int:
    """Print a trace as a waterfall; the exit code."""
    parser = argparse.ArgumentParser(prog="venus trace", description="Show a trace as a waterfall.")
    parser.add_argument("trace_id", help="32 hex digits: a sale's correlationId, an answer's X-Correlation-ID")
    parser.add_argument("--traces", default="", metavar="URL", help="a Jaeger's .../api/traces (the running stack's)")
    asked = parser.parse_args(argv)
    try:
        traces_url: str = asked.traces or description_of(Home.of_environment())["otlp"]["traces"]
        spans = asyncio.run(fetch_trace(traces_url.rstrip("/"), asked.trace_id.lower()))
    except StackFailed as failure:
        print(f"venus: {failure}", file=sys.stderr)
        return 1
    print(draw(spans))
    return 0
