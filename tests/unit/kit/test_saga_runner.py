"""The runner keeps the promises of a saga whatever its participants answer."""

import asyncio
from uuid import UUID

import pytest

from tests.unit.kit.sagas import NotForSale, Shop, SoldOut, Trouble, World, broken, lost_after, lost_before
from venus_kit.errors import IdempotencyMismatch, PermissionMissing, Refusal, TooBusy
from venus_kit.failpoint import armed
from venus_kit.ids import new_id
from venus_kit.saga.answers import Happened
from venus_kit.saga.definition import Saga, finish, pivot, step
from venus_kit.saga.outcome import Done, Outcome, Refused
from venus_kit.saga.refusals import ParticipantUnavailable, TimedOut
from venus_kit.saga.run import Status


async def test_a_sale_goes_through_every_step_once_and_is_answered_at_the_pivot() -> None:
    shop = Shop.open()
    run = shop.run()
    answer = await shop.runner.submit(run).future
    assert isinstance(answer.outcome, Happened)
    assert not answer.replayed
    await shop.settle()
    assert shop.world.verbs(run.id)[:3] == ["quote", "reserve", "record"]
    assert sorted(shop.world.verbs(run.id)[3:]) == ["commit", "post"]
    assert shop.log.rows[run.id].status is Status.COMPLETED


async def test_a_refused_quote_ends_as_failed_and_begins_nothing() -> None:
    shop = Shop.open()
    shop.world.trouble["quote"] = [lambda _: Refused(NotForSale())]
    run = shop.run()
    answer = await shop.runner.submit(run).future
    assert answer.outcome == NotForSale()
    assert shop.world.verbs(run.id) == ["quote"]
    assert shop.log.rows[run.id].status is Status.FAILED


async def test_a_quote_refused_for_the_caller_is_not_the_answer_of_the_id() -> None:
    shop = Shop.open()
    shop.world.trouble["quote"] = [lambda _: Refused(PermissionMissing(permission="sales.bulk"))]
    saga_id = new_id()
    refused = await shop.runner.submit(shop.run(saga_id)).future
    assert refused.outcome == PermissionMissing(permission="sales.bulk")
    assert saga_id not in shop.log.rows
    allowed = await shop.runner.submit(shop.run(saga_id)).future
    assert isinstance(allowed.outcome, Happened)


async def test_a_refused_step_closes_before_it_undoes_and_answers_after_the_end_row() -> None:
    shop = Shop.open(World(stock=0))
    run = shop.run()
    answer = await shop.runner.submit(run).future
    assert answer.outcome == SoldOut()
    assert shop.log.rows[run.id].status is Status.COMPENSATED, "the refusal is told only once it is written"
    assert shop.world.verbs(run.id) == ["quote", "reserve", "close", "release"]
    assert [status for _, status in shop.log.history] == [Status.PENDING, Status.COMPENSATING, Status.COMPENSATED]


async def test_a_refused_pivot_gives_the_goods_back() -> None:
    shop = Shop.open(World(stock=5))
    shop.world.trouble["record"] = [lambda _: Refused(NotForSale())]
    run = shop.run()
    answer = await shop.runner.submit(run).future
    assert answer.outcome == NotForSale()
    assert shop.world.stock == 5


@pytest.mark.parametrize("verb", ["reserve", "record", "post", "commit"])
@pytest.mark.parametrize("trouble", [lost_before, lost_after, broken])
async def test_unknown_is_repeated_with_the_same_ids_and_never_taken_for_no(verb: str, trouble: Trouble) -> None:
    shop = Shop.open(World(stock=5))
    shop.world.trouble[verb] = [trouble, trouble]
    run = shop.run()
    waiter = shop.runner.submit(run)
    await shop.settle()
    answer = await waiter.future
    assert isinstance(answer.outcome, Happened)
    assert not answer.replayed
    assert (shop.world.stock, shop.world.held[run.id]) == (4, "COMMITTED")
    assert shop.log.rows[run.id].status is Status.COMPLETED


