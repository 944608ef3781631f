import base64
import json
import os
import time

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.gateway.auth import Doorkeeper
from services.gateway.issuers import Issuers
from tests.unit.gateway.issuers import SECRET, Issuer, write_issuers
from venus_kit.clock import SystemClock
from venus_kit.errors import NotSignedIn

ALGORITHMS = ["ES256", "EdDSA", "HS256"]


class Ahead(SystemClock):
    """The machine's clock, turned forward."""

    def __init__(self):
        self.by_s = 0.0

    def now(self):
        return super().now().fromtimestamp(time.time() + self.by_s, tz=super().now().tzinfo)

    def monotonic(self):
        return super().monotonic() + self.by_s


@pytest.fixture
def clock():
    return Ahead()


@pytest.fixture
def issuer(tmp_path):
    return Issuer(tmp_path)


@pytest.fixture
def door(issuer, tmp_path, clock):
    return door_of(tmp_path, clock, issuer)


def door_of(folder, clock, *issuers, **options):
    return Doorkeeper(Issuers(write_issuers(folder, *issuers), clock.monotonic), clock, **options)


def problem(door, token):
    with pytest.raises(NotSignedIn) as caught:
        door.person(f"Bearer {token}")
    return caught.value.metadata["problem"]


def forged(header, claims, signature=b""):
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_good_token_tells_the_person(tmp_path, clock, algorithm):
    issuer = Issuer(tmp_path, algorithm)
    door = door_of(tmp_path, clock, issuer)
    token = issuer.token(sub="asha", permissions=["sales.create"], store_ids=[1, 2], device_id="till-7")
    person = door.person(f"Bearer {token}")
    assert person.subject == "asha"
    assert person.permissions == {"sales.create"}
    assert person.store_ids == {1, 2}
    assert not person.all_stores
    assert person.device_id == "till-7"
    assert door.person(f"bearer {token}") is person


def test_absent_claims_grant_nothing(door, issuer):
    person = door.person(f"Bearer {issuer.token(permissions=None, store_ids=None)}")
    assert person.permissions == frozenset()
    assert not person.sees(1)


def test_an_audience_may_be_one_of_several(door, issuer):
    assert door.person(f"Bearer {issuer.token(aud=['other', 'venus'])}").subject == "asha"


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic YTpi", "token"])
def test_without_a_token_nobody_is_signed_in(door, authorization):
    with pytest.raises(NotSignedIn) as caught:
        door.person(authorization)
    assert caught.value.metadata == {"problem": "missing"}


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"exp": int(time.time()) - 6}, "expired"),
        ({"exp": None}, "malformed"),
        ({"exp": "tomorrow"}, "malformed"),
        ({"exp": True}, "malformed"),
        ({"exp": float("inf")}, "malformed"),
        ({"exp": float("nan")}, "malformed"),
        ({"nbf": int(time.time()) + 3600}, "not_yet_valid"),
        ({"iat": int(time.time()) + 3600}, "not_yet_valid"),
        ({"nbf": "x"}, "malformed"),
        ({"aud": "other"}, "audience"),
        ({"aud": None}, "malformed"),
        ({"aud": ["other"]}, "audience"),
        ({"aud": 7}, "audience"),
        ({"iss": "https://other.test"}, "untrusted"),
        ({"iss": None}, "untrusted"),
        ({"sub": None}, "malformed"),
        ({"sub": ""}, "malformed"),
        ({"sub": 7}, "untrusted"),
        ({"sub": "x" * 201}, "malformed"),
        ({"permissions": "sales.create"}, "malformed"),
        ({"permissions": [1]}, "malformed"),
        ({"store_ids": ["1"]}, "malformed"),
        ({"store_ids": [True]}, "malformed"),
        ({"store_ids": 1}, "malformed"),
        ({"all_stores": "true"}, "malformed"),
        ({"all_stores": 1}, "malformed"),
        ({"device_id": 7}, "malformed"),
        ({"note": "x" * 5000}, "malformed"),
    ],
)
def test_a_token_with_a_wrong_claim_is_refused(door, issuer, claims, told):
    assert problem(door, issuer.token(**{"key": None, **claims})) == told


