import importlib
import pkgutil
from collections import defaultdict
from collections.abc import Iterator

import services
import venus_kit
from tests.contract.declared import rpcs
from venus_kit.errors import Refusal, ToldRefusal

# The gateway has no proto: what it refuses by itself stands in its own docs.
WITHOUT_PROTO = {"gateway"}


def _refusals() -> list[type[Refusal]]:
    """Every refusal that the suite can give, after importing all of it."""
    for package in (services, venus_kit):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(".__main__"):
                importlib.import_module(module.name)
    ours = (c for c in _below(Refusal) if c.__module__.startswith(("services.", "venus_kit.")))
    return sorted((c for c in ours if c is not ToldRefusal), key=lambda c: (c.__module__, c.__name__))


def _below(parent: type[Refusal]) -> Iterator[type[Refusal]]:
    for child in parent.__subclasses__():
        yield child
        yield from _below(child)


def _reason(refusal: type[Refusal]) -> str:
    return refusal.__new__(refusal).reason


def _package(refusal: type[Refusal]) -> str:
    """`ledger` for what the ledger defines, `venus_kit` for the kit."""
    return refusal.__module__.split(".")[1] if refusal.__module__.startswith("services.") else "venus_kit"


def test_what_a_service_refuses_stands_in_its_proto() -> None:
    told: dict[str, set[str]] = defaultdict(set)
    for rpc in rpcs():
        told[rpc.package.split(".")[1]] |= {reason for reason, _ in rpc.reasons}

    untold = [
        f"{refusal.__module__}.{refusal.__name__}"
        for refusal in _refusals()
        if (package := _package(refusal)) != "venus_kit"
        and package not in WITHOUT_PROTO
        and _reason(refusal) not in told[package] | told["orchestrator"]
    ]
    assert untold == []


def test_every_reason_in_a_proto_exists() -> None:
    known = {_reason(refusal) for refusal in _refusals()}

    unknown = {f"{rpc.full_name}: {reason}" for rpc in rpcs() for reason, _ in rpc.reasons if reason not in known}
    assert sorted(unknown) == []


def test_a_reason_has_one_code_in_protos_and_classes() -> None:
    codes: dict[str, set[str]] = defaultdict(set)
    for rpc in rpcs():
        for reason, code in rpc.reasons:
            codes[reason].add(code)
    for refusal in _refusals():
        codes[_reason(refusal)].add(refusal.kind.value)

    assert {reason: sorted(found) for reason, found in codes.items() if len(found) > 1} == {}


def test_a_refusal_says_its_fact_in_a_sentence() -> None:
    mute = [refusal.__name__ for refusal in _refusals() if not (refusal.__doc__ or "").strip().endswith(".")]

    assert mute == []
