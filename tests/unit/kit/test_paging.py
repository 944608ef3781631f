"""Page tokens."""

from contextlib import suppress
from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venus_kit.errors import PageTokenInvalid
from venus_kit.paging import decode_token, encode_token

FILTERS = {"store_id": 1, "status": ["COMPLETED"], "from": date(2026, 1, 5)}
KEY = [datetime(2026, 1, 5, 9, 30, 0, 123456, tzinfo=UTC), UUID(int=7), date(2026, 1, 5), 42, "BRO-SKIN"]


def test_a_token_gives_back_the_key_with_its_types() -> None:
    assert decode_token(encode_token(FILTERS, KEY), FILTERS) == KEY


def test_an_empty_token_is_the_first_page() -> None:
    assert decode_token("", FILTERS) is None


def test_a_token_of_other_filters_is_refused() -> None:
    token = encode_token(FILTERS, KEY)
    with pytest.raises(PageTokenInvalid):
        decode_token(token, {**FILTERS, "store_id": 2})


def test_the_order_of_filters_does_not_count() -> None:
    token = encode_token(FILTERS, KEY)
    assert decode_token(token, dict(reversed(FILTERS.items()))) == KEY


def test_a_key_of_another_shape_is_refused() -> None:
    token = encode_token(FILTERS, KEY)
    assert decode_token(token, FILTERS, shape=[datetime, UUID, date, int, str]) == KEY
    with pytest.raises(PageTokenInvalid):
        decode_token(token, FILTERS, shape=[datetime, UUID])
    with pytest.raises(PageTokenInvalid):
        decode_token(encode_token(FILTERS, [True]), FILTERS, shape=[int])


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    if text:
        with pytest.raises(PageTokenInvalid):
            decode_token(text, FILTERS)


@given(st.integers(0, 200), st.integers(1, 255))
def test_a_token_that_was_changed_is_refused(place: int, change: int) -> None:
    token = encode_token(FILTERS, KEY)
    place %= len(token)
    changed = token[:place] + chr((ord(token[place]) + change) % 128) + token[place + 1 :]
    if changed != token:
        with suppress(PageTokenInvalid):
            assert decode_token(changed, FILTERS) == KEY  # base64 has spare bits at its end


def test_a_very_long_token_is_refused_unread() -> None:
    long = encode_token(FILTERS, ["x" * 2000])
    with pytest.raises(PageTokenInvalid):
        decode_token(long, FILTERS)
