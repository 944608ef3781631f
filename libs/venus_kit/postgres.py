"""One database: its pool, its transactions, and what follows when one of them fails.

A transaction that lost a race is run again; weather is told from bugs; in a batch the one item that breaks the
transaction is found and its neighbours are served without it.
"""

import asyncio
import functools
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Concatenate, Final, Generic, Literal, ParamSpec, Self, TypeAlias, TypeVar, cast

import asyncpg
from asyncpg.exceptions import DataError as ServerDataError
from asyncpg.exceptions import OutdatedSchemaCacheError
from asyncpg.exceptions._base import DataError as ClientDataError
from asyncpg.pool import PoolConnectionProxy
from prometheus_client import Counter, Gauge, Histogram

from venus_kit.errors import Poison, Weather

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:  # the library's classes take parameters in its stubs only
    Connection = asyncpg.Connection | PoolConnectionProxy

Isolation = Literal["read_committed", "repeatable_read", "serializable"]

Tx = TypeVar("Tx")
Item = TypeVar("Item")
Answer = TypeVar("Answer")
Rest = ParamSpec("Rest")

_RETRIES: Final = Counter("venus_db_retries_total", "Transactions run again.", ["service", "sqlstate"])
_POISON: Final = Counter("venus_db_poison_total", "Items that broke their transaction.", ["service", "operation"])
_IN_USE: Final = Gauge("venus_db_connections_in_use", "Connections that run a transaction.", ["service"])
_SECONDS: Final = Histogram(
    "venus_db_transaction_seconds",
    "A transaction with the wait for a connection and its retries.",
    ["service", "operation"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)

# A race was lost, or a migration made a cached plan stale: nothing happened, so the whole transaction may run again.
_LOST_RACE: Final = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InvalidCachedStatementError,
    OutdatedSchemaCacheError,
)
_WEATHER: Final = (
    OSError,  # includes TimeoutError
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # a primary that was demoted
)
# Of these the connection survives; after any other weather all pooled connections are made anew.
_PASSING: Final = (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError)
# What one item can do to the transaction that it shares.
_OF_AN_ITEM: Final = (
    ServerDataError,
    ClientDataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.CardinalityViolationError,
    asyncpg.ProgramLimitExceededError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)

