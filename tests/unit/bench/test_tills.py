import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.bench.tills import Notes, Seat, Shift, Till, work

Answering = Callable[[dict[str, object]], tuple[int, bytes]]


@asynccontextmanager
async def shop(answering: Answering, pieces: int = 1) -> AsyncIterator[tuple[int, list[dict[str, object]]]]:
    """A server that answers each sale, its answers cut into pieces; its port, and the sales it was sent."""
    came: list[dict[str, object]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
                body = json.loads(await reader.readexactly(int(fields["Content-Length"])))
                came.append({**body, "path": head.split()[1], "token": fields["Authorization"]})
                status, answer = answering(body)
                whole = b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%b" % (status, len(answer), answer)
                for part in cut(whole, pieces):
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], came
    finally:
        server.close()
        await server.wait_closed()


def cut(whole: bytes, pieces: int) -> Sequence[bytes]:
    size = -(-len(whole) // pieces)
    return [whole[at : at + size] for at in range(0, len(whole), size)]


def shift(port: int, tills: int = 3, seconds: float = 0.2) -> Shift:
    seats = [Seat(1_001 + number, f"token-{number}") for number in range(tills)]
    return Shift("127.0.0.1", port, warm_up_s=0.05, seconds=seconds, seats=seats, pids={})


@pytest.mark.parametrize("pieces", [1, 7])
async def test_every_till_sells_in_its_store_again_and_again_with_an_id_of_its_own(pieces: int) -> None:
    async with shop(lambda body: (200, b'{"sale":{}}'), pieces) as (port, came):
        found = await work(shift(port))
    assert {sale["path"] for sale in came} == {f"/v1/stores/{1_001 + number}/sales" for number in range(3)}
    assert {sale["token"] for sale in came} == {f"Bearer token-{number}" for number in range(3)}
    assert len({str(sale["saleId"]) for sale in came}) == len(came) == found["acknowledged"]
    assert 3 < found["counts"]["sold"] == len(found["latencies_us"]) < len(came), "warm-up and drain do not count"
    assert (found["unknown"], found["seconds"]) == (0, pytest.approx(0.2, abs=0.1))
    assert found["cpu_s"]["tills"] >= 0


async def test_what_is_not_sold_is_told_apart_and_not_hammered() -> None:
    answers = {1: 400, 2: 202, 3: 503}
    turn = iter(range(1, 1_000))
    async with shop(lambda body: (answers.get(next(turn), 400), b"{}")) as (port, came):
        found = await work(shift(port, tills=1, seconds=0.4))
    assert found["acknowledged"] == 0
    assert found["unknown"] == 2, "pending and failed may have happened, a refusal has not"
    assert set(found["counts"]) <= {"refused", "pending", "failed"}
    assert not found["latencies_us"]
    assert len(came) <= 11


async def test_a_connection_that_breaks_leaves_its_sale_unknown() -> None:
    notes = Notes()
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await asyncio.get_running_loop().create_connection(
            lambda: Till(b"GET / HTTP/1.1\r\n\r\n", notes), "127.0.0.1", port
        )
        await asyncio.wait_for(notes.drained.wait(), 5)
    assert (notes.acknowledged, notes.unknown) == (0, 1)
