"""Ids and fingerprints."""

import hashlib
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venus_kit.ids import derive, fingerprint, new_id

SALE = UUID("0199f5a0-0000-7000-8000-000000000001")


@dataclass(frozen=True, slots=True)
class Line:
    sku: str
    weight_grams: int


def test_a_derived_id_is_the_same_every_time_and_another_for_each_verb() -> None:
    assert derive(SALE, "post_entry") == derive(SALE, "post_entry")
    assert derive(SALE, "post_entry") != derive(SALE, "void_entry")
    assert derive(SALE, "post_entry").version == 5


def test_derived_ids_never_change_between_releases() -> None:
    assert str(derive(SALE, "post_entry")) == "95f717fa-8f2e-5f5f-a908-119cdc582d1d"


def test_a_new_id_is_a_uuid_of_version_7_that_tells_its_time() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id()
    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000


def test_new_ids_sort_by_the_time_they_were_made() -> None:
    made: list[UUID] = []
    for _ in range(200):
        made.append(new_id())
        time.sleep(0.000_01)
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_a_fingerprint_begins_with_its_version_and_is_33_bytes() -> None:
    assert fingerprint(2, "a")[0] == 2
    assert len(fingerprint(2, "a")) == 33
    assert fingerprint(1, "a") != fingerprint(2, "a")


def test_fingerprints_never_change_between_releases() -> None:
    parts = (SALE, "SALE_TYPE_POS", [Line("BRO-SKIN", 2500)], {"b": None, "a": date(2026, 1, 5)}, True)
    canonical = (
        b'["0199f5a0-0000-7000-8000-000000000001","SALE_TYPE_POS",[{"sku":"BRO-SKIN","weight_grams":2500}],'
        b'{"a":"2026-01-05","b":null},true]'
    )
    assert fingerprint(1, *parts) == b"\x01" + hashlib.sha256(canonical).digest()


def test_the_order_of_keys_does_not_count_and_the_order_of_parts_does() -> None:
    assert fingerprint(1, {"a": 1, "b": 2}) == fingerprint(1, {"b": 2, "a": 1})
    assert fingerprint(1, "a", "b") != fingerprint(1, "b", "a")
    assert fingerprint(1, ["a", "b"]) != fingerprint(1, ["a"], "b")
    assert fingerprint(1, "ab", "") != fingerprint(1, "a", "b")


@pytest.mark.parametrize("part", [1.5, [1.0], {"weight": 2.5}, ((("deep", [0.1]),),)])
def test_a_float_is_refused_however_deep_it_hides(part: object) -> None:
    with pytest.raises(TypeError, match="floats"):
        fingerprint(1, part)


def test_what_has_no_canonical_form_is_refused() -> None:
    with pytest.raises(TypeError):
        fingerprint(1, {1, 2})
    with pytest.raises(ValueError, match="256"):
        fingerprint(256, "a")


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), st.lists, max_leaves=8))
def test_tuples_and_lists_are_the_same_to_a_fingerprint(part: object) -> None:
    frozen = tuple(part) if isinstance(part, list) else part  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    assert fingerprint(1, part) == fingerprint(1, frozen)


def test_equal_instants_in_utc_are_equal_parts() -> None:
    assert fingerprint(1, datetime(2026, 1, 5, 9, tzinfo=UTC)) == fingerprint(1, datetime(2026, 1, 5, 9, tzinfo=UTC))
