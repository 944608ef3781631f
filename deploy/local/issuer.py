"""The demo issuer: signs tokens for made-up people, as an identity provider would for real ones.

Permissions in the token decide; the roles are only bundles of them for demo data.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jwt

from deploy.local.keys import AUDIENCE, ISSUER, ISSUER_KEY_ID, Keys
from deploy.local.startup import StackFailed

_CASHIER: Final = frozenset({"sales.create", "sales.view", "skus.view", "storeprices.view", "inventory.view"})
_STORE_MANAGER: Final = _CASHIER | {
    *("sales.bulk", "sales.credit", "sales.void"),
    *("inventory.ledger", "inventory.adjust"),
    *(f"inventory.transfer.{verb}" for verb in ("create", "receive", "view")),
    *("processing.create", "processing.view"),
    *("purchases.create", "purchases.commit", "purchases.cancel", "purchases.view"),
    *("customers.view", "suppliers.view", "payments.write", "payments.view", "expenses.write"),
    *("settlements.create", "settlements.submit", "variance.view", "sagas.view"),
}
_ACCOUNT: Final = frozenset(
    {
        *("sales.view", "skus.view", "storeprices.view", "inventory.view", "inventory.ledger", "purchases.view"),
        *("customers.view", "customers.edit", "suppliers.view", "suppliers.edit"),
        *("payments.write", "payments.view", "ledger.view", "expenses.write", "expenses.approve"),
        *("settlements.approve", "settlements.lock", "variance.view", "variance.approve", "variance.deduct"),
        "sagas.view",
    }
)
_MANAGER: Final = (
    _STORE_MANAGER
    | _ACCOUNT
    | {"skus.manage", "storeprices.edit", "inventory.transfer.approve", "settlements.backdate", "devices.manage"}
)

ROLES: Final[Mapping[str, frozenset[str]]] = {
    "admin": _MANAGER | {"sagas.operate"},
    "manager": _MANAGER,
    "store-manager": _STORE_MANAGER,
    "account": _ACCOUNT,
    "cashier": _CASHIER,
}
EVERYWHERE: Final = frozenset({"admin"})
"""Roles that see all stores when none are named."""


def mint(
    keys: Keys, role: str, store_ids: Sequence[int] = (), *, subject: str = "", lifetime_s: int = 7 * 24 * 3600
) -> str:
    """A signed token for a person with this role in these stores. Errors: StackFailed without keys, role or stores."""
    if role not in ROLES:
        raise StackFailed(f"no such role: {role}; there are {', '.join(ROLES)}")
    if not keys.issuer_key.exists():
        raise StackFailed("no keys here yet; ./venus up makes them")
    everywhere = role in EVERYWHERE and not store_ids
    if not everywhere and not store_ids:
        raise StackFailed(f"a {role} works in a store; say which")
    scope: dict[str, Any] = {"all_stores": True} if everywhere else {"store_ids": sorted(set(store_ids))}
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject or f"demo-{role}",
        "iat": now,
        "exp": now + lifetime_s,
        "permissions": sorted(ROLES[role]),
        **scope,
    }
    return jwt.encode(claims, keys.issuer_key.read_bytes(), algorithm="EdDSA", headers={"kid": ISSUER_KEY_ID})