def test_an_issuer_that_is_no_name_is_refused(door, issuer):
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    for name in ([issuer.name], {}, 7, None):
        payload = json.dumps({**claims, "iss": name}).encode()
        assert problem(door, jwt.PyJWS().encode(payload, issuer.key, "ES256", {"kid": "first"})) == "untrusted"


@pytest.mark.parametrize("token", ["x", "a.b", "a.b.c", "....", "\xff.\xff.\xff", "e30.e30.e30", "W10.W10.W10"])
def test_what_is_no_token_is_refused(door, token):
    assert problem(door, token) == "untrusted"


def test_leeway_forgives_clocks_that_differ(door, issuer):
    assert door.person(f"Bearer {issuer.token(exp=int(time.time()) - 2)}")
    assert door.person(f"Bearer {issuer.token(nbf=int(time.time()) + 3)}")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_of_another_key_is_refused(tmp_path, clock, algorithm):
    issuer = Issuer(tmp_path, algorithm)
    door = door_of(tmp_path, clock, issuer)
    other = b"another secret that is long enough too" if algorithm == "HS256" else Issuer(tmp_path, algorithm).key
    assert problem(door, issuer.token(key=other)) == "untrusted"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_algorithm_is_no_signature(tmp_path, clock, algorithm):
    issuer = Issuer(tmp_path, algorithm)
    door = door_of(tmp_path, clock, issuer)
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    for name in ("none", "None", "NONE", ""):
        assert problem(door, forged({"alg": name, "kid": "first"}, claims)) == "untrusted"
    assert problem(door, forged({"kid": "first"}, claims)) == "untrusted"


def test_a_public_key_is_no_secret(tmp_path, clock):
    issuer = Issuer(tmp_path, "EdDSA")
    door = door_of(tmp_path, clock, issuer)
    public = issuer.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert problem(door, issuer.token(key=public, algorithm="HS256")) == "untrusted"


def test_the_algorithm_is_the_issuers_not_the_tokens(tmp_path, clock):
    hs = Issuer(tmp_path, "HS256", name="https://old.test")
    es = Issuer(tmp_path, "ES256")
    door = door_of(tmp_path, clock, hs, es)
    assert door.person(f"Bearer {hs.token()}")
    assert door.person(f"Bearer {es.token()}")
    assert problem(door, es.token(key=SECRET, algorithm="HS256")) == "untrusted"
    assert problem(door, hs.token(key=es.key, algorithm="ES256")) == "untrusted"
    assert problem(door, hs.token(iss=es.name)) == "untrusted"


def test_a_stronger_algorithm_than_the_issuers_is_refused_too(tmp_path, clock):
    issuer = Issuer(tmp_path, "HS256")
    door = door_of(tmp_path, clock, issuer)
    long_enough = SECRET * 2
    (tmp_path / "secret").write_bytes(long_enough)
    clock.by_s = 3
    assert door.person(f"Bearer {issuer.token(key=long_enough)}")
    assert problem(door, issuer.token(key=long_enough, algorithm="HS512")) == "untrusted"


@pytest.mark.parametrize("headers", [{"kid": "other"}, {"crit": ["exp"]}, {"kid": ""}])
def test_a_header_that_is_not_understood_is_refused(door, issuer, headers):
    assert problem(door, issuer.token(headers=headers)) == "untrusted"


def test_a_token_without_key_id_goes_with_the_only_key(door, issuer):
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    assert door.person(f"Bearer {jwt.encode(claims, issuer.key, algorithm='ES256')}")


def test_a_changed_token_is_refused(door, issuer):
    header, payload, signature = issuer.token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    changed = base64.urlsafe_b64encode(json.dumps({**claims, "all_stores": True}).encode()).rstrip(b"=").decode()
    assert problem(door, f"{header}.{changed}.{signature}") == "untrusted"


def test_a_token_that_was_seen_is_not_verified_again_and_still_ends(door, issuer, clock, monkeypatch):
    token = issuer.token(exp=int(time.time()) + 60)
    person = door.person(f"Bearer {token}")
    monkeypatch.setattr(jwt, "decode", None)
    assert door.person(f"Bearer {token}") is person
    monkeypatch.undo()
    clock.by_s = 66
    assert problem(door, token) == "expired"
    assert problem(door, token) == "expired"


