"""Keys and passwords of a local stack: made once, readable by their owner only."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from jwt.algorithms import OKPAlgorithm

from deploy.local.home import write_private

ISSUER: Final = "https://id.venus.local"
AUDIENCE: Final = "venus"
ISSUER_KEY_ID: Final = "demo-issuer"


@dataclass(frozen=True, slots=True)
class Keys:
    """Where the keys of a stack lie."""

    folder: Path

    def service_key(self, service: str) -> Path:
        """A service's private key."""
        return self.folder / f"{service}.pem"

    @property
    def services(self) -> Path:
        """JWKS with the public keys of all services."""
        return self.folder / "services.jwks.json"

    @property
    def issuer_key(self) -> Path:
        """The demo issuer's private key: signs tokens for people."""
        return self.folder / "issuer.pem"

    @property
    def issuer_public(self) -> Path:
        """JWKS with the demo issuer's public key."""
        return self.folder / "issuer.jwks.json"

    @property
    def issuers(self) -> Path:
        """Whose tokens the gateway takes."""
        return self.folder / "issuers.json"

    @property
    def passwords(self) -> Path:
        """Passwords of the database roles, by name."""
        return self.folder / "passwords.json"


def make_keys(folder: Path, services: Sequence[str]) -> Keys:
    """The keys in `folder`, those that are missing made new."""
    keys = Keys(folder)
    public = [_public(name, _private_key(keys.service_key(name))) for name in services]
    write_private(keys.services, json.dumps({"keys": public}, indent=2))
    issuer = _public(ISSUER_KEY_ID, _private_key(keys.issuer_key))
    write_private(keys.issuer_public, json.dumps({"keys": [issuer]}, indent=2))
    trusted = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "algorithm": "EdDSA",
        "jwks_file": str(keys.issuer_public),
        "leeway_s": 30,
    }
    write_private(keys.issuers, json.dumps([trusted], indent=2))
    return keys


def make_passwords(keys: Keys, names: Sequence[str]) -> Mapping[str, str]:
    """A password for each name, the same ones every time."""
    known: dict[str, str] = json.loads(keys.passwords.read_text()) if keys.passwords.exists() else {}
    missing = [name for name in names if name not in known]
    if missing:
        known |= {name: secrets.token_urlsafe(24) for name in missing}
        write_private(keys.passwords, json.dumps(known, indent=2))
    return known


def _private_key(file: Path) -> Ed25519PrivateKey:
    if file.exists():
        key = load_pem_private_key(file.read_bytes(), password=None)
        if isinstance(key, Ed25519PrivateKey):
            return key
    key = Ed25519PrivateKey.generate()
    write_private(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
    return key


def _public(key_id: str, key: Ed25519PrivateKey) -> dict[str, Any]:
    return {**OKPAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "alg": "EdDSA", "use": "sig"}
