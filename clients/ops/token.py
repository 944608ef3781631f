"""./venus token: a person for trying things out."""

import argparse
import sys
from collections.abc import Sequence

from deploy.local.home import Home
from deploy.local.issuer import ROLES, mint
from deploy.local.keys import Keys
from deploy.local.startup import StackFailed


def token(argv: Sequence[str]) -> int:
    """Print a token that the gateway of this machine's stack takes; the exit code."""
    parser = argparse.ArgumentParser(prog="venus token", description="Print a token for a made-up person.")
    parser.add_argument("--role", default="cashier", type=_role, help=f"one of {', '.join(ROLES)} (cashier)")
    parser.add_argument("--store", type=int, action="append", default=[], metavar="ID", help="may be given again")
    parser.add_argument("--subject", default="", help="who it is (demo-ROLE)")
    parser.add_argument("--hours", type=int, default=168, help="how long it is good (168)")
    asked = parser.parse_args(argv)
    keys = Keys(Home.of_environment().keys)
    try:
        print(mint(keys, asked.role, asked.store, subject=asked.subject, lifetime_s=asked.hours * 3600))
    except StackFailed as failure:
        print(f"venus: {failure}", file=sys.stderr)
        return 1
    return 0


def _role(text: str) -> str:
    """`Store Manager`, as people write it, is `store-manager`."""
    return text.strip().lower().replace(" ", "-").replace("_", "-")