@pytest.mark.parametrize("verb", ["close", "release"])
@pytest.mark.parametrize("trouble", [lost_before, lost_after, broken])
async def test_the_way_back_survives_unknowns_too(verb: str, trouble: Trouble) -> None:
    shop = Shop.open(World(stock=5))
    shop.world.trouble["record"] = [lambda _: Refused(NotForSale())]
    shop.world.trouble[verb] = [trouble, trouble]
    run = shop.run()
    waiter = shop.runner.submit(run)
    await shop.settle()
    assert (await waiter.future).outcome == NotForSale()
    assert shop.world.stock == 5
    assert shop.log.rows[run.id].status is Status.COMPENSATED


async def test_time_over_before_the_pivot_closes_and_undoes() -> None:
    shop = Shop.open(World(stock=5), ttl_s=0.05)
    shop.world.trouble["record"] = [lost_before] * 100
    run = shop.run()
    waiter = shop.runner.submit(run)
    await asyncio.sleep(0.06)
    for row in shop.log.rows.values():
        row.age_s = 1.0
    await shop.settle()
    assert (await waiter.future).outcome == TimedOut()
    assert shop.world.stock == 5


async def test_time_over_with_the_sale_recorded_goes_forward() -> None:
    shop = Shop.open(World(stock=5), ttl_s=0.05)
    shop.world.trouble["record"] = [lost_after]
    run = shop.run()
    waiter = shop.runner.submit(run)
    await shop.parked()
    shop.log.rows[run.id].age_s = 1.0
    await shop.settle()
    assert isinstance((await waiter.future).outcome, Happened)
    row = shop.log.rows[run.id]
    assert (row.status, row.refusal) == (Status.COMPLETED, None)
    assert shop.world.verbs(run.id).count("release") == 0


POISON = new_id()


class HasABug(World):
    """A world whose stock room breaks on one saga, each time."""

    def reserve(self, saga_id: UUID) -> Outcome:
        if saga_id == POISON:
            return broken(Done)
        return super().reserve(saga_id)


async def test_a_participant_with_a_bug_ends_in_review_and_the_others_do_not_notice() -> None:
    shop = Shop.open(HasABug(), attempts=3)
    others = [shop.run() for _ in range(20)]
    asked = shop.runner.submit(shop.run(POISON))
    answered = [shop.runner.submit(run) for run in others]
    await shop.settle()
    assert shop.log.rows[POISON].status is Status.NEEDS_REVIEW
    assert shop.world.verbs(POISON) == ["quote", "reserve", "reserve", "reserve"]
    assert not asked.future.done(), "there is no answer before there is an end"
    assert all(shop.log.rows[run.id].status is Status.COMPLETED for run in others)
    assert all(isinstance(waiter.future.result().outcome, Happened) for waiter in answered)


async def test_a_participant_that_is_down_uses_up_no_attempts() -> None:
    shop = Shop.open(attempts=2)
    shop.world.trouble["post"] = [lost_before] * 6
    run = shop.run()
    shop.runner.submit(run)
    await shop.settle()
    assert shop.log.rows[run.id].status is Status.COMPLETED


async def test_a_finish_that_refuses_goes_before_a_person() -> None:
    shop = Shop.open()
    shop.world.trouble["commit"] = [lambda _: Refused(NotForSale())]
    run = shop.run()
    answer = await shop.runner.submit(run).future
    assert isinstance(answer.outcome, Happened)
    await shop.settle()
    assert shop.log.rows[run.id].status is Status.NEEDS_REVIEW
    assert shop.world.verbs(run.id).count("release") == 0, "never undone silently"