_FIRST_BACKOFF_S: Final = 0.004
_LONGEST_BACKOFF_S: Final = 0.25
_READY_TIMEOUT_S: Final = 2.0
_CLOSE_TIMEOUT_S: Final = 5.0
_CLIENT_MARGIN_S: Final = 2.0
_STATEMENT_CACHE_SIZE: Final = 500


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections there are and how long things may take."""

    max_size: int
    isolation: Isolation
    lock_timeout_s: float
    statement_timeout_s: float
    deadline_s: float


class _Session(asyncpg.Connection):
    """A connection that is not reset between transactions: all that we set is local to one, so there is nothing to."""

    def get_reset_query(self) -> str:
        return ""


class Database(Generic[Tx]):
    """The database of one service; `Tx` is the service's own class of named queries."""

    def __init__(
        self, pool: "asyncpg.Pool[asyncpg.Record]", bind: Callable[[Connection], Tx], name: str, limits: Limits
    ) -> None:
        """Use `connect`."""
        self._pool = pool
        self._bind = bind
        self._name = name
        self._limits = limits
        self._in_use = _IN_USE.labels(name)

    @classmethod
    async def connect(
        cls,
        url: str,
        bind: Callable[[Connection], Tx],
        *,
        name: str,
        max_size: int = 8,
        isolation: Isolation = "read_committed",
        lock_timeout_s: float = 5.0,
        statement_timeout_s: float = 10.0,
        deadline_s: float = 10.0,
    ) -> Self:
        """Open the pool; raises Weather when the database cannot be reached within `deadline_s`."""
        limits = Limits(max_size, isolation, lock_timeout_s, statement_timeout_s, deadline_s)
        try:
            async with asyncio.timeout(deadline_s):
                pool = await _open_pool(url, name, limits)
        except _WEATHER as error:
            raise Weather(f"{name}: no database: {error}") from error
        return cls(pool, bind, name, limits)

    async def run(
        self,
        operation: Callable[Concatenate[Tx, Rest], Awaitable[Answer]],
        *args: Rest.args,
        **kwargs: Rest.kwargs,
    ) -> Answer:
        """Run `operation` in one transaction, again and again while it loses races, until `deadline_s`.

        What it raises rolls the transaction back. Raises Weather when the database is away, a lock or the time cannot
        be had; after a connection lost in COMMIT nobody knows whether it happened, so callers repeat with the same ids.
        """
        with _SECONDS.labels(self._name, _name_of(operation)).time():
            return await self._until_deadline(lambda tx: operation(tx, *args, **kwargs))

    async def run_batch(
        self, operation: Callable[[Tx, Sequence[Item]], Awaitable[Sequence[Answer]]], items: Sequence[Item]
    ) -> list[Answer | Exception]:
        """Run `operation` on all items in one transaction; one outcome per item, in their order.

        An item that breaks the transaction is found by halving and gets Poison; its neighbours succeed. In bad weather
        every item of the half that met it gets the Weather. Raises RuntimeError, and undoes everything, when
        `operation` does not answer each item.
        """
        if not items:
            return []
        try:
            return list(await self.run(_answering_each(operation), items))
        except Weather as weather:
            return [weather] * len(items)
        except _OF_AN_ITEM as error:
            if len(items) == 1:
                return [self._poison(operation, error)]
        half = len(items) // 2
        return [
            *await self.run_batch(operation, items[:half]),
            *await self.run_batch(operation, items[half:]),
        ]

    async def ready(self) -> bool:
        """Whether the database answers within two seconds."""
        try:
            async with asyncio.timeout(_READY_TIMEOUT_S), self._pool.acquire() as connection:
                return await connection.fetchval("SELECT true") is True
        except (*_WEATHER, asyncpg.InterfaceError, asyncpg.PostgresError):
            return False

    async def close(self) -> None:
        """Wait for what runs, at most five seconds, then close."""
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def _until_deadline(self, work: Callable[[Tx], Awaitable[Answer]]) -> Answer:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.deadline_s
        longest_s = _FIRST_BACKOFF_S
        while True:
            try:
                return await self._once(work, deadline - loop.time())
            except _LOST_RACE as error:
                _RETRIES.labels(self._name, _sqlstate(error)).inc()
                pause_s = random.uniform(0, longest_s)  # noqa: S311  jitter
                if loop.time() + pause_s >= deadline:
                    raise Weather(f"{self._name}: still losing races after {self._limits.deadline_s} s") from error
            await asyncio.sleep(pause_s)
            longest_s = min(longest_s * 2, _LONGEST_BACKOFF_S)

    async def _once(self, work: Callable[[Tx], Awaitable[Answer]], patience_s: float) -> Answer:
        """One try; `patience_s` bounds the wait for a connection."""
        connection: Connection | None = None
        try:
            async with self._pool.acquire(timeout=max(patience_s, 0.001)) as connection:
                with self._in_use.track_inprogress():
                    async with connection.transaction(isolation=self._limits.isolation):
                        return await work(self._bind(connection))
        except _WEATHER as error:
            if not isinstance(error, _PASSING):
                await self._pool.expire_connections()
            raise Weather(f"{self._name}: {type(error).__name__}: {error}") from error
        except asyncpg.InterfaceError as error:
            if isinstance(error, ClientDataError) or not _is_gone(connection):
                raise
            await self._pool.expire_connections()
            raise Weather(f"{self._name}: {error}") from error
        except asyncpg.PostgresError as error:
            if connection is not None:
                raise
            raise Weather(f"{self._name}: no connection: {error}") from error

    def _poison(self, operation: Callable[..., object], error: Exception) -> Poison:
        _POISON.labels(self._name, _name_of(operation)).inc()
        # Without the error's text: it may quote the row, and a row may be about a customer.
        rule = getattr(error, "constraint_name", None) or ""
        poison = Poison(f"{_name_of(operation)}: {type(error).__name__} {rule}".rstrip())
        poison.__cause__ = error
        return poison


async def _open_pool(url: str, name: str, limits: Limits) -> "asyncpg.Pool[asyncpg.Record]":
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=limits.max_size,
        connection_class=_Session,
        # The server gives up first: its error leaves the connection whole, the client's does not.
        command_timeout=limits.statement_timeout_s + _CLIENT_MARGIN_S,
        statement_cache_size=_STATEMENT_CACHE_SIZE,
        max_cached_statement_lifetime=0,
        server_settings={
            "application_name": name,
            "default_transaction_isolation": limits.isolation.replace("_", " "),
            "lock_timeout": _ms(limits.lock_timeout_s),
            "statement_timeout": _ms(limits.statement_timeout_s),
            "idle_in_transaction_session_timeout": _ms(limits.statement_timeout_s),
            "timezone": "UTC",
            "jit": "off",
            # A plan that was made on an empty table is kept; without this it would read the table whole for ever.
            "enable_seqscan": "off",
        },
    )


def _answering_each(
    operation: Callable[[Tx, Sequence[Item]], Awaitable[Sequence[Answer]]],
) -> Callable[[Tx, Sequence[Item]], Awaitable[Sequence[Answer]]]:
    """Check inside the transaction, so that a wrong number of answers undoes what was done."""

    @functools.wraps(operation)
    async def checked(tx: Tx, items: Sequence[Item]) -> Sequence[Answer]:
        answers = await operation(tx, items)
        if len(answers) != len(items):
            raise RuntimeError(f"{_name_of(operation)} gave {len(answers)} answers to {len(items)} items")
        return answers

    return checked


def _is_gone(connection: Connection | None) -> bool:
    """Whether an interface error tells of a lost connection, or of a pool that is closing."""
    if connection is None:
        return True
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool took it back already
        return True


def _name_of(operation: Callable[..., object]) -> str:
    while isinstance(operation, functools.partial):
        operation = cast("Callable[..., object]", operation.func)
    return getattr(operation, "__name__", type(operation).__name__)


def _sqlstate(error: Exception) -> str:
    return str(getattr(error, "sqlstate", None) or type(error).__name__)


def _ms(seconds: float) -> str:
    return f"{int(seconds * 1000)}ms"
