from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from services.inventory.domain.allocation import allocate, sell_held, sell_unheld, short_pools
from services.inventory.domain.book import Reason
from services.inventory.domain.refusals import InsufficientStock
from services.inventory.domain.stock import Line, summed
from tests.unit.inventory.shelf import (
    LIVE,
    NOON,
    SALE,
    SKIN,
    SKINLESS,
    book,
    level,
    live,
    skin,
    skinless,
)

carts = st.lists(
    st.lists(
        st.one_of(
            st.builds(skin, st.integers(1, 500)),
            st.builds(skinless, st.integers(1, 500)),
            st.builds(live, st.integers(1, 500), st.integers(1, 9)),
        ),
        min_size=1,
        max_size=4,
    ).map(summed),
    max_size=20,
)


def test_two_carts_of_8_kg_on_10_kg_the_first_wins() -> None:
    shelf = book(level(SKIN, 10_000))

    answers = allocate(shelf, [(skin(8_000),), (skin(8_000),)])

    assert answers == [
        None,
        InsufficientStock(
            bird_type="BROILER",
            inventory_type="SKIN",
            available_grams=2_000,
            wanted_grams=8_000,
            available_birds=0,
            wanted_birds=0,
        ),
    ]


def test_a_refused_cart_takes_nothing_so_a_smaller_one_behind_it_fits() -> None:
    shelf = book(level(SKIN, 10_000), level(SKINLESS, 100))

    answers = allocate(shelf, [(skin(9_000), skinless(101)), (skin(10_000),), (skinless(100),)])

    assert [answer is None for answer in answers] == [False, True, True]


def test_60_and_60_kg_in_one_cart_are_refused_whole_with_95_kg_there() -> None:
    (answer,) = allocate(book(level(SKIN, 95_000)), [summed([skin(60_000), skin(60_000)])])

    assert answer is not None
    assert answer.metadata["wanted_grams"] == "120000"


@given(carts, st.integers(0, 2_000), st.integers(0, 30))
def test_nothing_is_held_beyond_what_is_there_and_all_that_fits_is(
    wanted: list[tuple[Line, ...]], grams: int, birds: int
) -> None:
    shelf = book(level(SKIN, grams), level(SKINLESS, grams // 2), level(LIVE, grams, 0, birds))
    together_is_too_much = bool(short_pools(shelf, wanted))

    answers = allocate(shelf, wanted)

    held = summed(line for cart, answer in zip(wanted, answers, strict=True) if answer is None for line in cart)
    assert {(line.pool, line.weight_grams, line.bird_count) for line in held} == {
        (one.pool, one.held_grams, one.held_birds) for one in shelf.levels.values() if one.is_held
    }
    for one in shelf.levels.values():
        assert one.available_grams >= 0
        assert one.available_birds >= 0
    assert any(answers) == together_is_too_much


def test_short_pools_are_those_that_cannot_serve_all_together() -> None:
    shelf = book(level(SKIN, 10_000), level(SKINLESS, 10_000), level(LIVE, 10_000, 0, 3))

    together = [(skin(6_000), skinless(5_000)), (live(1, 2), skin(6_000)), (live(1, 2),)]

    assert short_pools(shelf, together) == [LIVE, SKIN]


def test_what_is_held_is_sold_from_its_hold() -> None:
    shelf = book(level(SKIN, 10_000, held=10_000))

    sell_held(shelf, [skin(4_000)], SALE)

    after = shelf.levels[SKIN]
    assert (after.on_hand_grams, after.held_grams, after.sequence) == (6_000, 6_000, 2)
    (movement,) = shelf.movements
    assert (movement.change, movement.after, movement.occasion) == (skin(-4_000), after, SALE)


def test_what_lacks_is_credited_before_it_is_sold() -> None:
    shelf = book(level(LIVE, 10_000, held=7_000, birds=5, held_birds=5), level(SKIN, 1_000))

    corrections = sell_unheld(shelf, [live(8_000, 2), skin(1_000)], SALE)

    assert corrections == [(live(5_000, 2), 2)]
    assert [(one.occasion.reason, one.change, one.after.sequence) for one in shelf.movements] == [
        (Reason.OVERSALE_CORRECTION, live(5_000, 2), 2),
        (Reason.SALE, live(-8_000, -2), 3),
        (Reason.SALE, skin(-1_000), 2),
    ]
    assert shelf.movements[0].occasion == replace(SALE, reason=Reason.OVERSALE_CORRECTION)
    after = shelf.levels[LIVE]
    assert (after.available_grams, after.held_grams, after.available_birds, after.held_birds) == (0, 7_000, 0, 5)


def test_only_changed_levels_are_written() -> None:
    shelf = book(level(SKIN, 10_000), level(SKINLESS, 10_000))

    shelf.hold([skin(1), skinless(1)])
    shelf.free([skinless(1)])

    assert [one.pool for one in shelf.changed] == [SKIN]
    assert shelf.locked_at == NOON
