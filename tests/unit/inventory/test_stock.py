from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.inventory.domain.stock import BirdType, InventoryType, Line, Pool, summed
from tests.unit.inventory.shelf import LIVE, NOON, SKIN, SKINLESS, level, live, skin, skinless

pools = st.builds(Pool, st.integers(1, 2), st.sampled_from(BirdType), st.sampled_from(InventoryType))
lines = st.lists(st.builds(Line, pools, st.integers(0, 1000), st.integers(0, 5)))


def test_lines_of_one_pool_are_added_up_and_sorted() -> None:
    assert summed([skinless(5), skin(60_000), live(10, 1), skin(60_000), live(20, 2)]) == (
        live(30, 3),
        skin(120_000),
        skinless(5),
    )


@given(lines)
def test_adding_up_loses_nothing_whatever_the_order(some: list[Line]) -> None:
    total = summed(some)

    assert total == summed(reversed(some))
    assert summed(total) == total
    assert len({line.pool for line in total}) == len(total)
    assert sum(line.weight_grams for line in total) == sum(line.weight_grams for line in some)
    assert sum(line.bird_count for line in total) == sum(line.bird_count for line in some)


def test_what_lacks_is_told_in_kilograms_and_birds_apart() -> None:
    pool = level(LIVE, grams=10_000, held=4_000, birds=5, held_birds=3)

    assert pool.lacks(live(6_000, 2)).is_nothing
    assert pool.lacks(live(6_001, 2)) == live(1, 0)
    assert pool.lacks(live(1, 4)) == live(0, 2)


def test_a_movement_takes_the_next_number_and_never_an_earlier_time() -> None:
    before = level(SKIN, 10_000, held=1_000)

    after = before.moved(skin(-2_000), NOON - timedelta(minutes=1))

    assert (after.on_hand_grams, after.held_grams, after.sequence) == (8_000, 1_000, 2)
    assert after.last_moved_at == NOON
    assert after.moved(skin(1), NOON + timedelta(minutes=1)).last_moved_at == NOON + timedelta(minutes=1)


def test_only_live_counts_birds() -> None:
    assert [pool.counts_birds for pool in (LIVE, SKIN, SKINLESS)] == [True, False, False]
