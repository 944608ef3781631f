import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from uuid import UUID, uuid4

import asyncpg
import pytest
from google.rpc import code_pb2

from services.sales import operations
from services.sales.domain.fate import Closed, Recorded
from services.sales.domain.refusals import SaleClosed
from services.sales.domain.sale import NewSale, SaleKey
from services.sales.store import Tx
from tests.integration.sales.conftest import OpenShop
from tests.integration.sales.shop import (
    CREDIT,
    CUSTOMER_ID,
    TRACE_ID,
    UPI,
    Shop,
    another,
    assert_books_hold,
    basket_of,
    context,
    database_of,
    deadlocks,
    from_now,
    line,
    reasons,
    receipts,
    refusal,
)
from tests.unit.sales.examples import sale
from venus_kit.errors import Poison, Refusal
from venus_kit.postgres import Isolation
from venus_kit.testing import SharedPostgres, metric

LONG_HELD = datetime(2100, 1, 1, tzinfo=UTC)
EVERY_ISOLATION = pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read", "serializable"])


def held(number: int, store_id: int = 1, **changes: object) -> NewSale:
    """The example sale of 725.00 with goods that stay held."""
    return sale(number, store_id, **{"hold_until": LONG_HELD, **changes})


async def test_sales_are_numbered_per_store_in_the_order_of_the_batch(shop: Shop) -> None:
    here, there = await shop.wanted(), await shop.wanted(basket_of(store_id=2))
    day = here.request.business_date.replace("-", "")

    assert receipts(await shop.record(here, there, another(here))) == [
        f"STORE-001-{day}-000001",
        f"STORE-002-{day}-000001",
        f"STORE-001-{day}-000002",
    ]
    assert receipts(await shop.record(another(here))) == [f"STORE-001-{day}-000003"]
    await assert_books_hold(shop)


async def test_a_sale_is_written_as_it_was_quoted_with_cashier_and_trace(shop: Shop) -> None:
    wanted = await shop.wanted(basket_of(line("BRO-LIVE", 4_000, 2), line("BRO-SKIN", 2_500)))
    (outcome,) = await shop.record(wanted)

    sale = await shop.get(1, wanted.request.sale_id)
    assert list(sale.lines) == list(wanted.request.lines)
    assert sale.total_paise == wanted.request.total_paise == 93_000
    assert (sale.cashier, sale.correlation_id) == ("cashier-1", TRACE_ID)
    assert (sale.receipt_number, sale.create_time) == (outcome.reply.receipt_number, outcome.reply.create_time)


async def test_a_sale_without_a_trace_of_its_own_bears_that_of_the_call(shop: Shop) -> None:
    wanted = await shop.wanted()
    wanted.context.traceparent = ""
    await shop.record(wanted)

    assert len((await shop.get(1, wanted.request.sale_id)).correlation_id) == 32


async def test_a_sale_on_credit_is_not_paid_yet(shop: Shop) -> None:
    basket = basket_of(payment_method=CREDIT, customer_id=CUSTOMER_ID, permissions=["sales.credit"])
    wanted = await shop.wanted(basket)
    await shop.record(wanted)

    (row,) = await shop.sql("SELECT payment_status, customer_id FROM sale")
    assert (row["payment_status"], row["customer_id"]) == ("PENDING", UUID(CUSTOMER_ID))


async def test_seven_in_the_evening_utc_is_on_tomorrows_receipts_in_kolkata(open_shop: OpenShop) -> None:
    shop = await open_shop(at=datetime(2026, 3, 9, 19, 0, tzinfo=UTC))
    kolkata, berlin = await shop.wanted(), await shop.wanted(basket_of(store_id=3))
    for item in (kolkata, berlin):
        item.request.hold_until_time.FromDatetime(LONG_HELD)

    assert receipts(await shop.record(kolkata, berlin)) == [
        "STORE-001-20260310-000001",
        "STORE-003-20260309-000001",
    ]


async def test_numbers_grow_past_six_digits(shop: Shop) -> None:
    wanted = await shop.wanted()
    day = date.fromisoformat(wanted.request.business_date)
    await shop.sql(
        "INSERT INTO business_day (store_id, business_date, last_receipt_number) VALUES (1, $1, 999998)", day
    )

    assert [number.rpartition("-")[2] for number in receipts(await shop.record(wanted, another(wanted)))] == [
        "999999",
        "1000000",
    ]


