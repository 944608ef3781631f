"""The tills, in a process of their own: each sells over one kept connection, the next sale when the last is answered.

`python -m tests.bench.tills` reads a Shift as JSON from stdin and writes what came of it to stdout. Raw sockets, since
a client library would use more of the machine than the servers that are measured.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import uvloop

from tests.bench.goods import GOODS, LEAST_GRAMS, MOST_GRAMS
from tests.bench.processor_time import cpu_seconds, spent
from venus_kit.ids import new_id

_DRAIN_S: Final = 20.0
_PAUSE_S: Final = 0.05
_LINE: Final = '{{"skuCode":"{}","weightGrams":"%d","birdCount":0,"pricePaisePerKg":"{}"}}'
_BODY: Final = (
    '{"saleId":"%s","saleType":"SALE_TYPE_POS","paymentMethod":"PAYMENT_METHOD_CASH","lines":['
    + ",".join(_LINE.format(good.sku_code, good.price_paise_per_kg) for good in GOODS)
    + "]}"
)
"""All weights have as many digits, so all bodies are of one length."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One till: the store that it stands in, the token of who works there."""

    store_id: int
    token: str


@dataclass(frozen=True, slots=True)
class Shift:
    """What the tills are told: where to sell, how long, and whose CPU to read (pids by name)."""

    host: str
    port: int
    warm_up_s: float
    seconds: float
    seats: list[Seat]
    pids: Mapping[str, int]


@dataclass(slots=True)
class Notes:
    """What the tills write down; only what is answered between begin and end counts, but every sale is kept in mind."""

    begin_s: float = float("inf")
    end_s: float = float("inf")
    acknowledged: int = 0
    unknown: int = 0
    """Answers that leave open whether the sale happened."""
    counts: Counter[str] = field(default_factory=Counter[str])
    latencies_us: list[int] = field(default_factory=list[int])
    open_tills: int = 0
    drained: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, status: int, sent_s: float) -> bool:
        """Write an answer down; whether it was a sale."""
        now_s = time.perf_counter()
        kind = _kind(status)
        self.acknowledged += kind == "sold"
        self.unknown += kind in ("pending", "failed")
        if self.begin_s <= now_s < self.end_s:
            self.counts[kind] += 1
            if kind == "sold":
                self.latencies_us.append(int((now_s - sent_s) * 1e6))
        return kind == "sold"

    def leave(self) -> None:
        """A till has closed."""
        self.open_tills -= 1
        if not self.open_tills:
            self.drained.set()


def _kind(status: int) -> str:
    if status == 200:
        return "sold"
    if status == 202:
        return "pending"
    return "refused" if 400 <= status < 500 else "failed"


class Till(asyncio.Protocol):
    """One connection."""

    def __init__(self, head: bytes, notes: Notes) -> None:
        self._head = head
        self._notes = notes
        self._sent_s = 0.0
        self._need = 0
        self._received = b""
        self._transport = cast("asyncio.Transport", None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._notes.open_tills += 1
        self._sell()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._sent_s:
            self._notes.take(0, self._sent_s)
        self._notes.leave()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._need:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            self._need = end + 4 + _content_length(self._received[:end])
        if len(self._received) >= self._need:
            status = int(self._received[9:12])
            self._received, self._need = b"", 0
            self._answered(status)

    def _sell(self) -> None:
        if self._transport.is_closing():
            return
        weights = [random.randint(LEAST_GRAMS, MOST_GRAMS) for _ in GOODS]
        body = _BODY % (new_id(), *weights)
        self._sent_s = time.perf_counter()
        self._transport.write(self._head + body.encode())

    def _answered(self, status: int) -> None:
        sold = self._notes.take(status, self._sent_s)
        self._sent_s = 0.0
        if time.perf_counter() >= self._notes.end_s:
            self._transport.close()
        elif sold:
            self._sell()
        else:  # a till that is refused breathes in before it tries again
            asyncio.get_running_loop().call_later(_PAUSE_S, self._sell)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError("an answer without Content-Length")


def _head(shift: Shift, seat: Seat) -> bytes:
    length = len(_BODY % (new_id(), *(LEAST_GRAMS for _ in GOODS)))
    return (
        f"POST /v1/stores/{seat.store_id}/sales HTTP/1.1\r\nHost: {shift.host}:{shift.port}\r\n"
        f"Authorization: Bearer {seat.token}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


async def work(shift: Shift) -> dict[str, Any]:
    """Sell for a shift: after the warm-up what happens within `seconds` is counted, then every till is answered."""
    notes = Notes()
    loop = asyncio.get_running_loop()
    heads = [_head(shift, seat) for seat in shift.seats]
    places = [loop.create_connection(lambda head=head: Till(head, notes), shift.host, shift.port) for head in heads]
    await asyncio.gather(*places)
    await asyncio.sleep(shift.warm_up_s)
    roots = {**shift.pids, "tills": os.getpid()}
    before = cpu_seconds(roots)
    notes.begin_s = time.perf_counter()
    await asyncio.sleep(shift.seconds)
    notes.end_s = time.perf_counter()
    after = cpu_seconds(roots)
    try:
        await asyncio.wait_for(notes.drained.wait(), _DRAIN_S)
    except TimeoutError:
        notes.unknown += notes.open_tills
    return {
        "seconds": notes.end_s - notes.begin_s,
        "counts": dict(notes.counts),
        "acknowledged": notes.acknowledged,
        "unknown": notes.unknown,
        "latencies_us": notes.latencies_us,
        "cpu_s": spent(before, after),
    }


def main() -> None:
    """Work one shift."""
    told: dict[str, Any] = json.load(sys.stdin)
    shift = Shift(seats=[Seat(**seat) for seat in told.pop("seats")], **told)
    json.dump(uvloop.run(work(shift)), sys.stdout)


if __name__ == "__main__":
    main()
