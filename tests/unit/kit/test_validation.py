"""The rules that stand in the protos are told field by field."""

from uuid import uuid4

import pytest
from google.protobuf.message import Message

from venus.inventory.v1.inventory_service_pb2 import AdjustStockRequest, ReserveStockItem, ReserveStockRequest
from venus.inventory.v1.reservation_pb2 import ReservationLine
from venus.type.v1.item_context_pb2 import ItemContext
from venus.type.v1.stock_pb2 import BIRD_TYPE_BROILER, INVENTORY_TYPE_LIVE, INVENTORY_TYPE_SKIN
from venus_kit.errors import FieldViolation, InvalidRequest, Kind
from venus_kit.validation import Validation


@pytest.fixture(scope="module")
def validation() -> Validation:
    return Validation()


def skin(weight_grams: int) -> ReservationLine:
    return ReservationLine(bird_type=BIRD_TYPE_BROILER, inventory_type=INVENTORY_TYPE_SKIN, weight_grams=weight_grams)


def reserve(*lines: ReservationLine, store_id: int = 1) -> ReserveStockRequest:
    return ReserveStockRequest(store_id=store_id, reservation_id=str(uuid4()), lines=lines)


def wrong(validation: Validation, message: Message) -> tuple[FieldViolation, ...]:
    with pytest.raises(InvalidRequest) as refused:
        validation.check(message)
    assert refused.value.refused_as is Kind.INVALID_ARGUMENT
    return refused.value.violations


def test_a_message_that_keeps_its_rules_passes(validation: Validation) -> None:
    validation.check(reserve(skin(1)))


def test_every_wrong_field_is_named_by_its_path_its_rule_and_what_would_be_right(validation: Validation) -> None:
    found = wrong(validation, reserve(skin(1), skin(0), store_id=-1))
    assert [(one.field, one.reason) for one in found] == [
        ("store_id", "int32.gt"),
        ("lines[1].weight_grams", "int64.gt_lte"),
    ]
    assert "greater than 0" in found[0].description


def test_a_rule_over_several_fields_is_told_of_the_message_that_has_them(validation: Validation) -> None:
    birdless = ReservationLine(bird_type=BIRD_TYPE_BROILER, inventory_type=INVENTORY_TYPE_LIVE, weight_grams=1)
    (within,) = wrong(validation, reserve(birdless))
    (itself,) = wrong(validation, birdless)
    assert (within.field, itself.field) == ("lines[0]", "")
    assert within.reason == itself.reason == "reservation_line.birds"


def test_a_choice_that_was_not_made_is_told(validation: Validation) -> None:
    assert "adjustment" in [one.field for one in wrong(validation, AdjustStockRequest())]


def test_an_item_of_a_batch_is_told_as_the_call_that_it_is(validation: Validation) -> None:
    with pytest.raises(InvalidRequest) as refused:
        validation.check_item(ReserveStockItem(context=ItemContext(traceparent="made-up"), request=reserve(skin(0))))
    assert [one.field for one in refused.value.violations] == ["context.traceparent", "lines[0].weight_grams"]


def test_an_item_without_its_request_breaks_the_rules_of_the_request(validation: Validation) -> None:
    with pytest.raises(InvalidRequest) as refused:
        validation.check_item(ReserveStockItem())
    assert [one.field for one in refused.value.violations] == ["store_id", "reservation_id", "lines"]