async def test_a_price_edited_since_the_quote_changes_nothing(shop: Shop) -> None:
    wanted = await shop.wanted()
    await shop.sql(
        "INSERT INTO store_price (store_id, sku_code, effective_on, price_paise_per_kg, set_by) "
        "VALUES (1, 'BRO-SKIN', '2020-01-01', 99900, 'owner')"
    )
    await shop.sql("UPDATE sku SET active = false, name = 'Renamed'")
    await shop.record(wanted)

    sale = await shop.get(1, wanted.request.sale_id)
    assert sale.total_paise == 72_500
    assert sale.lines[0].sku_name == "Broiler with skin"


async def test_a_store_put_in_maintenance_since_the_quote_finishes_its_sale(shop: Shop) -> None:
    wanted = await shop.wanted()
    await shop.sql("UPDATE store SET status = 'MAINTENANCE', version = version + 1")

    assert reasons(await shop.record(wanted)) == [""]


async def test_a_sale_quoted_before_midnight_counts_on_the_day_of_its_quote(
    open_shop: OpenShop, postgres: SharedPostgres
) -> None:
    shop = await open_shop(at=datetime(2026, 3, 9, 18, 29, tzinfo=UTC))  # 23:59 in Kolkata
    wanted = await shop.wanted()
    wanted.request.hold_until_time.FromDatetime(LONG_HELD)
    postgres.shift_time(shop.urls, datetime(2026, 3, 9, 18, 31, tzinfo=UTC) - datetime.now(UTC))
    await shop.until_open()

    assert (await shop.wanted()).request.business_date == "2026-03-10"
    assert receipts(await shop.record(wanted)) == ["STORE-001-20260309-000001"]


async def test_goods_that_are_not_held_any_more_are_not_recorded(shop: Shop) -> None:
    wanted = await shop.wanted()
    late = another(wanted)
    late.request.hold_until_time.CopyFrom(from_now(timedelta(seconds=-1)))

    outcomes = await shop.record(wanted, late, another(wanted))
    assert reasons(outcomes) == ["", "HOLD_EXPIRED", ""]
    assert [number[-1:] for number in receipts(outcomes)] == ["1", "", "2"]
    assert await shop.count("sale_fate") == 2
    await assert_books_hold(shop)


async def test_the_databases_clock_decides_when_a_hold_ends(open_shop: OpenShop) -> None:
    ahead = await open_shop(at=datetime.now(UTC) + timedelta(minutes=3))

    assert reasons(await ahead.record(await ahead.wanted())) == ["HOLD_EXPIRED"]


async def test_a_closed_day_takes_no_sale_and_gives_no_number(shop: Shop) -> None:
    wanted = await shop.wanted()
    await shop.record(wanted)
    await shop.sql("UPDATE business_day SET status = 'CLOSED'")

    (outcome,) = await shop.record(another(wanted))
    assert refusal(outcome.error).metadata == {"store_id": "1", "business_date": wanted.request.business_date}
    assert refusal(outcome.error).reason == "DAY_CLOSED"
    assert await shop.count("sale") == await shop.count("sale_fate") == 1
    await assert_books_hold(shop)


async def test_a_refused_sale_may_come_again_with_the_same_id(shop: Shop) -> None:
    wanted = await shop.wanted()
    day = date.fromisoformat(wanted.request.business_date)
    await shop.sql("INSERT INTO business_day (store_id, business_date, status) VALUES (1, $1, 'CLOSED')", day)
    assert reasons(await shop.record(wanted)) == ["DAY_CLOSED"]
    await shop.sql("UPDATE business_day SET status = 'OPEN'")

    assert reasons(await shop.record(wanted)) == [""]


async def test_a_store_that_is_not_there_records_nothing(shop: Shop) -> None:
    wanted = await shop.wanted()
    nowhere = another(wanted, store_id=99)

    assert reasons(await shop.record(nowhere)) == ["STORE_NOT_FOUND"]
    assert reasons(await shop.record(nowhere, wanted)) == ["STORE_NOT_FOUND", ""]
    await assert_books_hold(shop)


async def test_a_repeat_gets_the_first_answer_whatever_happened_since(shop: Shop) -> None:
    wanted = await shop.wanted()
    (first,) = await shop.record(wanted)
    await shop.sql("UPDATE sale SET status = 'VOIDED'")
    await shop.sql("UPDATE business_day SET status = 'CLOSED'")
    wanted.request.hold_until_time.CopyFrom(from_now(timedelta(hours=-1)))
    wanted.context.CopyFrom(context("another-cashier", trace_id="f" * 32))

    assert await shop.record(wanted) == [first]
    assert (await shop.get(1, wanted.request.sale_id)).cashier == "cashier-1"


