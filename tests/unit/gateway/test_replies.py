import json

import pytest
from google.protobuf.json_format import MessageToDict, Parse
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.answers import HTTP_OF_GRPC, failed, refused
from services.gateway.gathering import BatchShape
from services.gateway.refusals import BodyTooLarge, MethodNotAllowed
from services.gateway.replies import ReplyWriter
from venus.inventory.v1 import inventory_service_pb2, pool_pb2
from venus.orchestrator.v1 import orchestrator_service_pb2, transaction_pb2
from venus.sales.v1 import sale_pb2
from venus.type.v1 import stock_pb2
from venus_kit.errors import NotSignedIn, TooBusy

create_sale = ReplyWriter(orchestrator_service_pb2.CreateSaleResponse.DESCRIPTOR, "sale.status=SALE_STATUS_PENDING")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
int64 = st.integers(-(2**63), 2**63 - 1)
int32 = st.integers(-(2**31), 2**31 - 1)
lines = st.builds(
    sale_pb2.SaleLine,
    sku_code=texts,
    bird_type=st.sampled_from(stock_pb2.BirdType.values()),
    weight_grams=int64,
    bird_count=int32,
)
sales = st.builds(
    sale_pb2.Sale,
    sale_id=texts,
    store_id=int32,
    total_paise=int64,
    status=st.sampled_from(sale_pb2.SaleStatus.values()),
    lines=st.lists(lines, max_size=3),
)


@settings(max_examples=200, deadline=None)
@given(
    reply=st.builds(orchestrator_service_pb2.CreateSaleResponse, sale=st.none() | sales, replayed=st.booleans()),
    seconds=st.integers(-62135596800, 253402300799),
)
def test_a_reply_is_written_as_protobufs_own_library_writes_it(reply, seconds):
    if reply.HasField("sale"):
        reply.sale.create_time.FromSeconds(seconds)
    written = json.loads(create_sale.body(reply))
    assert written == MessageToDict(reply, always_print_fields_with_no_presence=True)
    assert Parse(create_sale.body(reply), orchestrator_service_pb2.CreateSaleResponse()) == reply


def test_a_transaction_with_its_refusal_and_steps():
    status = Status(code=code_pb2.FAILED_PRECONDITION)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="INSUFFICIENT_STOCK"))
    transaction = transaction_pb2.Transaction(refusal=status, steps=[transaction_pb2.TransactionStep(name="a")])
    reply = orchestrator_service_pb2.GetTransactionResponse(transaction=transaction)
    writer = ReplyWriter(orchestrator_service_pb2.GetTransactionResponse.DESCRIPTOR)
    assert json.loads(writer.body(reply)) == MessageToDict(reply, always_print_fields_with_no_presence=True)


def test_an_enum_value_that_is_newer_than_the_gateway_is_told_by_number():
    reply = inventory_service_pb2.AdjustStockResponse(movement=pool_pb2.Movement(reason=99))  # pyright: ignore[reportArgumentType]
    writer = ReplyWriter(inventory_service_pb2.AdjustStockResponse.DESCRIPTOR)
    assert json.loads(writer.body(reply))["movement"]["reason"] == 99


@pytest.mark.parametrize(
    ("status", "code"),
    [(sale_pb2.SALE_STATUS_PENDING, 202), (sale_pb2.SALE_STATUS_COMPLETED, 200), (sale_pb2.SALE_STATUS_VOIDED, 200)],
)
def test_a_pending_sale_is_accepted(status, code):
    reply = orchestrator_service_pb2.CreateSaleResponse(sale=sale_pb2.Sale(status=status))
    assert create_sale.http_code(reply) == code


@pytest.mark.parametrize("rule", ["sale.state=X", "sale.status=X", "sale.sale_id=X", "sold=X"])
def test_an_accepted_when_that_fits_nothing_is_found_at_the_start(rule):
    with pytest.raises((KeyError, ValueError)):
        ReplyWriter(orchestrator_service_pb2.CreateSaleResponse.DESCRIPTOR, rule)


def test_every_code_of_grpc_has_one_of_http():
    assert set(HTTP_OF_GRPC) == set(code_pb2.Code.values())


@pytest.mark.parametrize(
    ("code", "http_code", "name"),
    [
        (code_pb2.FAILED_PRECONDITION, 400, "FAILED_PRECONDITION"),
        (code_pb2.ABORTED, 409, "ABORTED"),
        (code_pb2.ALREADY_EXISTS, 409, "ALREADY_EXISTS"),
        (code_pb2.PERMISSION_DENIED, 403, "PERMISSION_DENIED"),
        (code_pb2.RESOURCE_EXHAUSTED, 429, "RESOURCE_EXHAUSTED"),
        (code_pb2.UNAVAILABLE, 503, "UNAVAILABLE"),
        (code_pb2.DEADLINE_EXCEEDED, 504, "DEADLINE_EXCEEDED"),
        (77, 500, "UNKNOWN"),
    ],
)
def test_a_status_becomes_an_answer(code, http_code, name):
    answer = failed(Status(code=code, message="why"))
    assert answer.http_code == http_code
    assert json.loads(answer.body) == {"error": {"code": http_code, "status": name, "message": "why", "details": []}}
    assert answer.outcome == name


def test_details_that_are_for_us_stay_in():
    status = Status(code=code_pb2.INTERNAL)
    status.details.add().Pack(error_details_pb2.DebugInfo(detail="a stack"))
    status.details.add(type_url="type.googleapis.com/unknown.Type", value=b"x")
    assert json.loads(failed(status).body)["error"]["details"] == []


@pytest.mark.parametrize(("seconds", "header"), [(0.2, b"1"), (1.0, b"1"), (1.2, b"2"), (30, b"30")])
def test_retry_info_is_a_header_too(seconds, header):
    answer = refused(TooBusy(retry_after_s=seconds))
    assert answer.http_code == 429
    assert dict(answer.headers)[b"retry-after"] == header
    assert json.loads(answer.body)["error"]["details"][1]["@type"] == "type.googleapis.com/google.rpc.RetryInfo"


def test_headers_that_go_with_their_codes():
    assert dict(refused(NotSignedIn()).headers)[b"www-authenticate"].startswith(b"Bearer")
    assert dict(refused(MethodNotAllowed("GET")).headers)[b"allow"] == b"GET"
    assert dict(refused(BodyTooLarge()).headers)[b"connection"] == b"close"


def test_the_shape_of_a_batch_is_read_from_its_descriptors():
    methods = orchestrator_service_pb2.DESCRIPTOR.services_by_name["OrchestratorService"].methods_by_name
    assert BatchShape.find(methods["CreateSale"], methods["BatchCreateSales"]) == BatchShape(
        "items", "context", "request", "outcomes", "index", "reply", "error"
    )
    with pytest.raises(TypeError):
        BatchShape.find(methods["GetTransaction"], methods["BatchCreateSales"])
    with pytest.raises(TypeError):
        BatchShape.find(methods["CreateSale"], methods["GetTransaction"])
