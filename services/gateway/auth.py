"""From a bearer token to a person: the only place where users' tokens are read."""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import jwt

from services.gateway.issuers import Issuer, Issuers
from venus_kit.access import Person
from venus_kit.clock import Clock
from venus_kit.errors import NotSignedIn

_TOKEN_LENGTH: Final = 5_000
"""Leaves room for the signed assertion with the same claims within its 8 KiB."""
_NAME_LENGTH: Final = 200
_CACHED_AT_MOST: Final = 20_000
_REQUIRED: Final = ("exp", "iss", "aud", "sub")


@dataclass(frozen=True, slots=True)
class _Known:
    """A token that was verified."""

    person: Person
    ends_at_s: float
    generation: int


class Doorkeeper:
    """Verifies bearer tokens; a token that was seen is not verified again until it ends or the keys change."""

    def __init__(self, issuers: Issuers, clock: Clock, *, cached_at_most: int = _CACHED_AT_MOST) -> None:
        """Believe `issuers`; `clock` says what has expired."""
        self._issuers = issuers
        self._clock = clock
        self._cached_at_most = cached_at_most
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    def person(self, authorization: str) -> Person:
        """The person behind an Authorization header. Errors: NotSignedIn, whose `problem` tells why."""
        scheme, _, token = authorization.partition(" ")
        if not token or scheme.lower() != "bearer":
            raise NotSignedIn(problem="missing")
        if len(token) > _TOKEN_LENGTH:
            raise NotSignedIn(problem="malformed")
        self._issuers.refresh()
        now_s = self._clock.now().timestamp()
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is None or known.generation != self._issuers.generation:
            known = self._verify(token.strip(), now_s)
            self._remember(digest, known)
        elif known.ends_at_s <= now_s:
            del self._known[digest]
            raise NotSignedIn(problem="expired")
        else:
            self._known.move_to_end(digest)
        return known.person

    def _remember(self, digest: bytes, known: _Known) -> None:
        self._known[digest] = known
        if len(self._known) > self._cached_at_most:
            self._known.popitem(last=False)

    def _verify(self, token: str, now_s: float) -> _Known:
        try:
            claims, issuer = self._signed_claims(token)
        except jwt.InvalidAudienceError as error:
            raise NotSignedIn(problem="audience") from error
        except jwt.MissingRequiredClaimError as error:
            raise NotSignedIn(problem="malformed") from error
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:  # forged tokens hold anything
            raise NotSignedIn(problem="untrusted") from error
        ends_at_s = _check_times(claims, issuer.leeway_s, now_s)
        return _Known(_person_of(claims), ends_at_s, self._issuers.generation)

    def _signed_claims(self, token: str) -> tuple[Mapping[str, Any], Issuer]:
        """The claims that an issuer's key vouches for."""
        unverified = jwt.decode_complete(token, options={"verify_signature": False})
        header, named = unverified["header"], unverified["payload"].get("iss")
        issuer = self._issuers.get(named) if isinstance(named, str) else None
        key = issuer.key(header.get("kid")) if issuer is not None else None
        if issuer is None or key is None:
            raise NotSignedIn(problem="untrusted")
        claims = jwt.decode(
            token,
            key,
            algorithms=[issuer.algorithm],  # pinned: the token's own word must be the same
            audience=issuer.audience,
            issuer=issuer.name,
            # times are checked below, by our own clock
            options={"require": list(_REQUIRED), "verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
        return claims, issuer


def _check_times(claims: Mapping[str, Any], leeway_s: int, now_s: float) -> float:
    """When the token ends, leeway included. Errors: NotSignedIn when that is past, or when it has not begun."""
    ends_at_s = _seconds(claims["exp"]) + leeway_s
    if ends_at_s <= now_s:
        raise NotSignedIn(problem="expired")
    begins_at_s = max(_seconds(claims.get("nbf", 0)), _seconds(claims.get("iat", 0))) - leeway_s
    if begins_at_s > now_s:
        raise NotSignedIn(problem="not_yet_valid")
    return ends_at_s


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise NotSignedIn(problem="malformed")
    return float(value)


def _person_of(claims: Mapping[str, Any]) -> Person:
    """The person whom verified claims describe; a claim of the wrong type is never guessed at."""
    subject, device_id = claims["sub"], claims.get("device_id", "")
    permissions = claims.get("permissions", [])
    store_ids, all_stores = claims.get("store_ids", []), claims.get("all_stores", False)
    sound = (
        _is_name(subject)
        and subject
        and _is_name(device_id)
        and isinstance(permissions, list)
        and all(_is_name(name) for name in cast("list[object]", permissions))
        and isinstance(store_ids, list)
        and all(type(store_id) is int for store_id in cast("list[object]", store_ids))
        and isinstance(all_stores, bool)
    )
    if not sound:
        raise NotSignedIn(problem="malformed")
    return Person(
        subject=subject,
        permissions=frozenset(cast("list[str]", permissions)),
        all_stores=all_stores,
        store_ids=frozenset(cast("list[int]", store_ids)),
        device_id=device_id,
    )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _NAME_LENGTH and "\0" not in value