async def test_an_id_stands_for_one_content(shop: Shop) -> None:
    wanted = await shop.wanted()
    await shop.record(wanted)
    other = another(wanted, payment_method=UPI)
    other.request.sale_id = wanted.request.sale_id

    (outcome,) = await shop.record(other)
    assert refusal(outcome.error).reason == "IDEMPOTENCY_MISMATCH"
    assert outcome.error.code == code_pb2.ALREADY_EXISTS
    await assert_books_hold(shop)


async def test_same_key_twice_in_batch(shop: Shop) -> None:
    wanted = await shop.wanted()
    other = another(wanted, payment_method=UPI)
    other.request.sale_id = wanted.request.sale_id

    first, twin, mismatch = await shop.record(wanted, wanted, other)
    assert first == twin
    assert refusal(mismatch.error).reason == "IDEMPOTENCY_MISMATCH"
    assert await shop.count("sale") == 1
    await assert_books_hold(shop)


async def test_one_id_fifty_times_at_once_is_one_sale(shop: Shop) -> None:
    wanted = await shop.wanted()
    answers = await asyncio.gather(*(shop.record(wanted) for _ in range(50)))

    assert all(answer == answers[0] for answer in answers)
    assert receipts(answers[0])[0].endswith("-000001")
    assert await shop.count("sale") == 1


@EVERY_ISOLATION
async def test_one_id_in_transactions_that_meet_is_one_sale(shop: Shop, isolation: Isolation) -> None:
    async with database_of(shop, isolation=isolation) as database:
        answers = await asyncio.gather(
            *(database.run_batch(operations.record_sales, [held(1), held(n)]) for n in range(2, 14))
        )

    told = {answer[0].receipt_number for answer in answers if isinstance(answer[0], Recorded)}
    assert len(told) == 1
    assert sum(isinstance(answer[0], Recorded) and not answer[0].replayed for answer in answers) == 1
    await assert_books_hold(shop)


async def test_a_tombstone_refuses_the_late_do(shop: Shop) -> None:
    wanted = await shop.wanted()
    (closed,) = await shop.close(wanted)
    assert not closed.reply.HasField("recorded")

    outcomes = await shop.record(wanted, another(wanted))
    assert reasons(outcomes) == ["SALE_CLOSED", ""]
    assert receipts(outcomes)[1].endswith("-000001")
    await assert_books_hold(shop)


async def test_a_twin_of_a_refused_sale_is_not_refused_with_it(shop: Shop) -> None:
    """A refused sale takes its id back out; whoever waited for that id finds it free."""
    sales = [held(number) for number in range(1, 61)]
    late = [replace(one, hold_until=datetime(2020, 1, 1, tzinfo=UTC)) for one in sales]
    async with database_of(shop) as database:
        told = await asyncio.gather(
            *(
                database.run_batch(operations.record_sales, some[start : start + 10])
                for start in range(0, 60, 10)
                for some in (late, sales)
            )
        )

    assert all(isinstance(one, Recorded) for outcomes in told[1::2] for one in outcomes)
    for one in (one for outcomes in told[::2] for one in outcomes):
        assert one.replayed if isinstance(one, Recorded) else "HOLD_EXPIRED" in repr(getattr(one, "reason", one))
    await assert_books_hold(shop)


async def test_a_poison_sale_is_alone_with_its_error(shop: Shop) -> None:
    wanted = await shop.wanted()
    wrong_total = another(wanted)
    wrong_total.request.lines[0].total_paise += 1
    wrong_total.request.total_paise += 1
    wrong_name = another(wanted)
    wrong_name.request.lines[0].sku_name = "Broiler\0"

    outcomes = await shop.record(wanted, wrong_total, another(wanted), another(wanted), wrong_name, another(wanted))
    assert [one.error.code for one in outcomes] == [0, code_pb2.INTERNAL, 0, 0, code_pb2.INTERNAL, 0]
    assert sorted(number[-1] for number in receipts(outcomes) if number) == ["1", "2", "3", "4"]
    await assert_books_hold(shop)


