"""Whose tokens are believed, and by which keys: one JSON file, read again when it or a key file changes.

The file is a list of `{"issuer", "audience", "algorithm", "jwks_file" | "secret_file", "leeway_s"}`. The algorithm is
pinned per issuer: the token's own word for it counts for nothing. Key files are found beside the file itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self, cast

import jwt
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from venus_kit import telemetry

_SECRET_BYTES: Final = 32
_KEY_KINDS: Final[Mapping[str, tuple[str, str]]] = {"ES256": ("EC", "P-256"), "EdDSA": ("OKP", "Ed25519")}
_CHECKED_EVERY_S: Final = 2.0
_JWKS: Final = TypeAdapter(dict[Literal["keys"], list[dict[str, Any]]])


class IssuerEntry(BaseModel):
    """One entry of the issuers file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    issuer: str = Field(min_length=1)
    audience: str = Field(min_length=1)
    algorithm: Literal["ES256", "EdDSA", "HS256"]
    jwks_file: Path | None = None
    secret_file: Path | None = None
    leeway_s: int = Field(default=30, ge=0, le=300)

    @model_validator(mode="after")
    def _has_its_key(self) -> Self:
        wanted = self.secret_file if self.algorithm == "HS256" else self.jwks_file
        other = self.jwks_file if self.algorithm == "HS256" else self.secret_file
        if wanted is None or other is not None:
            raise ValueError("HS256 takes a secret_file, every other algorithm a jwks_file")
        return self

    @property
    def key_file(self) -> Path:
        """The file with its secret or its public keys."""
        return cast("Path", self.secret_file or self.jwks_file)


@dataclass(frozen=True, slots=True)
class Issuer:
    """Somebody whose tokens are believed."""

    name: str
    audience: str
    algorithm: str
    leeway_s: int
    keys: Mapping[str, Any]
    """By key id; a secret stands under the empty one."""

    def key(self, key_id: str | None) -> Any | None:
        """The key with this id; without an id the only key there is; None when there is no such key."""
        if key_id is None or self.algorithm == "HS256":
            return next(iter(self.keys.values())) if len(self.keys) == 1 else None
        return self.keys.get(key_id)


class Issuers:
    """The issuers as the file has them now."""

    def __init__(self, file: Path, monotonic: Callable[[], float]) -> None:
        """Read `file`; raises ValueError or OSError when it or a key file cannot be used."""
        self._file = file
        self._monotonic = monotonic
        self._seen, self._by_name = _read(file)
        self._checked_at_s = monotonic()
        self.generation = 0
        """Rises when the keys change: what was verified before counts no more."""

    def get(self, name: str) -> Issuer | None:
        """The issuer of this name."""
        return self._by_name.get(name)

    def refresh(self) -> None:
        """Look at most every two seconds whether a file changed; files that cannot be used change nothing."""
        now_s = self._monotonic()
        if now_s - self._checked_at_s < _CHECKED_EVERY_S:
            return
        self._checked_at_s = now_s
        files = _fingerprints(self._seen)
        if files == self._seen:
            return
        try:
            self._seen, self._by_name = _read(self._file)
        except (OSError, ValueError) as error:
            self._seen = files  # tell once, and look again when something changes
            telemetry.report(error, file=str(self._file))
            return
        self.generation += 1


_Fingerprint = tuple[int, int, int] | None


def _fingerprints(files: Mapping[Path, _Fingerprint]) -> dict[Path, _Fingerprint]:
    return {file: _fingerprint(file) for file in files}


def _fingerprint(file: Path) -> _Fingerprint:
    try:
        state = file.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino


def _read(file: Path) -> tuple[dict[Path, _Fingerprint], dict[str, Issuer]]:
    seen = {file: _fingerprint(file)}  # before reading: a change in between is seen at the next look
    by_name: dict[str, Issuer] = {}
    for entry in TypeAdapter(list[IssuerEntry]).validate_json(file.read_bytes()):
        if entry.issuer in by_name:
            raise ValueError(f"{file}: {entry.issuer} stands there twice")
        key_file = file.parent / entry.key_file
        seen[key_file] = _fingerprint(key_file)
        keys = _secret(key_file) if entry.algorithm == "HS256" else _public_keys(key_file, entry.algorithm)
        by_name[entry.issuer] = Issuer(entry.issuer, entry.audience, entry.algorithm, entry.leeway_s, keys)
    if not by_name:
        raise ValueError(f"{file}: nobody's tokens would be believed")
    return seen, by_name


def _secret(file: Path) -> dict[str, Any]:
    secret = file.read_bytes().rstrip(b"\r\n")
    if len(secret) < _SECRET_BYTES:
        raise ValueError(f"{file}: a secret of fewer than {_SECRET_BYTES} bytes can be guessed")
    return {"": secret}


def _public_keys(file: Path, algorithm: str) -> dict[str, Any]:
    """The keys of a JWKS that fit the algorithm; others are left alone, private and shared ones are an error."""
    keys: dict[str, Any] = {}
    for number, entry in enumerate(_JWKS.validate_json(file.read_bytes())["keys"]):
        if "d" in entry or entry.get("kty") == "oct":
            raise ValueError(f"{file}: key {number} is secret, it must not lie here")
        fits = (entry.get("kty"), entry.get("crv")) == _KEY_KINDS[algorithm]
        if fits and entry.get("use", "sig") == "sig" and entry.get("alg", algorithm) == algorithm:
            keys[str(entry.get("kid", ""))] = _public_key(entry, algorithm)
    if not keys:
        raise ValueError(f"{file}: no public key for {algorithm}")
    return keys


def _public_key(entry: dict[str, Any], algorithm: str) -> Any:
    try:
        return jwt.PyJWK(entry, algorithm).key
    except jwt.PyJWTError as error:
        raise ValueError("a key of the JWKS cannot be read") from error
