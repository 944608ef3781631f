from datetime import date
from uuid import UUID

import pytest

from services.inventory.domain.opening import KnownOpening, Opened, Opening, open_pools
from services.inventory.domain.stock import Line
from tests.unit.inventory.shelf import LIVE, NOON, SKIN, book, live, skin, skinless
from venus_kit.errors import IdempotencyMismatch, InvalidRequest, Refusal

TODAY = date(2026, 1, 5)


def opening(*lines: Line) -> Opening:
    return Opening((1, UUID(int=1)), lines, "manager-1", "a" * 32)


def test_pools_start_with_their_balance_and_nothing_moves_for_an_empty_one() -> None:
    shelf = book()

    opened = open_pools(shelf, opening(skin(10_000), live(0, 0)), (), TODAY)

    assert isinstance(opened, Opened)
    assert [(one.pool, one.on_hand_grams, one.sequence) for one in opened.levels] == [(LIVE, 0, 0), (SKIN, 10_000, 1)]
    assert len(shelf.movements) == 1


def test_a_pool_opens_once_in_a_batch_too() -> None:
    shelf = book()
    open_pools(shelf, opening(skin(10_000)), (), TODAY)

    for second in (
        open_pools(shelf, opening(skinless(1), skin(1)), (), TODAY),
        open_pools(book(), opening(skinless(1), skin(1)), {SKIN}, TODAY),
    ):
        assert isinstance(second, Refusal)
        assert (second.reason, second.metadata["inventory_type"]) == ("POOL_ALREADY_OPEN", "SKIN")
    assert list(shelf.levels) == [SKIN]


def test_a_repeat_is_answered_from_what_was_booked() -> None:
    one = opening(skin(10_000), live(9_000, 4))
    first = open_pools(book(), one, (), TODAY)
    known = KnownOpening(one.fingerprint, one.lines, NOON)

    assert isinstance(first, Opened)
    assert known.answer_to(opening(live(9_000, 4), skin(10_000))) == Opened(first.levels, replayed=True)
    assert known.answer_to(opening(skin(10_000))) == IdempotencyMismatch()


def test_a_pool_named_twice_is_refused_by_its_place() -> None:
    with pytest.raises(InvalidRequest) as caught:
        opening(skin(1), live(1, 1), skin(2)).check()

    assert [violation.field for violation in caught.value.violations] == ["balances[2]"]