def test_only_so_many_tokens_are_remembered_the_latest_used(tmp_path, clock, issuer):
    door = door_of(tmp_path, clock, issuer, cached_at_most=2)
    first, second, third = (issuer.token(jti=str(number)) for number in range(3))
    people = [door.person(f"Bearer {token}") for token in (first, second)]
    assert door.person(f"Bearer {first}") is people[0]
    door.person(f"Bearer {third}")
    assert door.person(f"Bearer {first}") is people[0]
    assert door.person(f"Bearer {second}") is not people[1]


def test_new_keys_are_taken_and_old_tokens_end_with_theirs(door, issuer, clock):
    old = issuer.token()
    assert door.person(f"Bearer {old}")
    issuer.make_key()
    new = issuer.token()
    assert door.person(f"Bearer {old}")  # not looked yet
    clock.by_s = 3
    assert problem(door, old) == "untrusted"
    assert door.person(f"Bearer {new}")


def test_files_that_break_change_nothing_and_are_told_once(door, issuer, clock, tmp_path, caplog):
    token = issuer.token()
    (tmp_path / "ES256.jwks.json").write_text("{")
    for _ in range(3):
        clock.by_s += 3
        assert door.person(f"Bearer {token}")
    assert len([record for record in caplog.records if record.exc_info]) == 1
    (tmp_path / "ES256.jwks.json").unlink()
    clock.by_s += 3
    assert door.person(f"Bearer {issuer.token(jti='x')}")
    issuer.make_key()
    clock.by_s += 3
    assert door.person(f"Bearer {issuer.token()}")


def test_a_file_is_looked_at_only_now_and_then(door, issuer, clock, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "stat", lambda *args, **options: seen.append(args))
    for _ in range(100):
        door.person(f"Bearer {issuer.token()}")
    assert seen == []


def entry(**changes):
    return {"issuer": "a", "audience": "venus", "algorithm": "ES256", "jwks_file": "ES256.jwks.json", **changes}


@pytest.mark.parametrize(
    "entries",
    [
        [],
        {},
        [entry(algorithm="none")],
        [entry(algorithm="RS256")],
        [entry(algorithm="HS256")],
        [entry(secret_file="secret")],
        [entry(jwks_file=None)],
        [entry(issuer="")],
        [entry(audience="")],
        [entry(leeway_s=3600)],
        [entry(extra=1)],
        [entry(), entry()],
        [entry(algorithm="EdDSA")],
        [entry(algorithm="HS256", jwks_file=None, secret_file="short")],
        [entry(jwks_file="private.json")],
        [entry(jwks_file="shared.json")],
        [entry(jwks_file="list.json")],
        [entry(jwks_file="broken.json")],
    ],
)
def test_an_issuers_file_that_is_not_safe_is_refused(tmp_path, issuer, entries):
    (tmp_path / "short").write_bytes(b"guess me")
    (tmp_path / "list.json").write_text("[]")
    public = json.loads((tmp_path / "ES256.jwks.json").read_text())["keys"][0]
    private = jwt.get_algorithm_by_name("ES256").to_jwk(issuer.key, as_dict=True)
    (tmp_path / "private.json").write_text(json.dumps({"keys": [private]}))
    (tmp_path / "shared.json").write_text(json.dumps({"keys": [public, {"kty": "oct", "k": "AAAA"}]}))
    (tmp_path / "broken.json").write_text(json.dumps({"keys": [{**public, "x": "AA"}]}))
    file = tmp_path / "issuers.json"
    file.write_text(json.dumps(entries))
    with pytest.raises(ValueError, match=r".+"):
        Issuers(file, time.monotonic)


def test_a_key_file_that_is_not_there_stops_the_start(tmp_path):
    file = tmp_path / "issuers.json"
    file.write_text(json.dumps([entry(jwks_file="nowhere.json")]))
    with pytest.raises(OSError, match="nowhere"):
        Issuers(file, time.monotonic)
