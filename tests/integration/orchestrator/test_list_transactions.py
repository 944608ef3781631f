"""The log page by page: newest first, within the stores of who looks."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import grpc.aio
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.orchestrator.store import Filters
from tests.suite import ADMIN, CASHIER, Suite, refused, sale_request, sold
from venus.orchestrator.v1.orchestrator_service_pb2 import ListTransactionsRequest, ListTransactionsResponse
from venus.orchestrator.v1.transaction_pb2 import (
    TRANSACTION_STATUS_COMPLETED,
    TRANSACTION_STATUS_FAILED,
    TRANSACTION_STATUS_NEEDS_REVIEW,
    TRANSACTION_STATUS_PENDING,
)
from venus_kit.access import Person
from venus_kit.errors import Refusal
from venus_kit.paging import encode_token

NOON = datetime(2026, 1, 17, 12, 0, tzinfo=UTC)
ROWS = [  # number, store, status, minutes after noon; two began in the same instant
    (1, 1, "FAILED", 0),
    (2, 2, "PENDING", 1),
    (3, 1, "NEEDS_REVIEW", 2),
    (4, 3, "COMPENSATING", 3),
    (5, 1, "FAILED", 3),
]
WRITE = """
INSERT INTO transaction_log (
    id, transaction_type, version, payload, status, trace_id, traceparent, store_id, fingerprint, refusal, actor,
    created_at, finished_at
)
SELECT
    id, 'SALE', 1, '{}', status, replace(id::text, '-', ''), '', store_id, '',
    '{"reason": "NO", "kind": "FAILED_PRECONDITION", "message": "No."}', 'cashier-1', created_at,
    CASE WHEN status = 'FAILED' THEN created_at END
FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::timestamptz[]) AS row (id, store_id, status, created_at)
"""


def minutes(after_noon: float) -> datetime:
    return NOON + timedelta(minutes=after_noon)


async def write(suite: Suite, rows: Sequence[tuple[int, int, str, float]]) -> None:
    """Rows that nobody runs; row 7 has the id ...07 and the trace of these digits."""
    ids, stores, statuses, times = zip(*rows, strict=True)
    await suite.sql(
        "orchestrator", WRITE, [UUID(int=number) for number in ids], stores, statuses, [minutes(one) for one in times]
    )


async def ask(suite: Suite, person: Person = ADMIN, **fields: Any) -> ListTransactionsResponse | Refusal:
    request = ListTransactionsRequest(**fields)
    return await suite.ask(suite.orchestrator.ListTransactions, request, person)


async def page(suite: Suite, person: Person = ADMIN, **fields: Any) -> tuple[list[int], str]:
    """The numbers of the rows on a page, and the token of the next."""
    answer = await ask(suite, person, **fields)
    assert isinstance(answer, ListTransactionsResponse), answer
    return [UUID(shown.transaction_id).int for shown in answer.transactions], answer.next_page_token


async def walk(suite: Suite, size: int, person: Person = ADMIN, **fields: Any) -> list[list[int]]:
    """The numbers on every page."""
    pages: list[list[int]] = []
    token = ""
    while True:
        numbers, token = await page(suite, person, page_size=size, page_token=token, **fields)
        pages.append(numbers)
        if not token:
            return pages


async def test_a_sale_is_listed_as_it_is_shown_but_for_its_steps(suite: Suite) -> None:
    request = sale_request()
    sold(await suite.sell(request))
    await suite.settled()
    shown = await suite.transaction(request.sale_id)
    assert shown.steps
    del shown.steps[:]
    answer = await ask(suite, status=TRANSACTION_STATUS_COMPLETED)
    assert isinstance(answer, ListTransactionsResponse)
    assert list(answer.transactions) == [shown]


async def test_sagas_come_newest_first_and_each_once_whatever_the_page(suite: Suite) -> None:
    await write(suite, ROWS)
    assert await walk(suite, 1) == [[5], [4], [3], [2], [1]]
    assert await walk(suite, 2) == [[5, 4], [3, 2], [1]]
    assert await walk(suite, 5) == [[5, 4, 3, 2, 1]]


async def test_each_filter_narrows_the_list_and_together_they_narrow_it_more(suite: Suite) -> None:
    await write(suite, ROWS)
    expected: list[tuple[dict[str, Any], list[int]]] = [
        ({"status": TRANSACTION_STATUS_FAILED}, [5, 1]),
        ({"status": TRANSACTION_STATUS_NEEDS_REVIEW}, [3]),
        ({"status": TRANSACTION_STATUS_COMPLETED}, []),
        ({"store_id": 1}, [5, 3, 1]),
        ({"store_id": 77}, []),
        ({"create_time_from": minutes(2)}, [5, 4, 3]),
        ({"create_time_before": minutes(2)}, [2, 1]),
        ({"create_time_from": minutes(1), "create_time_before": minutes(3)}, [3, 2]),
        ({"trace_id": UUID(int=4).hex}, [4]),
        ({"store_id": 1, "status": TRANSACTION_STATUS_FAILED, "create_time_from": minutes(1)}, [5]),
    ]
    for filters, numbers in expected:
        assert await walk(suite, 500, **filters) == [numbers], filters
        assert [one for numbers in await walk(suite, 1, **filters) for one in numbers] == numbers, filters


async def test_sagas_of_other_stores_are_not_there(suite: Suite) -> None:
    await write(suite, ROWS)
    person = Person("manager", permissions=ADMIN.permissions, store_ids=frozenset({2, 3}))
    assert await walk(suite, 1, person) == [[4], [2]]
    assert await walk(suite, 1, person, store_id=1) == [[]]
    assert await walk(suite, 1, person, trace_id=UUID(int=5).hex) == [[]]
    _, token = await page(suite, page_size=1)
    assert await page(suite, person, page_token=token) == ([4, 2], ""), "nor with the token of somebody who sees them"
    assert await walk(suite, 1, Person("new", permissions=ADMIN.permissions)) == [[]]


async def test_a_page_token_is_bound_to_its_filters_but_not_to_the_size(suite: Suite) -> None:
    await write(suite, ROWS)
    filters: dict[str, Any] = {"store_id": 1, "create_time_from": minutes(0), "create_time_before": minutes(9)}
    _, token = await page(suite, page_size=1, **filters)
    assert await page(suite, page_size=2, page_token=token, **filters) == ([3, 1], "")
    others: list[dict[str, Any]] = [
        {},
        {**filters, "store_id": 2},
        {**filters, "create_time_from": minutes(1)},
        {**filters, "create_time_before": minutes(8)},
        {**filters, "status": TRANSACTION_STATUS_PENDING},
        {**filters, "trace_id": UUID(int=3).hex},
    ]
    for other in others:
        assert refused(await ask(suite, page_token=token, **other)).reason == "PAGE_TOKEN_INVALID", other


async def test_a_token_that_this_list_never_gave_is_refused(suite: Suite) -> None:
    unfiltered = asdict(Filters())
    for token in ("made-up", "AAAA", encode_token(unfiltered, [7]), encode_token(unfiltered, [NOON, "x"])):
        assert refused(await ask(suite, page_token=token)).reason == "PAGE_TOKEN_INVALID"


async def test_fifty_are_listed_when_nobody_says_how_many(suite: Suite) -> None:
    await write(suite, [(number, 1, "FAILED", number) for number in range(1, 61)])
    first, token = await page(suite)
    assert first == list(range(60, 10, -1))
    assert await page(suite, page_token=token) == (list(range(10, 0, -1)), "")


async def test_a_bad_field_is_named_by_its_path(suite: Suite) -> None:
    bad: list[dict[str, Any]] = [
        {"status": 99},
        {"store_id": -1},
        {"trace_id": "xyz"},
        {"page_size": 501},
        {"page_size": -1},
        {"page_token": "x" * 1001},
        {"create_time_from": Timestamp(seconds=10**15)},
        {"create_time_before": Timestamp(seconds=-(10**15))},
    ]
    for fields in bad:
        refusal = refused(await ask(suite, **fields))
        assert refusal.reason == "INVALID_REQUEST"
        assert [violation.field for violation in refusal.violations] == list(fields)


async def test_who_may_not_look_is_refused(suite: Suite) -> None:
    assert refused(await ask(suite, CASHIER)).reason == "PERMISSION_MISSING"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await suite.orchestrator.ListTransactions(ListTransactionsRequest())
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
