import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.transcoding import RequestReader
from venus.inventory.v1 import inventory_service_pb2 as inventory_pb2
from venus.inventory.v1 import pool_pb2
from venus.orchestrator.v1 import orchestrator_service_pb2 as orchestrator_pb2
from venus.sales.v1 import sale_pb2, sales_service_pb2
from venus.type.v1 import payment_pb2
from venus_kit.errors import InvalidRequest

SALE: dict[str, Any] = {
    "saleId": "0190c2a4-0000-7000-8000-000000000001",
    "saleType": "SALE_TYPE_POS",
    "paymentMethod": "PAYMENT_METHOD_CASH",
    "customerId": "",
    "lines": [{"skuCode": "BRO-SKIN", "weightGrams": "2500", "birdCount": 0, "pricePaisePerKg": "18000"}],
}

create_sale: Any = RequestReader(
    orchestrator_pb2.CreateSaleRequest.DESCRIPTOR, variables=["store_id"], body="*", max_depth=16
)
list_sales: Any = RequestReader(
    sales_service_pb2.ListSalesRequest.DESCRIPTOR, variables=["store_id"], body="", max_depth=16
)
list_transactions: Any = RequestReader(
    orchestrator_pb2.ListTransactionsRequest.DESCRIPTOR, variables=[], body="", max_depth=16
)
adjust_stock: Any = RequestReader(
    inventory_pb2.AdjustStockRequest.DESCRIPTOR, variables=["store_id"], body="*", max_depth=16
)


def read_sale(document, store="1", query=b""):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return create_sale.read([store], query, body)


def violations(call):
    with pytest.raises(InvalidRequest) as caught:
        call()
    return {violation.field: violation.reason for violation in caught.value.violations}


def refusal_of(call):
    """The violations; None when there was nothing to refuse."""
    try:
        call()
    except InvalidRequest as refused:
        return refused.violations


def sale_with(**changes):
    return {**SALE, **changes}


def line_with(**changes):
    return sale_with(lines=[{**SALE["lines"][0], **changes}])


def test_a_till_sells_a_line():
    sale = read_sale(SALE)
    assert sale == orchestrator_pb2.CreateSaleRequest(
        store_id=1,
        sale_id="0190c2a4-0000-7000-8000-000000000001",
        sale_type=sale_pb2.SALE_TYPE_POS,
        payment_method=payment_pb2.PAYMENT_METHOD_CASH,
        lines=[sale_pb2.LineRequest(sku_code="BRO-SKIN", weight_grams=2500, price_paise_per_kg=18000)],
    )


def test_both_names_of_a_field_are_understood():
    snake = {"sale_id": SALE["saleId"], "sale_type": "SALE_TYPE_POS", "lines": [{"sku_code": "A", "weight_grams": 1}]}
    sale = read_sale(snake)
    assert sale.sale_id == SALE["saleId"]
    assert sale.lines[0].weight_grams == 1


@pytest.mark.parametrize("grams", [2500, "2500", 2500.0])
def test_a_whole_number_in_any_of_its_forms(grams):
    assert read_sale(line_with(weightGrams=grams)).lines[0].weight_grams == 2500


def test_zero_is_present_where_absence_means_something():
    assert read_sale(line_with(pricePaisePerKg=0)).lines[0].HasField("price_paise_per_kg")
    assert not read_sale(line_with(pricePaisePerKg=None)).lines[0].HasField("price_paise_per_kg")


def test_an_empty_object_is_a_present_message():
    assert adjust_stock.read(["1"], b"", b'{"delta": {}}').HasField("delta")


