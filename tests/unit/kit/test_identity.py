"""A service speaks only for itself, and only the gateway speaks for people."""

import time
from types import SimpleNamespace
from typing import Any

import jwt
import pytest

from venus_kit.access import Person
from venus_kit.errors import NotSignedIn
from venus_kit.identity import (
    ASSERTION_AUDIENCE,
    SERVICE_AUDIENCE,
    AssertionSigner,
    AssertionVerifier,
    PublicKeys,
    ServiceIdentity,
    ServiceVerifier,
)
from venus_kit.testing import ServiceKeys

LIFETIME_S, LEEWAY_S = 300, 30
CASHIER = Person(
    "cashier-1",
    permissions=frozenset({"sales.create", "sales.view"}),
    store_ids=frozenset({1, 2}),
    device_id="till-7",
)
OWNER = Person("owner", permissions=frozenset({"sales.view"}), all_stores=True)


@pytest.fixture
def public(identities: ServiceKeys) -> PublicKeys:
    return PublicKeys.read(identities.jwks_file)


def identity(keys: ServiceKeys, name: str, *, key_of: str = "") -> ServiceIdentity:
    return ServiceIdentity(name, keys.key_files[key_of or name].read_bytes())


def test_a_service_is_known_by_its_key(identities: ServiceKeys, public: PublicKeys) -> None:
    verifier = ServiceVerifier(public)
    assert verifier.service(identity(identities, "sales").token()) == "sales"
    assert verifier.service(identity(identities, "orchestrator").token()) == "orchestrator"


def test_the_gateway_vouches_for_all_that_a_person_is(identities: ServiceKeys, public: PublicKeys) -> None:
    signer, verifier = AssertionSigner(identity(identities, "gateway")), AssertionVerifier(public)
    for person in (CASHIER, OWNER):
        assert verifier.person(signer.assertion(person)) == person


def test_no_other_service_can_vouch_for_a_person(identities: ServiceKeys, public: PublicKeys) -> None:
    for forger in (identity(identities, "sales"), identity(identities, "gateway", key_of="sales")):
        with pytest.raises(NotSignedIn):
            AssertionVerifier(public).person(AssertionSigner(forger).assertion(OWNER))


def test_a_service_cannot_speak_in_the_name_of_another(identities: ServiceKeys, public: PublicKeys) -> None:
    for forged in (
        identity(identities, "gateway", key_of="sales").token(),
        signed(identities, "sales", iss="gateway"),
        signed(identities, "sales", kid="gateway", iss="gateway"),
    ):
        with pytest.raises(NotSignedIn):
            ServiceVerifier(public).service(forged)


def test_a_token_is_good_for_one_purpose_only(identities: ServiceKeys, public: PublicKeys) -> None:
    gateway = identity(identities, "gateway")
    with pytest.raises(NotSignedIn):
        ServiceVerifier(public).service(AssertionSigner(gateway).assertion(CASHIER))
    with pytest.raises(NotSignedIn):
        AssertionVerifier(public).person(gateway.token())


def test_what_is_no_proof_is_refused(identities: ServiceKeys, public: PublicKeys) -> None:
    stranger = ServiceIdentity("stranger", identities.key_files["sales"].read_bytes())
    for token in (
        "",
        "three.small.words",
        stranger.token(),
        signed(identities, "sales", exp=None),
        signed(identities, "sales", aud=None),
        jwt.encode(claims("sales"), "", algorithm="none", headers={"kid": "sales"}),
    ):
        with pytest.raises(NotSignedIn):
            ServiceVerifier(public).service(token)


def test_an_expired_token_is_refused_also_where_it_was_good_before(identities: ServiceKeys, public: PublicKeys) -> None:
    """Seconds are whole in a token, so the end is one to two of them away."""
    ends_at_s = int(time.time()) + 2
    began_at_s = ends_at_s - LIFETIME_S - LEEWAY_S
    service = identity(identities, "gateway").sign({"aud": SERVICE_AUDIENCE}, began_at_s).token
    person = signed(identities, "gateway", aud=ASSERTION_AUDIENCE, exp=ends_at_s - LEEWAY_S, **person_claims())
    services, people = ServiceVerifier(public), AssertionVerifier(public)
    assert services.service(service) == "gateway"
    assert people.person(person).subject == "cashier-1"
    time.sleep(ends_at_s - time.time() + 0.05)
    with pytest.raises(NotSignedIn):
        services.service(service)
    with pytest.raises(NotSignedIn):
        people.person(person)


def test_tokens_are_signed_once_and_anew_before_they_end(
    identities: ServiceKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = identity(identities, "gateway")
    people = AssertionSigner(service)
    started_s = time.time()

    def told(after_s: float) -> tuple[str, str]:
        monkeypatch.setattr("venus_kit.identity.time", SimpleNamespace(time=lambda: started_s + after_s))
        return service.token(), people.assertion(CASHIER)

    first = told(0)
    assert told(LIFETIME_S - 61) == first
    anew = told(LIFETIME_S - 59)
    assert anew[0] != first[0]
    assert anew[1] != first[1]
    assert people.assertion(OWNER) != anew[1]


def claims(iss: str) -> dict[str, Any]:
    return {"aud": SERVICE_AUDIENCE, "iss": iss, "exp": int(time.time()) + LIFETIME_S}


def person_claims() -> dict[str, Any]:
    return {"sub": "cashier-1", "permissions": [], "all_stores": False, "store_ids": [1], "device_id": ""}


def signed(keys: ServiceKeys, by: str, *, kid: str = "", **changed: Any) -> str:
    """A token with the key of `by`; claims that are None are left out."""
    told = {name: value for name, value in {**claims(by), **changed}.items() if value is not None}
    return jwt.encode(told, keys.key_files[by].read_bytes(), algorithm="EdDSA", headers={"kid": kid or by})
