"""The verbs of the stock book: many items, one transaction, one outcome each.

Each begins by taking the ids, in one order: the id decides before anything else. Then pools are locked, in one order.
What is refused leaves no row behind, so that a repeat cannot take it for done.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from services.inventory.domain.adjustment import Adjusted, Adjustment, adjust
from services.inventory.domain.allocation import allocate, sell_held, sell_unheld, short_pools
from services.inventory.domain.book import Book, Occasion, Reason
from services.inventory.domain.opening import Opened, Opening, open_pools
from services.inventory.domain.refusals import ReservationNotFound
from services.inventory.domain.reservation import (
    Commit,
    Committed,
    Held,
    Key,
    Release,
    Released,
    Reservation,
    State,
    Wanted,
    known_answer,
    known_commit,
    known_release,
    renewed,
)
from services.inventory.domain.stock import Level, Line, Pool
from services.inventory.domain.store_facts import StoreFacts
from services.inventory.store import Tx
from venus_kit.errors import IdempotencyMismatch, Refusal, StoreNotFound


class Keyed(Protocol):
    """Anything that a caller names by store and id."""

    @property
    def key(self) -> Key:
        """Store and id."""
        ...


AnyKeyed = TypeVar("AnyKeyed", bound=Keyed)


async def reserve_stock(tx: Tx, wanted: Sequence[Wanted]) -> list[Held | Refusal]:
    """Hold all lines of each item or none of them."""
    asked = _first_of_each(wanted)
    answers: dict[Key, Held | Refusal] = {}
    new = await tx.insert_reservations(list(asked.values()))
    lapsed = await _ask_known(tx, asked, asked.keys() - new.keys(), answers)
    book = await tx.lock_stock(_pools(line for key, one in asked.items() if key not in answers for line in one.lines))
    # What ran out could still end, or be held again, until its pools were locked.
    lapsed = await _ask_known(tx, asked, lapsed.keys(), answers)

    # A hold that ran out but was not reclaimed still has its stock; all others must find theirs.
    carts = {
        key: one.lines
        for key, one in asked.items()
        if key in new or (key in lapsed and lapsed[key].state is State.EXPIRED)
    }
    book.free(await tx.reclaim_holds(short_pools(book, carts.values()), book, repeated=lapsed))
    shortages = zip(carts, allocate(book, list(carts.values())), strict=True)
    answers |= {key: shortage for key, shortage in shortages if shortage is not None}

    await tx.delete_reservations([key for key in new if key in answers])
    await tx.insert_lines([asked[key] for key in new if key not in answers])
    until = await tx.renew_holds([asked[key] for key in lapsed if key not in answers])
    await tx.save(book)
    answers |= {key: Held(reservation) for key, reservation in new.items() if key not in answers}
    answers |= {key: Held(renewed(lapsed[key], hold_until)) for key, hold_until in until.items()}
    return [_answer_to_twin(one, asked[one.key], answers[one.key]) for one in wanted]


async def _ask_known(
    tx: Tx, asked: Mapping[Key, Wanted], keys: Iterable[Key], answers: dict[Key, Held | Refusal]
) -> dict[Key, Reservation]:
    """Answer what the id alone decides; what comes back are holds that ran out."""
    known = await tx.find_reservations(list(keys))
    for key, reservation in known.items():
        answer = known_answer(asked[key], reservation)
        if answer is not None:
            answers[key] = answer
    return {key: reservation for key, reservation in known.items() if key not in answers}


def _answer_to_twin(one: Wanted, first: Wanted, answer: Held | Refusal) -> Held | Refusal:
    """Items with one id get one answer; the first of them said what the id stands for."""
    if one is first or one.fingerprint == first.fingerprint:
        return answer
    return IdempotencyMismatch()


async def release_stock(tx: Tx, releases: Sequence[Release]) -> list[Released | Refusal]:
    """Give back what is held; what never came is refused for ever."""
    tombstones = await tx.insert_tombstones(list(_first_of_each(releases).values()))
    known = await tx.find_reservations({one.key for one in releases} - tombstones)
    answers: dict[Key, Released | Refusal] = {key: Released() for key in tombstones}
    # Two services may name one id: each is judged by itself, and the first with the right to it acts.
    asked = _first_of_each(one for one in releases if one.key in known and known[one.key].refuses(one.holder) is None)
    answers |= _released(asked, known)

    ending = {key: known[key] for key in asked if key not in answers}
    book = await tx.lock_stock(_pools(line for reservation in ending.values() for line in reservation.lines))
    was = await tx.release_reservations(ending.keys())
    for key, state in was.items():
        if state is State.HELD:
            book.free(known[key].lines)
        answers[key] = Released()
    answers |= _released(asked, await tx.find_reservations(ending.keys() - was.keys()))  # somebody else was faster
    await tx.save(book)
    return [(known[one.key].refuses(one.holder) if one.key in known else None) or answers[one.key] for one in releases]


def _released(asked: Mapping[Key, Release], known: Mapping[Key, Reservation]) -> dict[Key, Released | Refusal]:
    answers = {key: known_release(one, known[key]) for key, one in asked.items() if key in known}
    return {key: answer for key, answer in answers.items() if answer is not None}


async def commit_stock(tx: Tx, commits: Sequence[Commit]) -> list[Committed | Refusal]:
    """Take held goods out of the book; those whose hold ran out too, for they are gone already."""
    known = await tx.find_reservations({one.key for one in commits})
    asked = _first_of_each(one for one in commits if one.key in known and known[one.key].refuses(one.holder) is None)
    answers = _committed(asked, known)

    ending = [one for key, one in asked.items() if key not in answers]
    book = await tx.lock_stock(_pools(line for one in ending for line in known[one.key].lines))
    was = await tx.commit_reservations(ending)
    late = [known[key].lines for key, state in was.items() if state is State.EXPIRED]
    book.free(await tx.reclaim_holds(short_pools(book, late), book))
    oversales: list[tuple[Key, Line, int]] = []
    for one in ending:
        if one.key in was:
            answers[one.key] = _sell(book, one, known[one.key], was[one.key], oversales)
    answers |= _committed(asked, await tx.find_reservations([one.key for one in ending if one.key not in was]))
    await tx.save(book)
    await tx.insert_oversales(oversales)

    before = [key for key, answer in answers.items() if isinstance(answer, Committed) and not answer.booked]
    for key, corrections in (await tx.list_oversales(before)).items():
        answers[key] = Committed(corrections)
    return [_answer_to_commit(one, known, answers) for one in commits]


def _committed(asked: Mapping[Key, Commit], known: Mapping[Key, Reservation]) -> dict[Key, Committed | Refusal]:
    answers = {key: known_commit(one, known[key]) for key, one in asked.items() if key in known}
    return {key: answer for key, answer in answers.items() if answer is not None}


def _sell(
    book: Book, commit: Commit, reservation: Reservation, was: State, oversales: list[tuple[Key, Line, int]]
) -> Committed:
    occasion = Occasion(Reason.SALE, str(commit.key[1]), commit.business_date, commit.actor, commit.trace_id)
    booked = len(book.movements)
    corrections: list[tuple[Line, int]] = []
    if was is State.HELD:
        sell_held(book, reservation.lines, occasion)
    else:
        corrections = sell_unheld(book, reservation.lines, occasion)
    oversales += [(commit.key, line, sequence) for line, sequence in corrections]
    return Committed(
        corrections=tuple(line for line, _ in corrections),
        booked=tuple(movement.occasion.reason for movement in book.movements[booked:]),
    )


def _answer_to_commit(
    one: Commit, known: Mapping[Key, Reservation], answers: Mapping[Key, Committed | Refusal]
) -> Committed | Refusal:
    if one.key not in known:
        return ReservationNotFound()
    return known[one.key].refuses(one.holder) or answers[one.key]


async def get_reservation(tx: Tx, keys: Sequence[Key]) -> list[Reservation | Refusal]:
    """Reservations as they stand."""
    known = await tx.find_reservations(set(keys))
    return [known.get(key) or ReservationNotFound() for key in keys]


async def get_stock(tx: Tx, store_ids: Sequence[int]) -> list[tuple[Level, ...] | Refusal]:
    """What stores have, pool by pool."""
    stores = await tx.list_stores(set(store_ids))
    levels = await tx.list_pools(set(store_ids))
    return [
        tuple(level for level in levels if level.pool.store_id == store_id)
        if store_id in stores
        else StoreNotFound(store_id=store_id)
        for store_id in store_ids
    ]


async def adjust_stock(tx: Tx, adjustments: Sequence[Adjustment]) -> list[Adjusted | Refusal]:
    """Correct pools, each by a difference or to what was counted."""
    asked = _first_of_each(adjustments)
    new = await tx.insert_adjustments(list(asked.values()))
    known = await tx.find_adjustments(asked.keys() - new)
    answers = {key: one.answer_to(asked[key]) for key, one in known.items()}

    stores = await tx.list_stores({store_id for store_id, _ in new})
    counted = {asked[key].pool for key in new}
    book = await tx.lock_stock(counted)
    book.free(await tx.reclaim_holds(counted & book.levels.keys(), book))
    for key in (key for key in asked if key in new):  # in the order in which they came
        store = stores.get(key[0])
        answers[key] = (
            adjust(book, asked[key], store.business_date(book.locked_at)) if store else StoreNotFound(store_id=key[0])
        )
    await tx.delete_adjustments([key for key in new if isinstance(answers[key], Refusal)])
    made = {key: answers[key] for key in new}
    await tx.answer_adjustments({key: answer for key, answer in made.items() if isinstance(answer, Adjusted)})
    await tx.save(book)
    return [
        answers[one.key] if one.fingerprint == asked[one.key].fingerprint else IdempotencyMismatch()
        for one in adjustments
    ]


async def open_stock(tx: Tx, openings: Sequence[Opening]) -> list[Opened | Refusal]:
    """Book what stores start with, once per pool."""
    asked = _first_of_each(openings)
    new = await tx.insert_openings(list(asked.values()))
    known = await tx.find_openings(asked.keys() - new)
    answers: dict[Key, Opened | Refusal] = {key: one.answer_to(asked[key]) for key, one in known.items()}

    locked = await tx.lock_stores({store_id for store_id, _ in new})
    already_open = {level.pool for level in await tx.list_pools(locked.stores.keys())}
    book = Book((), locked.locked_at)
    for key in (key for key in asked if key in new):
        store = locked.stores.get(key[0])
        answers[key] = (
            open_pools(book, asked[key], already_open, store.business_date(locked.locked_at))
            if store
            else StoreNotFound(store_id=key[0])
        )
    await tx.delete_openings([key for key in new if isinstance(answers[key], Refusal)])
    await tx.insert_pools(book.levels.keys(), locked.locked_at)
    await tx.save(book)
    await tx.insert_opening_lines([asked[key] for key in new if isinstance(answers[key], Opened)])
    return [
        answers[one.key] if one.fingerprint == asked[one.key].fingerprint else IdempotencyMismatch() for one in openings
    ]


async def apply_store_facts(tx: Tx, facts: Sequence[StoreFacts]) -> list[int]:
    """Take over what the sales service says of stores; answers the versions now in force."""
    newest: dict[int, StoreFacts] = {}
    for one in facts:
        if one.store_id not in newest or newest[one.store_id].version < one.version:
            newest[one.store_id] = one
    await tx.apply_store_facts(newest.values())
    stores = await tx.list_stores(newest.keys())
    return [stores[one.store_id].version for one in facts]


def _first_of_each(items: Iterable[AnyKeyed]) -> dict[Key, AnyKeyed]:
    """The first item of each id, in the order in which they came."""
    first: dict[Key, AnyKeyed] = {}
    for item in items:
        first.setdefault(item.key, item)
    return first


def _pools(lines: Iterable[Line]) -> set[Pool]:
    return {line.pool for line in lines}
