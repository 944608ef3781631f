from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID

import pytest

from services.inventory.domain.refusals import (
    ReservationCommitted,
    ReservationNotYours,
    ReservationReleased,
)
from services.inventory.domain.reservation import (
    DEFAULT_TTL,
    Commit,
    Committed,
    Held,
    Release,
    Released,
    Reservation,
    State,
    Wanted,
    known_answer,
    known_commit,
    known_release,
)
from services.inventory.domain.stock import summed
from tests.unit.inventory.shelf import NOON, live, skin, skinless
from venus_kit.errors import IdempotencyMismatch, Refusal

KEY = (1, UUID(int=1))
WANTED = Wanted(KEY, summed([skin(2_500), live(1_000, 1)]), DEFAULT_TTL, "orchestrator", "cashier-1", "a" * 32)
RELEASE = Release(KEY, "orchestrator", "cashier-1", "a" * 32)
COMMIT = Commit(KEY, date(2026, 1, 5), "orchestrator", "cashier-1", "a" * 32)
HELD = Reservation(KEY, State.HELD, WANTED.fingerprint, WANTED.lines, NOON, False, "orchestrator", NOON)
TOMBSTONE = Reservation(KEY, State.RELEASED, None, (), None, False, "sales", NOON)


def test_the_fingerprint_is_of_the_goods_and_the_holder_only() -> None:
    same = replace(WANTED, ttl=timedelta(days=1), actor="cashier-2", trace_id="b" * 32)
    reordered = replace(WANTED, lines=summed([live(500, 0), skin(2_000), live(500, 1), skin(500)]))

    assert same.fingerprint == reordered.fingerprint == WANTED.fingerprint
    for other in (
        replace(WANTED, lines=summed([skin(2_500)])),
        replace(WANTED, lines=summed([skin(2_500), live(1_000, 2)])),
        replace(WANTED, lines=summed([skinless(2_500), live(1_000, 1)])),
        replace(WANTED, holder="sales"),
    ):
        assert other.fingerprint != WANTED.fingerprint


@pytest.mark.parametrize(
    ("known", "answer"),
    [
        (HELD, Held(HELD, replayed=True)),
        (replace(HELD, ran_out=True), None),
        (replace(HELD, state=State.EXPIRED, ran_out=True), None),
        (replace(HELD, state=State.COMMITTED, ran_out=True), "done"),
        (replace(HELD, state=State.RELEASED), ReservationReleased()),
        (replace(HELD, fingerprint=b"other"), IdempotencyMismatch()),
        (replace(HELD, fingerprint=b"other", state=State.RELEASED), IdempotencyMismatch()),
        (TOMBSTONE, ReservationReleased()),
    ],
)
def test_what_the_id_alone_answers_to_a_reserve(known: Reservation, answer: Held | Refusal | str | None) -> None:
    assert known_answer(WANTED, known) == (Held(known, replayed=True) if answer == "done" else answer)


@pytest.mark.parametrize(
    ("known", "answer"),
    [
        (HELD, None),
        (replace(HELD, state=State.EXPIRED), None),
        (replace(HELD, state=State.RELEASED), Released(replayed=True)),
        (replace(HELD, state=State.COMMITTED), ReservationCommitted()),
        (replace(HELD, holder="sales"), ReservationNotYours()),
        (replace(HELD, holder="sales", state=State.RELEASED), ReservationNotYours()),
        (TOMBSTONE, Released(replayed=True)),
    ],
)
def test_what_the_row_alone_answers_to_a_release(known: Reservation, answer: Released | Refusal | None) -> None:
    assert known_release(RELEASE, known) == answer


@pytest.mark.parametrize(
    ("known", "answer"),
    [
        (HELD, None),
        (replace(HELD, state=State.EXPIRED), None),
        (replace(HELD, state=State.COMMITTED), Committed()),
        (replace(HELD, state=State.RELEASED), ReservationReleased()),
        (replace(HELD, holder="sales"), ReservationNotYours()),
        (TOMBSTONE, ReservationReleased()),
    ],
)
def test_what_the_row_alone_answers_to_a_commit(known: Reservation, answer: Committed | Refusal | None) -> None:
    assert known_commit(COMMIT, known) == answer
