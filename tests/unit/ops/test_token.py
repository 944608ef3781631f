import json
import stat
import time
from pathlib import Path

import jwt
import pytest

from clients.ops.token import token
from deploy.local.issuer import ROLES, mint
from deploy.local.keys import AUDIENCE, ISSUER, Keys, make_keys, make_passwords
from deploy.local.startup import StackFailed

SERVICES = ("inventory", "sales", "ledger", "orchestrator", "gateway")
EVERY_PERMISSION = {
    "sales.create",
    "sales.view",
    "sales.bulk",
    "sales.credit",
    "sales.void",
    "skus.view",
    "skus.manage",
    "storeprices.view",
    "storeprices.edit",
    "inventory.view",
    "inventory.ledger",
    "inventory.adjust",
    "inventory.transfer.create",
    "inventory.transfer.receive",
    "inventory.transfer.approve",
    "inventory.transfer.view",
    "processing.create",
    "processing.view",
    "purchases.create",
    "purchases.commit",
    "purchases.cancel",
    "purchases.view",
    "customers.view",
    "customers.edit",
    "suppliers.view",
    "suppliers.edit",
    "payments.write",
    "payments.view",
    "ledger.view",
    "settlements.create",
    "settlements.submit",
    "settlements.approve",
    "settlements.lock",
    "settlements.backdate",
    "variance.view",
    "variance.approve",
    "variance.deduct",
    "expenses.write",
    "expenses.approve",
    "devices.manage",
    "sagas.view",
    "sagas.operate",
}


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keys:
    monkeypatch.setenv("VENUS_HOME", str(tmp_path))
    return make_keys(tmp_path / "keys", SERVICES)


def _claims(keys: Keys, text: str) -> dict[str, object]:
    """As the gateway would read it: with the public key of the issuers file."""
    [issuer] = json.loads(keys.issuers.read_text())
    jwks = jwt.PyJWKSet.from_dict(json.loads(Path(issuer["jwks_file"]).read_text()))
    key = jwks[jwt.get_unverified_header(text)["kid"]]
    return jwt.decode(text, key, algorithms=[issuer["algorithm"]], audience=issuer["audience"], issuer=issuer["issuer"])


def test_an_admin_may_everything_everywhere(keys: Keys) -> None:
    claims = _claims(keys, mint(keys, "admin"))
    assert set(ROLES["admin"]) == EVERY_PERMISSION
    assert claims["all_stores"] is True
    assert "store_ids" not in claims
    assert (claims["iss"], claims["aud"], claims["sub"]) == (ISSUER, AUDIENCE, "demo-admin")


def test_a_cashier_may_sell_and_look_in_the_store_named(keys: Keys, capsys: pytest.CaptureFixture[str]) -> None:
    assert token(["--role", "cashier", "--store", "1"]) == 0
    claims = _claims(keys, capsys.readouterr().out.strip())
    assert claims["permissions"] == ["inventory.view", "sales.create", "sales.view", "skus.view", "storeprices.view"]
    assert claims["store_ids"] == [1]
    assert "all_stores" not in claims


def test_roles_are_told_as_people_write_them(keys: Keys, capsys: pytest.CaptureFixture[str]) -> None:
    assert token(["--role", "Store Manager", "--store", "2", "--store", "1", "--hours", "1"]) == 0
    claims = _claims(keys, capsys.readouterr().out.strip())
    assert (claims["sub"], claims["store_ids"]) == ("demo-store-manager", [1, 2])
    assert abs(float(str(claims["exp"])) - time.time() - 3600) < 60


def test_nobody_but_an_admin_is_everywhere(keys: Keys, capsys: pytest.CaptureFixture[str]) -> None:
    assert token(["--role", "cashier"]) == 1
    assert "a cashier works in a store" in capsys.readouterr().err
    with pytest.raises(StackFailed, match="no such role: king"):
        mint(keys, "king", [1])


def test_roles_hold_only_permissions_that_exist_and_their_duties_are_apart() -> None:
    assert all(permissions <= EVERY_PERMISSION for permissions in ROLES.values())
    assert ROLES["cashier"] < ROLES["store-manager"] < ROLES["manager"] < ROLES["admin"]
    assert "settlements.submit" not in ROLES["account"]
    assert "settlements.approve" not in ROLES["store-manager"]


def test_without_keys_there_is_no_token(tmp_path: Path) -> None:
    with pytest.raises(StackFailed, match="no keys here yet"):
        mint(Keys(tmp_path), "admin")


def test_keys_and_passwords_are_made_once_and_are_private(keys: Keys) -> None:
    before = {file.name: file.read_bytes() for file in keys.folder.iterdir()}
    passwords = make_passwords(keys, ["sales_service"])
    make_keys(keys.folder, SERVICES)
    assert make_passwords(keys, ["sales_service", "ledger_service"])["sales_service"] == passwords["sales_service"]
    assert {name: (keys.folder / name).read_bytes() for name in before} == before
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in keys.folder.iterdir())


def test_every_service_knows_the_public_keys_of_all_and_no_private_one(keys: Keys) -> None:
    public = json.loads(keys.services.read_text())["keys"]
    assert [key["kid"] for key in public] == list(SERVICES)
    assert not any("d" in key for key in public)