async def test_items_that_break_their_own_rules_are_refused_by_field(shop: Shop) -> None:
    wanted = await shop.wanted()
    items = [another(wanted) for _ in range(6)]
    items[0].request.total_paise += 1
    items[1].context.ClearField("actor")
    items[2].request.business_date = "2026-02-30"
    items[3].request.lines[1].ClearField("bird_type")
    items[4].request.hold_until_time.seconds = 2**60
    items[5].request.sale_id = "seven"

    outcomes = await shop.record(*items, wanted)
    assert [[violation.field for violation in refusal(one.error).violations] for one in outcomes[:-1]] == [
        ["total_paise"],
        ["context.actor"],
        ["business_date"],
        ["lines[1].bird_type"],
        ["hold_until_time"],
        ["sale_id"],
    ]
    assert reasons(outcomes)[-1] == ""


async def test_gapless_after_rollback(shop: Shop) -> None:
    async def recorded_then_lost(tx: Tx, sales: Sequence[NewSale]) -> list[Recorded | Refusal]:
        await operations.record_sales(tx, sales)
        raise ValueError("the power goes out")

    async with database_of(shop) as database:
        (lost,) = await database.run_batch(recorded_then_lost, [held(1)])
        outcomes = await database.run_batch(operations.record_sales, [held(2), held(1)])

    assert isinstance(lost, Poison)
    assert [one.receipt_number[-6:] for one in outcomes if isinstance(one, Recorded)] == ["000001", "000002"]
    await assert_books_hold(shop)


@EVERY_ISOLATION
async def test_batches_that_meet_leave_no_gap(shop: Shop, isolation: Isolation) -> None:
    """Twenty batches over three stores and two days, each in an order of its own, some of it refused."""
    random = Random(7)
    days = (date(2026, 3, 9), date(2026, 3, 10))
    batches: list[list[NewSale]] = []
    for batch in range(20):
        sales = [held(100 * batch + n, 1 + n % 3, business_date=random.choice(days)) for n in range(12)]
        sales[5] = replace(sales[5], hold_until=datetime(2020, 1, 1, tzinfo=UTC))
        random.shuffle(sales)
        batches.append(sales)

    before = deadlocks()
    async with database_of(shop, isolation=isolation) as database:
        answers = await asyncio.gather(*(database.run_batch(operations.record_sales, batch) for batch in batches))

    assert deadlocks() == before
    flat = [answer for outcomes in answers for answer in outcomes]
    assert sum(isinstance(answer, Recorded) for answer in flat) == 20 * 11
    assert sum(isinstance(answer, Refusal) and answer.reason == "HOLD_EXPIRED" for answer in flat) == 20
    assert await shop.count("sale") == 20 * 11
    await assert_books_hold(shop)


async def test_ids_are_taken_in_one_order_whatever_the_order_of_the_batch(shop: Shop) -> None:
    """Else two batches wait for each other in a circle. Rows lie in the order in which they were written."""
    sales = [held(number, 1 + number % 3) for number in range(60)]
    Random(11).shuffle(sales)
    async with database_of(shop) as database:
        await database.run_batch(operations.close_sales, [one.key for one in sales[:30]])
        await database.run_batch(operations.record_sales, sales[30:])

    written = [tuple(row) for row in await shop.sql("SELECT store_id, sale_id FROM sale_fate ORDER BY ctid")]
    keys = [tuple(one.key) for one in sales]
    assert written == sorted(keys[:30]) + sorted(keys[30:])


async def test_days_are_opened_in_one_order_whatever_the_order_of_the_batch(shop: Shop) -> None:
    days = [(store_id, date(2026, 3, day)) for day in range(1, 21) for store_id in (3, 1, 2)]
    Random(11).shuffle(days)
    late = datetime(2020, 1, 1, tzinfo=UTC)  # refused, so that nothing is written but the days
    sales = [held(number, store_id, business_date=day, hold_until=late) for number, (store_id, day) in enumerate(days)]
    async with database_of(shop) as database:
        await database.run_batch(operations.record_sales, sales)

    opened = await shop.sql("SELECT store_id, business_date FROM business_day ORDER BY ctid")
    assert [tuple(row) for row in opened] == sorted(days)


@EVERY_ISOLATION
async def test_close_and_record_of_one_id_have_one_winner(shop: Shop, isolation: Isolation) -> None:
    sales = [held(number) for number in range(1, 41)]
    async with database_of(shop, isolation=isolation) as database:

        async def race(chunk: list[NewSale]) -> list[tuple[Recorded | Exception, Recorded | Closed | Exception]]:
            recorded, closed = await asyncio.gather(
                database.run_batch(operations.record_sales, chunk),
                database.run_batch(operations.close_sales, [one.key for one in reversed(chunk)]),
            )
            return list(zip(recorded, reversed(closed), strict=True))

        races = await asyncio.gather(*(race(sales[start : start + 8]) for start in range(0, 40, 8)))

    for recorded, end in (pair for pairs in races for pair in pairs):
        if isinstance(recorded, Recorded):
            assert isinstance(end, Recorded)
            assert end.receipt_number == recorded.receipt_number
        else:
            assert isinstance(recorded, Refusal)
            assert recorded == SaleClosed(sale_id=recorded.metadata["sale_id"])
            assert end == Closed()
    await assert_books_hold(shop)


