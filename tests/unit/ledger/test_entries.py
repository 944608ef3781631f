from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.ledger.domain.accounts import Account, LockedAccount, PaymentMethod, Sale
from services.ledger.domain.entries import (
    Booked,
    Event,
    Posted,
    accounts_of,
    answers,
    claims_of,
    earliest_dates,
    first_by_id,
    next_open_date,
    place,
)
from venus_kit.errors import IdempotencyMismatch

MONDAY = date(2026, 1, 5)
NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def _event(
    number: int = 1,
    *,
    store_id: int = 1,
    total_paise: int = 72500,
    method: PaymentMethod = PaymentMethod.CASH,
    customer: int = 0,
    day: date = MONDAY,
    actor: str = "asha",
    trace_id: str = "a" * 32,
) -> Event:
    sale = Sale(UUID(int=number + 1000), method, total_paise, UUID(int=customer) if customer else None)
    return Event(UUID(int=number), store_id, day, sale, actor, trace_id)


events = st.builds(
    _event,
    st.integers(1, 6),
    store_id=st.integers(1, 2),
    total_paise=st.integers(0, 3) | st.just(10**15),
    method=st.sampled_from(PaymentMethod),
    customer=st.integers(1, 2),
)


def _place(batch: list[Event], standing: dict[str, Account] | None = None) -> Posted | None:
    claims = first_by_id(claims_of(batch, frozenset()))
    names = accounts_of(claims)
    if not names:
        return None
    known = standing or {}
    fresh = {name.code: Account(name.code, name.store_id, 0, 0, 0) for name in names}
    return place(claims, {code: LockedAccount(known.get(code, account), NOON) for code, account in fresh.items()})


def test_a_repeat_agrees_whoever_tells_it_in_whatever_trace() -> None:
    assert _event().fingerprint() == _event(actor="ravi", trace_id="b" * 32).fingerprint()


def test_every_fact_of_an_event_is_in_its_fingerprint() -> None:
    told = [
        _event(),
        _event(2),
        _event(store_id=2),
        _event(total_paise=72501),
        _event(method=PaymentMethod.UPI),
        _event(method=PaymentMethod.CREDIT, customer=7),
        _event(method=PaymentMethod.CREDIT, customer=8),
        _event(day=MONDAY + timedelta(days=1)),
    ]

    assert len({event.fingerprint() for event in told}) == len(told)


def test_an_event_counts_on_its_own_date_while_that_is_open() -> None:
    assert next_open_date(1, MONDAY, {(2, MONDAY), (1, MONDAY + timedelta(days=1))}) == MONDAY


def test_closed_dates_send_an_event_to_the_next_open_one() -> None:
    closed = {(1, MONDAY), (1, MONDAY + timedelta(days=1)), (1, MONDAY + timedelta(days=3))}

    assert next_open_date(1, MONDAY, closed) == MONDAY + timedelta(days=2)


def test_closed_dates_are_asked_for_from_the_first_date_of_each_store() -> None:
    batch = [_event(1, day=MONDAY), _event(2, day=MONDAY - timedelta(days=3)), _event(3, store_id=2)]

    assert earliest_dates(batch) == {1: MONDAY - timedelta(days=3), 2: MONDAY}


def test_the_first_event_with_an_id_speaks_for_it() -> None:
    claims = first_by_id(claims_of([_event(1), _event(2), _event(1, total_paise=5)], frozenset()))

    assert [(claim.entry_id.int, claim.event.sale.total_paise) for claim in claims] == [(1, 72500), (2, 72500)]


def test_same_key_twice_in_batch_gets_one_answer_and_another_content_a_mismatch() -> None:
    batch = [_event(1), _event(1, actor="ravi"), _event(1, total_paise=5)]
    claims = claims_of(batch, frozenset())
    booked = {claim.entry_id: claim.booked(NOON) for claim in first_by_id(claims)}

    first, second, third = answers(claims, booked)

    assert isinstance(first, Booked)
    assert second is first
    assert third == IdempotencyMismatch(entry_id=str(UUID(int=1)))


@given(st.lists(events, max_size=12))
def test_debits_equal_credits_whatever_comes(batch: list[Event]) -> None:
    posted = _place(batch)
    if posted is None:
        return

    assert sum(a.debit_paise for a in posted.accounts) == sum(a.credit_paise for a in posted.accounts)
    assert sum(a.balance_paise for a in posted.accounts) == 0


@given(st.lists(st.lists(events, max_size=6), max_size=4))
def test_a_balance_is_the_sum_of_its_postings_batch_after_batch(batches: list[list[Event]]) -> None:
    standing: dict[str, Account] = {}
    sums: Counter[str] = Counter()
    history: dict[str, list[Account]] = {}
    for batch in batches:
        posted = _place(batch, standing)
        if posted is None:
            continue
        for posting in posted.postings:
            sums[posting.debit.code] += posting.amount_paise
            sums[posting.credit.code] -= posting.amount_paise
            for account in (posting.debit, posting.credit):
                history.setdefault(account.code, []).append(account)
                assert account.balance_paise == sums[account.code]
        standing |= {account.code: account for account in posted.accounts}

    assert {code: account.balance_paise for code, account in standing.items()} == dict(sums)
    for code, places in history.items():
        assert [place.sequence for place in places] == list(range(1, len(places) + 1))
        assert standing[code] == places[-1]


@given(st.lists(events, max_size=12))
def test_each_id_is_booked_once(batch: list[Event]) -> None:
    claims = first_by_id(claims_of(batch, frozenset()))

    assert Counter(claim.entry_id for claim in claims) == Counter({event.entry_id for event in batch})


@given(st.lists(events, max_size=12))
def test_accounts_are_locked_in_one_order(batch: list[Event]) -> None:
    codes = [name.code for name in accounts_of(claims_of(batch, frozenset()))]

    assert all(earlier < later for earlier, later in pairwise(codes))


def test_postings_get_a_time_that_lies_before_no_posting_of_their_accounts() -> None:
    later = NOON + timedelta(seconds=1)
    claims = claims_of([_event()], frozenset())
    locked = {
        name.code: LockedAccount(Account(name.code, 1, 0, 0, 0), at)
        for name, at in zip(accounts_of(claims), (later, NOON), strict=True)
    }

    assert place(claims, locked).posted_at == later
