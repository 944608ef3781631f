"""An identity provider for tests: it signs tokens and writes the gateway's issuers file."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ISSUER = "https://issuer.test"
SECRET = b"an existing issuer's secret, 32+ bytes"


class Issuer:
    """Signs tokens as an identity provider would."""

    def __init__(self, folder: Path, algorithm: str = "ES256", name: str = ISSUER) -> None:
        self.name = name
        self.algorithm = algorithm
        self.folder = folder
        self.kid = "first"
        self.make_key()

    def make_key(self) -> None:
        if self.algorithm == "HS256":
            self.key: Any = SECRET
            (self.folder / "secret").write_bytes(SECRET + b"\n")
            self.entry = {"secret_file": "secret"}
            return
        self.key = generate_private_key(SECP256R1()) if self.algorithm == "ES256" else Ed25519PrivateKey.generate()
        public = jwt.get_algorithm_by_name(self.algorithm).to_jwk(self.key.public_key(), as_dict=True)
        file = f"{self.algorithm}.jwks.json"
        (self.folder / file).write_text(json.dumps({"keys": [{**public, "kid": self.kid}]}))
        self.entry = {"jwks_file": file}

    def token(self, *, headers: dict[str, Any] | None = None, key: Any = None, algorithm: str = "", **claims) -> str:
        full = {
            "iss": self.name,
            "aud": "venus",
            "sub": "asha",
            "exp": int(time.time()) + 600,
            "permissions": ["sales.create", "sales.view", "inventory.view", "inventory.adjust", "sagas.view"],
            "store_ids": [1],
            **claims,
        }
        present = {name: value for name, value in full.items() if value is not None}
        return jwt.encode(
            present,
            self.key if key is None else key,
            algorithm=algorithm or self.algorithm,
            headers={"kid": self.kid, **(headers or {})},
        )


def write_issuers(folder: Path, *issuers: Issuer) -> Path:
    file = folder / "issuers.json"
    entries = [
        {"issuer": it.name, "audience": "venus", "algorithm": it.algorithm, "leeway_s": 5, **it.entry} for it in issuers
    ]
    file.write_text(json.dumps(entries))
    return file