@pytest.mark.parametrize(
    ("document", "path", "reason"),
    [
        (line_with(wieght=1), "lines[0].wieght", "UNKNOWN_FIELD"),
        (sale_with(cashier="me"), "cashier", "UNKNOWN_FIELD"),
        (line_with(weightGrams=2.5), "lines[0].weightGrams", "WRONG_TYPE"),
        (line_with(weightGrams="2.5"), "lines[0].weightGrams", "WRONG_TYPE"),
        (line_with(weightGrams=""), "lines[0].weightGrams", "WRONG_TYPE"),
        (line_with(weightGrams=" 1"), "lines[0].weightGrams", "WRONG_TYPE"),
        (line_with(weightGrams="٣"), "lines[0].weightGrams", "WRONG_TYPE"),
        (line_with(weightGrams="007"), "lines[0].weightGrams", "WRONG_TYPE"),
        (line_with(weightGrams=True), "lines[0].weightGrams", "WRONG_TYPE"),
        (line_with(weightGrams=1e300), "lines[0].weightGrams", "WRONG_TYPE"),
        (line_with(weightGrams=2**63), "lines[0].weightGrams", "OUT_OF_RANGE"),
        (line_with(birdCount=2**31), "lines[0].birdCount", "OUT_OF_RANGE"),
        (line_with(skuCode=7), "lines[0].skuCode", "WRONG_TYPE"),
        (line_with(skuCode="A\0"), "lines[0].skuCode", "BAD_TEXT"),
        (line_with(skuCode="\ud800"), "lines[0].skuCode", "BAD_TEXT"),
        (sale_with(saleType="SALE_TYPE_NONE"), "saleType", "UNKNOWN_ENUM_VALUE"),
        (sale_with(saleType=99), "saleType", "UNKNOWN_ENUM_VALUE"),
        (sale_with(saleType=1.0), "saleType", "WRONG_TYPE"),
        (sale_with(saleType=True), "saleType", "WRONG_TYPE"),
        (sale_with(lines={}), "lines", "WRONG_TYPE"),
        (sale_with(lines=[SALE["lines"][0], None]), "lines[1]", "WRONG_TYPE"),
        (sale_with(lines=[[]]), "lines[0]", "WRONG_TYPE"),
        (sale_with(storeId=2), "storeId", "CONFLICTS_WITH_PATH"),
        (sale_with(sale_id="x"), "sale_id", "GIVEN_TWICE"),
        ([], "", "WRONG_TYPE"),
        (None, "", "WRONG_TYPE"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(document, path, reason):
    assert violations(lambda: read_sale(document)) == {path: reason}


def test_everything_wrong_is_told_at_once():
    found = violations(lambda: read_sale(sale_with(saleType="X", extra=1, lines=[{"weightGrams": "a"}]), store="x"))
    assert list(found) == ["saleType", "lines[0].weightGrams", "extra", "storeId"]


def test_a_key_that_stands_twice_is_refused():
    assert violations(lambda: read_sale(b'{"saleId": "a", "saleId": "b"}')) == {"saleId": "GIVEN_TWICE"}
    assert violations(lambda: read_sale(b'{"lines": [{"skuCode": "A", "skuCode": "A"}]}')) == {
        "lines[0].skuCode": "GIVEN_TWICE"
    }


def test_a_path_variable_may_be_repeated_in_the_body():
    assert read_sale(sale_with(storeId=1)).store_id == 1


def test_an_unknown_key_may_hold_anything():
    assert violations(lambda: read_sale(b'{"\\ud800": 1}')) == {"\\ud800": "UNKNOWN_FIELD"}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nul",
        b"{'a': 1}",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b"[1] 2",
        b'{"saleType": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_is_refused(body):
    assert violations(lambda: read_sale(body)) == {"(body)": "JSON_INVALID"}


def test_an_empty_body_is_an_empty_object():
    assert read_sale(b"").store_id == 1


def test_deep_nesting_is_refused_before_it_is_parsed():
    assert violations(lambda: read_sale(b"[" * 60_000)) == {"(body)": "TOO_DEEP"}
    assert violations(lambda: read_sale(b'{"lines": ' + b"[" * 20 + b"]" * 20 + b"}")) == {"(body)": "TOO_DEEP"}


def test_brackets_in_text_are_no_nesting():
    assert read_sale(sale_with(customerId='[[{"' * 50)).customer_id == '[[{"' * 50


def test_many_lines_are_no_nesting():
    assert len(read_sale(sale_with(lines=SALE["lines"] * 100)).lines) == 100


def test_only_one_of_a_oneof():
    body = json.dumps({"delta": {"weightGrams": 1}, "count": {"weightGrams": 1}}).encode()
    assert violations(lambda: adjust_stock.read(["1"], b"", body)) == {"count": "ONE_OF"}
    body = json.dumps({"delta": None, "count": {"weightGrams": 1}}).encode()
    assert adjust_stock.read(["1"], b"", body).HasField("count")


def test_query_parameters_fill_the_fields():
    query = urlencode({"businessDate": "2025-01-31", "status": "SALE_STATUS_COMPLETED", "page_size": "5"}).encode()
    assert list_sales.read(["7"], query, b"") == sales_service_pb2.ListSalesRequest(
        store_id=7, business_date="2025-01-31", status=sale_pb2.SALE_STATUS_COMPLETED, page_size=5
    )


def test_a_time_in_the_query():
    query = urlencode({"createTimeFrom": "2025-01-31T18:30:00+05:30"}).encode()
    read = list_transactions.read([], query, b"")
    assert read.create_time_from.ToJsonString() == "2025-01-31T13:00:00Z"


@pytest.mark.parametrize(
    ("query", "path", "reason"),
    [
        ("pageSise=5", "pageSise", "UNKNOWN_PARAMETER"),
        ("page_size.x=5", "page_size.x", "UNKNOWN_PARAMETER"),
        ("create_time_from.seconds=5", "create_time_from.seconds", "UNKNOWN_PARAMETER"),
        ("status=1&status=1", "status", "GIVEN_TWICE"),
        ("pageSize=5&page_size=5", "page_size", "GIVEN_TWICE"),
        ("pageSize=", "pageSize", "WRONG_TYPE"),
        ("pageSize=5.0", "pageSize", "WRONG_TYPE"),
        ("pageSize=99999999999", "pageSize", "OUT_OF_RANGE"),
        ("status=TRANSACTION_STATUS_X", "status", "UNKNOWN_ENUM_VALUE"),
        ("status=77", "status", "UNKNOWN_ENUM_VALUE"),
        ("createTimeFrom=yesterday", "createTimeFrom", "WRONG_TYPE"),
        ("createTimeFrom=2025-02-30T00:00:00Z", "createTimeFrom", "OUT_OF_RANGE"),
        ("createTimeFrom=0000-01-01T00:00:00Z", "createTimeFrom", "OUT_OF_RANGE"),
        ("traceId=%00", "traceId", "BAD_TEXT"),
        ("traceId=%ff", "(query)", "QUERY_INVALID"),
        ("&".join(["a=1"] * 200), "(query)", "QUERY_INVALID"),
    ],
)
def test_a_wrong_query_parameter_is_told_by_name(query, path, reason):
    assert violations(lambda: list_transactions.read([], query.encode(), b"")) == {path: reason}


def test_a_known_enum_value_may_come_by_number():
    assert list_transactions.read([], b"status=3", b"").status == 3
    assert read_sale(sale_with(saleType=1)).sale_type == 1


def test_a_call_with_a_whole_body_takes_no_query():
    assert violations(lambda: read_sale(SALE, query=b"saleType=SALE_TYPE_POS")) == {"saleType": "UNKNOWN_PARAMETER"}


def test_a_path_variable_may_not_be_contradicted_by_the_query():
    assert violations(lambda: list_sales.read(["7"], b"storeId=8", b"")) == {"storeId": "CONFLICTS_WITH_PATH"}
    assert list_sales.read(["7"], b"storeId=7", b"").store_id == 7


@pytest.mark.parametrize("store", ["x", "1.0", "", "+1", "99999999999", "0x1", "1e0"])
def test_a_wrong_path_variable_is_told(store):
    assert list(violations(lambda: list_sales.read([store], b"", b""))) == ["storeId"]


def test_one_field_can_be_the_body_and_the_rest_come_by_query():
    reader: Any = RequestReader(
        inventory_pb2.AdjustStockRequest.DESCRIPTOR, variables=["store_id"], body="delta", max_depth=16
    )
    read = reader.read(["1"], b"note=lost&reason=MOVEMENT_REASON_WASTAGE", b'{"weightGrams": -5}')
    assert read == inventory_pb2.AdjustStockRequest(
        store_id=1,
        delta=inventory_pb2.StockDelta(weight_grams=-5),
        note="lost",
        reason=pool_pb2.MOVEMENT_REASON_WASTAGE,
    )
    assert violations(lambda: reader.read(["1"], b"", b'{"grams": -5}')) == {"delta.grams": "UNKNOWN_FIELD"}
    assert violations(lambda: reader.read(["1"], b"delta.bird_count=1", b"{}")) == {
        "delta.bird_count": "UNKNOWN_PARAMETER"
    }


def test_nested_and_repeated_query_parameters():
    reader: Any = RequestReader(inventory_pb2.AdjustStockRequest.DESCRIPTOR, variables=[], body="", max_depth=16)
    assert reader.read([], b"count.weightGrams=5&count.countedAtSequence=0", b"").count == inventory_pb2.StockCount(
        weight_grams=5, counted_at_sequence=0
    )
    from venus.type.v1 import item_context_pb2

    actor: Any = RequestReader(item_context_pb2.Actor.DESCRIPTOR, variables=[], body="", max_depth=16)
    assert list(actor.read([], b"permissions=a&permissions=b", b"").permissions) == ["a", "b"]


@pytest.mark.parametrize(
    ("variables", "body"), [(["no_such"], "*"), (["lines"], "*"), (["store_id.x"], "*"), ([], "no_such")]
)
def test_an_annotation_that_fits_no_field_is_found_at_the_start(variables, body):
    with pytest.raises((KeyError, TypeError)):
        RequestReader(orchestrator_pb2.CreateSaleRequest.DESCRIPTOR, variables=variables, body=body, max_depth=16)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
lines = st.builds(
    sale_pb2.LineRequest,
    sku_code=texts,
    weight_grams=st.integers(-(2**63), 2**63 - 1),
    bird_count=st.integers(-(2**31), 2**31 - 1),
    price_paise_per_kg=st.none() | st.integers(-(2**63), 2**63 - 1),
)
sales = st.builds(
    orchestrator_pb2.CreateSaleRequest,
    store_id=st.integers(-(2**31), 2**31 - 1),
    sale_id=texts,
    sale_type=st.sampled_from(sale_pb2.SaleType.values()),
    payment_method=st.sampled_from(payment_pb2.PaymentMethod.values()),
    customer_id=texts,
    lines=st.lists(lines, max_size=5),
)


@settings(max_examples=200, deadline=None)
@given(sale=sales, camel=st.booleans(), enums_by_number=st.booleans(), with_defaults=st.booleans())
def test_any_sale_comes_through_unchanged(sale, camel, enums_by_number, with_defaults):
    from google.protobuf.json_format import MessageToDict

    document = MessageToDict(
        sale,
        preserving_proto_field_name=not camel,
        use_integers_for_enums=enums_by_number,
        always_print_fields_with_no_presence=with_defaults,
    )
    assert read_sale(document, store=str(sale.store_id)) == sale


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_query_comes_through_unchanged(data):
    wanted = sales_service_pb2.ListSalesRequest(
        store_id=3,
        business_date=data.draw(texts),
        status=data.draw(st.sampled_from(sale_pb2.SaleStatus.values())),
        page_size=data.draw(st.integers(-(2**31), 2**31 - 1)),
        page_token=data.draw(texts),
    )
    query = "&".join(
        f"{name}={quote(str(value), safe='')}"
        for name, value in [
            ("businessDate", wanted.business_date),
            ("status", sale_pb2.SaleStatus.Name(wanted.status)),
            ("page_size", wanted.page_size),
            ("pageToken", wanted.page_token),
        ]
    )
    assert list_sales.read(["3"], query.encode(), b"") == wanted


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def places(document, at=()):
    """Every place in a document, as the keys that lead there."""
    yield at
    if isinstance(document, dict | list):
        children = document.items() if isinstance(document, dict) else enumerate(document)
        for key, child in children:
            yield from places(child, (*at, key))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_mutated_sale_is_read_or_refused_with_a_path(data):
    document = json.loads(json.dumps(SALE))
    at = data.draw(st.sampled_from([place for place in places(document) if place]))
    holder = document
    for key in at[:-1]:
        holder = holder[key]
    action = data.draw(st.sampled_from(["replace", "remove", "add"]))
    if action == "replace":
        holder[at[-1]] = data.draw(json_values)
    elif action == "remove":
        del holder[at[-1]]
    elif isinstance(holder, dict):
        holder[data.draw(st.text(max_size=10))] = data.draw(json_values)
    refused = refusal_of(lambda: read_sale(document))
    assert refused is None or all(violation.reason for violation in refused)
    assert refused != ()


@settings(max_examples=300, deadline=None)
@given(cut=st.integers(0, 250), junk=st.binary(max_size=8))
def test_any_broken_body_is_read_or_refused(cut, junk):
    body = json.dumps(SALE).encode()
    assert refusal_of(lambda: read_sale(body[:cut] + junk + body[cut + len(junk) :])) != ()
