"""Who calls: bearer tokens of the issuers that the gateway believes, verified once and remembered until they end."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

_REMEMBERED_AT_MOST = 20_000


class NotSignedIn(Exception):
    """No token, or none to believe."""


@dataclass(frozen=True, slots=True)
class Person:
    """What the token says."""

    subject: str
    permissions: frozenset[str]
    store_ids: frozenset[int]
    all_stores: bool
    ends_at_s: float

    def may_sell_in(self, store_id: int) -> bool:
        return "sales.create" in self.permissions and (self.all_stores or store_id in self.store_ids)


class Doorkeeper:
    """Verifies tokens."""

    def __init__(self, issuers_file: Path) -> None:
        self._issuers: dict[str, dict[str, Any]] = {}
        for entry in json.loads(issuers_file.read_text(encoding="utf-8")):
            keys = json.loads((issuers_file.parent / entry["jwks_file"]).read_text(encoding="utf-8"))["keys"]
            entry["keys"] = {key["kid"]: jwt.PyJWK(key, entry["algorithm"]).key for key in keys}
            self._issuers[entry["issuer"]] = entry
        self._known: dict[str, Person] = {}

    def person(self, authorization: str) -> Person:
        """The person behind an Authorization header. Errors: NotSignedIn."""
        person = self._known.get(authorization)
        if person is None:
            person = self._verify(authorization)
            if len(self._known) >= _REMEMBERED_AT_MOST:
                self._known.clear()
            self._known[authorization] = person
        if person.ends_at_s <= time.time():
            raise NotSignedIn
        return person

    def _verify(self, authorization: str) -> Person:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise NotSignedIn
        try:
            unverified = jwt.decode_complete(token, options={"verify_signature": False})
            issuer = self._issuers[unverified["payload"]["iss"]]
            claims = jwt.decode(
                token,
                issuer["keys"][unverified["header"]["kid"]],
                algorithms=[issuer["algorithm"]],
                audience=issuer["audience"],
                issuer=issuer["issuer"],
                leeway=issuer["leeway_s"],
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, KeyError, ValueError) as error:
            raise NotSignedIn from error
        return Person(
            subject=claims["sub"],
            permissions=frozenset(claims.get("permissions", ())),
            store_ids=frozenset(claims.get("store_ids", ())),
            all_stores=claims.get("all_stores", False),
            ends_at_s=claims["exp"] + issuer["leeway_s"],
        )