async def test_a_full_batch_takes_five_statements(shop: Shop) -> None:
    statements: list[str] = []
    async with database_of(shop, statements=statements) as database:
        sales = [held(number, 1 + number % 3) for number in range(256)]
        await database.run_batch(operations.record_sales, sales)
        assert statements == ["insert_fates", "lock_series", "insert_sales", "insert_lines", "advance_series"]

        statements.clear()
        await database.run_batch(operations.record_sales, sales)
        assert statements == ["insert_fates", "read_fates"]


async def test_commits_are_counted_and_repeats_are_not(shop: Shop) -> None:
    def counted(method: str) -> float:
        return metric("venus_sales_recorded_total", sale_type="POS", payment_method=method)

    before = {method: counted(method) for method in ("CASH", "UPI")}
    wanted = await shop.wanted()
    late = another(wanted)
    late.request.hold_until_time.CopyFrom(from_now(timedelta(seconds=-1)))
    await shop.record(wanted, wanted, another(wanted, payment_method=UPI), late)
    await shop.record(wanted)

    assert {method: counted(method) - before[method] for method in before} == {"CASH": 1, "UPI": 1}


async def test_sales_of_two_stores_may_bear_the_same_id(shop: Shop) -> None:
    async with database_of(shop) as database:
        sale_id = uuid4()
        outcomes = await database.run_batch(
            operations.record_sales, [held(1, key=SaleKey(store_id, sale_id)) for store_id in (1, 2)]
        )

    assert all(isinstance(outcome, Recorded) and not outcome.replayed for outcome in outcomes)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM sale_line",
        "DELETE FROM sale",
        "TRUNCATE sale, sale_line",
        "UPDATE sale SET total_paise = 1",
        "UPDATE sale SET receipt_number = 'X'",
        "UPDATE sale_line SET weight_grams = 1",
        "UPDATE sale_fate SET fate = 'CLOSED'",
        "DELETE FROM sale_fate",
        "TRUNCATE sale_fate CASCADE",
    ],
)
async def test_what_was_recorded_stays(shop: Shop, statement: str) -> None:
    await shop.record(await shop.wanted())
    connection = await asyncpg.connect(shop.urls.service)
    try:
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.IntegrityConstraintViolationError)):
            await connection.execute(statement)
    finally:
        await connection.close()
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):  # not even the owner of the schema
        await shop.sql(statement)


async def test_a_tombstone_is_not_taken_away(shop: Shop) -> None:
    await shop.close(await shop.wanted())

    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="what was written stays"):
        await shop.sql("DELETE FROM sale_fate")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"total_paise": 45_001}, "total_is_weight_times_price_rounded"),
        ({"bird_count": 1}, "birds_are_counted_when_live"),
        ({"weight_grams": 0, "total_paise": 0}, "weight_is_within_limits"),
        ({"price_paise_per_kg": 0, "total_paise": 0}, "price_is_within_limits"),
        ({"inventory_type": "'FROZEN'"}, "inventory_type_is_known"),
    ],
)
async def test_the_database_knows_what_a_line_is(shop: Shop, changes: dict[str, object], sentence: str) -> None:
    await shop.record(await shop.wanted())
    copied = {
        "store_id": "store_id",
        "sale_id": "sale_id",
        "line_number": "line_number + 10",
        "sku_code": "sku_code",
        "sku_name": "sku_name",
        "bird_type": "bird_type",
        "inventory_type": "inventory_type",
        "weight_grams": "weight_grams",
        "bird_count": "bird_count",
        "price_paise_per_kg": "price_paise_per_kg",
        "total_paise": "total_paise",
        **changes,
    }

    with pytest.raises(asyncpg.CheckViolationError, match=sentence):
        await shop.sql(
            f"INSERT INTO sale_line ({', '.join(copied)}) "
            f"SELECT {', '.join(map(str, copied.values()))} FROM sale_line WHERE line_number = 1"
        )
