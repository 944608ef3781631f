"""The cellar of the stock book: one typed method per named query, rows in and values out."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Final
from uuid import UUID

from asyncpg import Record

from services.inventory.domain.adjustment import Adjusted, Adjustment, KnownAdjustment
from services.inventory.domain.book import Book, Movement, Reason
from services.inventory.domain.opening import KnownOpening, Opening
from services.inventory.domain.reservation import Commit, Key, Release, Reservation, State, Wanted, fresh
from services.inventory.domain.stock import BirdType, InventoryType, Level, Line, Pool
from services.inventory.domain.store_facts import StoreFacts, StoreStatus
from venus_kit.postgres import Connection
from venus_kit.sql import Queries

_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LockedStores:
    """Stores under their lock, by id, and a time after the last lock was had."""

    stores: Mapping[int, StoreFacts]
    locked_at: datetime


class Tx:
    """One transaction of the stock book."""

    def __init__(self, sql: Queries, connection: Connection) -> None:
        """Speak `sql` over a connection whose transaction somebody else began and will end."""
        self._sql = sql
        self._connection = connection

    async def _fetch(self, name: str, *arguments: object) -> list[Record]:
        return await self._connection.fetch(self._sql[name], *arguments)

    # pools

    async def lock_stock(self, pools: Collection[Pool]) -> Book:
        """Lock pools, and those that must be locked with them, in the one order of the house."""
        if not pools:
            return Book((), _NEVER)
        rows = await self._fetch("lock_stock", *_pool_columns(pools))
        return Book([_level(row) for row in rows], max((row["locked_at"] for row in rows), default=_NEVER))

    async def save(self, book: Book) -> None:
        """Write what changed in the book: movements, then levels."""
        if book.movements:
            await self._insert_movements(book.movements)
        changed = book.changed
        if changed:
            await self._fetch(
                "save_levels",
                *_pool_columns([level.pool for level in changed]),
                [level.on_hand_grams for level in changed],
                [level.held_grams for level in changed],
                [level.on_hand_birds for level in changed],
                [level.held_birds for level in changed],
                [level.sequence for level in changed],
                [level.last_moved_at for level in changed],
            )

    async def _insert_movements(self, movements: Sequence[Movement]) -> None:
        await self._fetch(
            "insert_movements",
            *_pool_columns([movement.change.pool for movement in movements]),
            [movement.after.sequence for movement in movements],
            [movement.change.weight_grams for movement in movements],
            [movement.change.bird_count for movement in movements],
            [movement.after.on_hand_grams for movement in movements],
            [movement.after.on_hand_birds for movement in movements],
            [movement.occasion.reason for movement in movements],
            [movement.occasion.reference for movement in movements],
            [movement.occasion.business_date for movement in movements],
            [movement.occasion.actor for movement in movements],
            [movement.occasion.trace_id for movement in movements],
            [movement.after.last_moved_at for movement in movements],
        )

    async def insert_pools(self, pools: Collection[Pool], opened_at: datetime) -> None:
        """Open pools with nothing in them; IntegrityError when one is there."""
        if pools:
            await self._fetch("insert_pools", *_pool_columns(pools), [opened_at] * len(pools))

    async def list_pools(self, store_ids: Collection[int]) -> list[Level]:
        """What stores have, sorted; holds that ran out do not count."""
        return [_level(row) for row in await self._fetch("list_pools", list(store_ids))]

    # reservations

    async def insert_reservations(self, wanted: Sequence[Wanted]) -> dict[Key, Reservation]:
        """Take the ids; those that are new come back as held."""
        fingerprints = {one.key: one.fingerprint for one in wanted}
        rows = await self._fetch(
            "insert_reservations",
            *_key_columns([one.key for one in wanted]),
            list(fingerprints.values()),
            [one.ttl for one in wanted],
            [one.holder for one in wanted],
            [one.actor for one in wanted],
            [one.trace_id for one in wanted],
        )
        asked = {one.key: one for one in wanted}
        new = ((_reservation_key(row), row) for row in rows)
        return {key: fresh(asked[key], fingerprints[key], row["hold_until"], row["created_at"]) for key, row in new}

    async def insert_tombstones(self, releases: Sequence[Release]) -> set[Key]:
        """Take the ids of what never came; those that are new come back."""
        rows = await self._fetch(
            "insert_tombstones",
            *_key_columns([one.key for one in releases]),
            [one.holder for one in releases],
            [one.actor for one in releases],
            [one.trace_id for one in releases],
        )
        return {_reservation_key(row) for row in rows}

    async def find_reservations(self, keys: Collection[Key]) -> dict[Key, Reservation]:
        """Reservations with their lines; the state may change until their pools are locked."""
        if not keys:
            return {}
        rows = await self._fetch("find_reservations", *_key_columns(keys))
        return {key: _reservation(key, list(of_one)) for key, of_one in groupby(rows, _reservation_key)}

    async def insert_lines(self, wanted: Sequence[Wanted]) -> None:
        """Write what reservations hold."""
        lines = [(one.key, line) for one in wanted for line in one.lines]
        if lines:
            await self._fetch("insert_lines", *_line_columns(lines))

    async def renew_holds(self, wanted: Sequence[Wanted]) -> dict[Key, datetime]:
        """Hold again, each until the time that comes back."""
        if not wanted:
            return {}
        rows = await self._fetch("renew_holds", *_key_columns([one.key for one in wanted]), [one.ttl for one in wanted])
        return {_reservation_key(row): row["hold_until"] for row in rows}

    async def delete_reservations(self, keys: Collection[Key]) -> None:
        """Take back the rows of what was refused in this transaction."""
        if keys:
            await self._fetch("delete_reservations", *_key_columns(keys))

    async def release_reservations(self, keys: Collection[Key]) -> dict[Key, State]:
        """Release what has not ended; those that this ended come back with what they were."""
        return await self._end_reservations(keys, [None] * len(keys), State.RELEASED)

    async def commit_reservations(self, commits: Sequence[Commit]) -> dict[Key, State]:
        """Commit what has not ended; those that this ended come back with what they were."""
        dates = [one.business_date for one in commits]
        return await self._end_reservations([one.key for one in commits], dates, State.COMMITTED)

    async def _end_reservations(
        self, keys: Collection[Key], business_dates: Sequence[object], state: State
    ) -> dict[Key, State]:
        if not keys:
            return {}
        rows = await self._fetch("end_reservations", *_key_columns(keys), business_dates, state)
        return {_reservation_key(row): State(row["was"]) for row in rows}

    async def reclaim_holds(self, short: Collection[Pool], book: Book, repeated: Iterable[Key] = ()) -> list[Line]:
        """Expire holds that ran out in the `short` pools; what that frees, pool by pool.

        `repeated` are reservations that are being repeated right now: they keep what they still hold.
        """
        if not short:
            return []
        rows = await self._fetch(
            "reclaim_holds",
            *_pool_columns(short),
            *_pool_columns(book.levels.keys()),
            [reservation_id for _, reservation_id in repeated],
        )
        return [_line(row) for row in rows]

    async def insert_oversales(self, oversales: Sequence[tuple[Key, Line, int]]) -> None:
        """Keep what pools lacked, each with the number of its correction."""
        if oversales:
            lines = [(key, line) for key, line, _ in oversales]
            sequences = [sequence for _, _, sequence in oversales]
            await self._fetch("insert_oversales", *_line_columns(lines), sequences)

    async def list_oversales(self, keys: Collection[Key]) -> dict[Key, tuple[Line, ...]]:
        """What pools lacked when these were committed; most lacked nothing and are not in it."""
        if not keys:
            return {}
        rows = await self._fetch("list_oversales", *_key_columns(keys))
        return {key: tuple(_line(row) for row in of_one) for key, of_one in groupby(rows, _reservation_key)}

    # adjustments

    async def insert_adjustments(self, wanted: Sequence[Adjustment]) -> set[Key]:
        """Take the ids; those that are new come back."""
        rows = await self._fetch(
            "insert_adjustments",
            *_key_columns([one.key for one in wanted]),
            [one.fingerprint for one in wanted],
            [one.pool.bird_type for one in wanted],
            [one.pool.inventory_type for one in wanted],
            [one.reason for one in wanted],
            [one.note for one in wanted],
            [one.actor for one in wanted],
            [one.trace_id for one in wanted],
        )
        return {(row["store_id"], row["adjustment_id"]) for row in rows}

    async def find_adjustments(self, keys: Collection[Key]) -> dict[Key, KnownAdjustment]:
        """Corrections that were made before, with their first answers."""
        if not keys:
            return {}
        rows = await self._fetch("find_adjustments", *_key_columns(keys))
        return {(row["store_id"], row["adjustment_id"]): _known_adjustment(row) for row in rows}

    async def answer_adjustments(self, answers: Mapping[Key, Adjusted]) -> None:
        """Keep the first answers."""
        if not answers:
            return
        levels = [answer.level for answer in answers.values()]
        await self._fetch(
            "answer_adjustments",
            *_key_columns(answers.keys()),
            [answer.change.weight_grams for answer in answers.values()],
            [answer.change.bird_count for answer in answers.values()],
            [level.on_hand_grams for level in levels],
            [level.held_grams for level in levels],
            [level.on_hand_birds for level in levels],
            [level.held_birds for level in levels],
            [level.sequence for level in levels],
        )

    async def delete_adjustments(self, keys: Collection[Key]) -> None:
        """Take back the rows of what was refused in this transaction."""
        if keys:
            await self._fetch("delete_adjustments", *_key_columns(keys))

    # openings

    async def insert_openings(self, wanted: Sequence[Opening]) -> set[Key]:
        """Take the ids; those that are new come back."""
        rows = await self._fetch(
            "insert_openings",
            *_key_columns([one.key for one in wanted]),
            [one.fingerprint for one in wanted],
            [one.actor for one in wanted],
            [one.trace_id for one in wanted],
        )
        return {(row["store_id"], row["opening_id"]) for row in rows}

    async def find_openings(self, keys: Collection[Key]) -> dict[Key, KnownOpening]:
        """Openings that were booked before."""
        if not keys:
            return {}
        rows = await self._fetch("find_openings", *_key_columns(keys))
        by_key = groupby(rows, lambda row: (row["store_id"], row["opening_id"]))
        return {key: _known_opening(list(of_one)) for key, of_one in by_key}

    async def insert_opening_lines(self, openings: Sequence[Opening]) -> None:
        """Write what pools were opened with."""
        lines = [(opening.key, line) for opening in openings for line in opening.lines]
        if lines:
            await self._fetch("insert_opening_lines", *_line_columns(lines))

    async def delete_openings(self, keys: Collection[Key]) -> None:
        """Take back the rows of what was refused in this transaction."""
        if keys:
            await self._fetch("delete_openings", *_key_columns(keys))

    # stores

    async def apply_store_facts(self, facts: Collection[StoreFacts]) -> None:
        """Take over what is newer; one row per store."""
        await self._fetch(
            "apply_store_facts",
            [one.store_id for one in facts],
            [one.status for one in facts],
            [one.time_zone for one in facts],
            [one.version for one in facts],
        )

    async def list_stores(self, store_ids: Collection[int]) -> dict[int, StoreFacts]:
        """Stores by id; one that nobody told of is not in it."""
        rows = await self._fetch("list_stores", list(store_ids)) if store_ids else []
        return {row["store_id"]: _store(row) for row in rows}

    async def lock_stores(self, store_ids: Collection[int]) -> LockedStores:
        """Lock stores: while it lasts nobody else opens a pool there."""
        rows = await self._fetch("lock_stores", list(store_ids)) if store_ids else []
        locked_at = max((row["locked_at"] for row in rows), default=_NEVER)
        return LockedStores({row["store_id"]: _store(row) for row in rows}, locked_at)


def _pool_columns(pools: Collection[Pool]) -> tuple[list[int], list[str], list[str]]:
    return (
        [pool.store_id for pool in pools],
        [pool.bird_type for pool in pools],
        [pool.inventory_type for pool in pools],
    )


def _key_columns(keys: Collection[Key]) -> tuple[list[int], list[UUID]]:
    return [store_id for store_id, _ in keys], [own_id for _, own_id in keys]


def _line_columns(
    lines: Sequence[tuple[Key, Line]],
) -> tuple[list[int], list[UUID], list[str], list[str], list[int], list[int]]:
    return (
        [store_id for (store_id, _), _ in lines],
        [own_id for (_, own_id), _ in lines],
        [line.pool.bird_type for _, line in lines],
        [line.pool.inventory_type for _, line in lines],
        [line.weight_grams for _, line in lines],
        [line.bird_count for _, line in lines],
    )


def _reservation_key(row: Record) -> Key:
    return row["store_id"], row["reservation_id"]


def _pool(row: Record) -> Pool:
    return Pool(row["store_id"], BirdType(row["bird_type"]), InventoryType(row["inventory_type"]))


def _line(row: Record) -> Line:
    return Line(_pool(row), row["weight_grams"], row["bird_count"])


def _level(row: Record) -> Level:
    return Level(
        pool=_pool(row),
        on_hand_grams=row["on_hand_grams"],
        held_grams=row["held_grams"],
        on_hand_birds=row["on_hand_birds"],
        held_birds=row["held_birds"],
        sequence=row["sequence"],
        last_moved_at=row["last_moved_at"],
    )


def _reservation(key: Key, rows: Sequence[Record]) -> Reservation:
    row = rows[0]
    return Reservation(
        key=key,
        state=State(row["state"]),
        fingerprint=row["fingerprint"],
        lines=tuple(_line(of_line) for of_line in rows if of_line["bird_type"] is not None),
        hold_until=row["hold_until"],
        ran_out=row["ran_out"],
        holder=row["holder"],
        created_at=row["created_at"],
    )


def _known_adjustment(row: Record) -> KnownAdjustment:
    level = Level(
        pool=_pool(row),
        on_hand_grams=row["on_hand_grams"],
        held_grams=row["held_grams"],
        on_hand_birds=row["on_hand_birds"],
        held_birds=row["held_birds"],
        sequence=row["sequence"],
        last_moved_at=row["created_at"],
    )
    answer = Adjusted(level, _line(row), Reason(row["reason"]), str(row["adjustment_id"]), replayed=True)
    return KnownAdjustment(row["fingerprint"], answer)


def _known_opening(rows: Sequence[Record]) -> KnownOpening:
    return KnownOpening(rows[0]["fingerprint"], tuple(_line(row) for row in rows), rows[0]["created_at"])


def _store(row: Record) -> StoreFacts:
    return StoreFacts(row["store_id"], StoreStatus(row["status"]), row["time_zone"], row["version"])