async def test_one_id_fifty_times_at_once_is_one_sale_and_fifty_equal_answers() -> None:
    shop = Shop.open()
    saga_id = new_id()
    waiters = [shop.runner.submit(shop.run(saga_id)) for _ in range(50)]
    answers = await asyncio.gather(*(waiter.future for waiter in waiters))
    await shop.settle()
    receipts = [answer.outcome.result["receipt"] for answer in answers if isinstance(answer.outcome, Happened)]
    assert receipts == [f"R-{saga_id}"] * 50
    assert [answer.replayed for answer in answers].count(False) == 1
    assert shop.world.verbs(saga_id).count("record") == 1


async def test_the_same_id_with_other_content_is_refused_while_it_runs_and_after() -> None:
    shop = Shop.open()
    saga_id = new_id()
    first = shop.runner.submit(shop.run(saga_id))
    other = shop.runner.submit(shop.run(saga_id, content=b"other"))
    assert isinstance((await other.future).outcome, IdempotencyMismatch)
    await first.future
    await shop.settle()
    late = shop.runner.submit(shop.run(saga_id, content=b"other"))
    assert isinstance((await late.future).outcome, IdempotencyMismatch)


@pytest.mark.parametrize("stock", [5, 0])
async def test_a_repeat_after_the_end_gets_the_first_answer(stock: int) -> None:
    shop = Shop.open(World(stock=stock))
    saga_id = new_id()
    first = await shop.runner.submit(shop.run(saga_id)).future
    await shop.settle()
    shop.world.stock = 50
    again = await shop.runner.submit(shop.run(saga_id)).future
    assert again.replayed
    if isinstance(first.outcome, Refusal):
        assert again.outcome == first.outcome
    else:
        assert isinstance(again.outcome, Happened)
        assert again.outcome.result == first.outcome.result
        assert again.outcome.trace_id == first.outcome.trace_id


async def test_a_quote_that_is_unknown_begins_nothing_but_a_known_id_is_answered() -> None:
    shop = Shop.open()
    saga_id = new_id()
    await shop.runner.submit(shop.run(saga_id)).future
    await shop.settle()
    shop.world.trouble["quote"] = [lost_before, lost_before]
    known = await shop.runner.submit(shop.run(saga_id)).future
    assert isinstance(known.outcome, Happened)
    fresh = shop.run()
    new = await shop.runner.submit(fresh).future
    assert isinstance(new.outcome, ParticipantUnavailable)
    assert fresh.id not in shop.log.rows


async def test_a_fenced_owner_stops_and_its_caller_gets_what_the_row_says() -> None:
    shop = Shop.open()
    run = shop.run()

    async def steal() -> None:
        shop.log.rows[run.id].epoch += 1
        shop.log.rows[run.id].status = Status.COMPENSATED
        shop.log.rows[run.id].refusal = SoldOut()

    shop.world.trouble["reserve"] = [lambda _: Refused(NotForSale())]
    with armed("SALE.reserve.reply_got", steal):
        waiter = shop.runner.submit(run)
        while not waiter.future.done():
            await shop.runner.follow()
            await asyncio.sleep(0.002)
    assert (await waiter.future).outcome == SoldOut()
    assert shop.world.verbs(run.id) == ["quote", "reserve"], "no further call after the lost claim"


async def test_too_many_that_wait_are_refused_before_anything_is_begun() -> None:
    shop = Shop.open(waiting=3, cohorts=1, cohort_size=1)
    runs = [shop.run() for _ in range(6)]
    refused = []
    for run in runs:
        try:
            shop.runner.submit(run)
        except TooBusy:
            refused.append(run)
    await shop.settle()
    assert refused
    assert all(run.id not in shop.log.rows for run in refused)


def test_a_saga_out_of_order_is_refused_when_it_is_defined() -> None:
    verb = World().serve("any", lambda _: Done())
    before, middle, after = (
        step("a", verb, undo=verb),
        pivot("b", verb, close=verb),
        finish("c", verb),
    )
    for steps in [
        (before, after),
        (before, middle, middle),
        (after, middle),
        (middle, before),
        (before, before, middle),
    ]:
        with pytest.raises(ValueError, match="saga BAD"):
            Saga(type="BAD", version=1, quote=verb, steps=steps)
