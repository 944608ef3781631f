"""Who is on the wire: each service proves itself with a short-lived token, and the gateway vouches for people.

Every service has an Ed25519 key of its own and knows the public keys of all (kid = service name). Nobody but the
gateway's key can vouch for a person, so a service that is taken over can speak only for itself.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import jwt

from venus_kit.access import Person
from venus_kit.errors import NotSignedIn

SERVICE_AUDIENCE: Final = "venus-service"
ASSERTION_AUDIENCE: Final = "venus-assertion"
ASSERTION_KEY: Final = "x-venus-assertion"
GATEWAY: Final = "gateway"
_LIFETIME_S: Final = 300
_RENEW_BEFORE_S: Final = 60
_LEEWAY_S: Final = 30
_CACHED_TOKENS: Final = 20_000


@dataclass(frozen=True, slots=True)
class _Signed:
    token: str
    expires_at_s: float


class _Verified:
    """Claims of tokens that were verified before, until they expire."""

    def __init__(self) -> None:
        self._claims: dict[str, tuple[float, Mapping[str, Any]]] = {}

    def get(self, token: str) -> Mapping[str, Any] | None:
        found = self._claims.get(token)
        if found is None or found[0] <= time.time():
            return None
        return found[1]

    def put(self, token: str, claims: Mapping[str, Any]) -> None:
        if len(self._claims) >= _CACHED_TOKENS:
            self._claims.clear()  # cheaper than keeping an order, and verified again at the next call
        self._claims[token] = (float(claims["exp"]) + _LEEWAY_S, claims)


class PublicKeys:
    """The public keys of all services, by name."""

    def __init__(self, jwks: Mapping[str, Any]) -> None:
        """Take a JWKS document whose kids are service names."""
        keys = jwt.PyJWKSet.from_dict(dict(jwks)).keys
        self._keys = {cast("str", key.key_id): key for key in keys}

    @classmethod
    def read(cls, path: Path) -> "PublicKeys":
        """From a JWKS file."""
        return cls(json.loads(path.read_text()))

    def claims(self, token: str, audience: str) -> Mapping[str, Any]:
        """The verified claims of a token; its issuer is the service whose key signed it. Errors: NotSignedIn."""
        try:
            name = jwt.get_unverified_header(token).get("kid", "")
            key = self._keys.get(name)
            if key is None:
                raise NotSignedIn(kid=name)
            return jwt.decode(
                token,
                key,
                algorithms=["EdDSA"],
                audience=audience,
                issuer=name,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.InvalidTokenError as error:
            raise NotSignedIn from error


class ServiceIdentity:
    """This service's own key: proves who it is."""

    def __init__(self, name: str, private_key_pem: bytes) -> None:
        """`name` is the service, the key its Ed25519 private key in PEM."""
        self.name = name
        self._key = private_key_pem
        self._own: _Signed | None = None

    def token(self) -> str:
        """A token for the `authorization` metadata, good for minutes, made anew before it ends."""
        now = time.time()
        if self._own is None or self._own.expires_at_s - _RENEW_BEFORE_S <= now:
            self._own = self.sign({"aud": SERVICE_AUDIENCE}, now)
        return self._own.token

    def sign(self, claims: Mapping[str, Any], now: float) -> _Signed:
        """Sign claims as this service, for a few minutes from `now` (seconds since the epoch)."""
        expires_at_s = now + _LIFETIME_S
        full = {**claims, "iss": self.name, "iat": int(now), "exp": int(expires_at_s)}
        return _Signed(jwt.encode(full, self._key, algorithm="EdDSA", headers={"kid": self.name}), expires_at_s)


class ServiceVerifier:
    """Tells which service is calling."""

    def __init__(self, keys: PublicKeys) -> None:
        """Trust the services whose public keys these are."""
        self._keys = keys
        self._verified = _Verified()

    def service(self, token: str) -> str:
        """The name of the service that holds the token's key. Errors: NotSignedIn."""
        claims = self._verified.get(token)
        if claims is None:
            claims = self._keys.claims(token, SERVICE_AUDIENCE)
            self._verified.put(token, claims)
        return str(claims["iss"])


class AssertionSigner:
    """The gateway's word for a person, signed once per person and reused until it nears its end."""

    def __init__(self, identity: ServiceIdentity) -> None:
        """Sign as `identity`, which must be the gateway's."""
        self._identity = identity
        self._signed: dict[Person, _Signed] = {}

    def assertion(self, person: Person) -> str:
        """The signed assertion of a person."""
        now = time.time()
        signed = self._signed.get(person)
        if signed is None or signed.expires_at_s - _RENEW_BEFORE_S <= now:
            if len(self._signed) >= _CACHED_TOKENS:
                self._signed.clear()
            signed = self._identity.sign({"aud": ASSERTION_AUDIENCE, **_claims_of(person)}, now)
            self._signed[person] = signed
        return signed.token


class AssertionVerifier:
    """Reads people out of assertions that the gateway signed."""

    def __init__(self, keys: PublicKeys) -> None:
        """Trust the gateway's key among `keys`, and no other."""
        self._keys = keys
        self._people: dict[str, tuple[float, Person]] = {}

    def person(self, assertion: str) -> Person:
        """The person whom the gateway vouches for. Errors: NotSignedIn."""
        found = self._people.get(assertion)
        if found is not None and found[0] > time.time():
            return found[1]
        claims = self._keys.claims(assertion, ASSERTION_AUDIENCE)
        if claims["iss"] != GATEWAY:
            raise NotSignedIn(issuer=str(claims["iss"]))
        person = _person_of(claims)
        if len(self._people) >= _CACHED_TOKENS:
            self._people.clear()
        self._people[assertion] = (float(claims["exp"]) + _LEEWAY_S, person)
        return person


def _claims_of(person: Person) -> dict[str, Any]:
    return {
        "sub": person.subject,
        "permissions": sorted(person.permissions),
        "all_stores": person.all_stores,
        "store_ids": sorted(person.store_ids),
        "device_id": person.device_id,
    }


def _person_of(claims: Mapping[str, Any]) -> Person:
    return Person(
        subject=str(claims["sub"]),
        permissions=frozenset(claims["permissions"]),
        all_stores=bool(claims["all_stores"]),
        store_ids=frozenset(claims["store_ids"]),
        device_id=str(claims["device_id"]),
    )
