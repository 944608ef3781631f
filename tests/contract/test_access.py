import re

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, MethodOptions

from tests.contract.declared import Rpc, field_at, rpcs
from venus.type.v1 import access_pb2
from venus_kit.access import AccessRules

SERVICES = {"inventory", "sales", "ledger", "orchestrator", "gateway"}

every_rpc = pytest.mark.parametrize("rpc", rpcs(), ids=lambda rpc: rpc.full_name)
every_user_rpc = pytest.mark.parametrize(
    "rpc", [rpc for rpc in rpcs() if rpc.access.caller == access_pb2.CALLER_USER], ids=lambda rpc: rpc.full_name
)
every_rest_rpc = pytest.mark.parametrize("rpc", [rpc for rpc in rpcs() if rpc.http], ids=lambda rpc: rpc.full_name)


def test_the_protos_are_read() -> None:
    assert {rpc.package for rpc in rpcs()} >= {f"venus.{name}.v1" for name in SERVICES - {"gateway"}}


@every_rpc
def test_says_who_may_call(rpc: Rpc) -> None:
    assert rpc.method.options.HasExtension(access_pb2.access)
    assert rpc.access.caller in (access_pb2.CALLER_USER, access_pb2.CALLER_INTERNAL)


@every_rpc
def test_says_in_exactly_one_way_where_the_store_stands(rpc: Rpc) -> None:
    access = rpc.access

    assert [bool(access.store_fields), access.store_of_row, access.no_store].count(True) == 1


@every_rpc
def test_store_fields_are_there_and_hold_store_ids(rpc: Rpc) -> None:
    for path in rpc.access.store_fields:
        field = field_at(rpc.method.input_type, path)
        assert field is not None, path
        assert field.type == FieldDescriptorProto.TYPE_INT32, path


@every_rpc
def test_a_request_that_names_its_store_is_checked_against_it(rpc: Rpc) -> None:
    """A store that stands in the request and not in the rule would be a hole, unless the query is scoped."""
    named = [path for path in ("store_id", "items.request.store_id") if field_at(rpc.method.input_type, path)]

    assert rpc.access.store_of_row or set(named) <= set(rpc.access.store_fields)


@every_user_rpc
def test_a_person_needs_a_permission(rpc: Rpc) -> None:
    assert re.fullmatch(r"[a-z]+(\.[a-z]+)+", rpc.access.permission)
    assert not rpc.access.services


@every_rpc
def test_a_service_needs_no_permission_and_is_one_of_ours(rpc: Rpc) -> None:
    if rpc.access.caller == access_pb2.CALLER_INTERNAL:
        assert not rpc.access.permission
        assert set(rpc.access.services) <= SERVICES


@every_rest_rpc
def test_only_what_people_call_has_a_rest_form(rpc: Rpc) -> None:
    assert rpc.access.caller == access_pb2.CALLER_USER
    assert not rpc.method.server_streaming


@every_rest_rpc
def test_a_rest_form_fits_its_request(rpc: Rpc) -> None:
    assert rpc.http is not None
    verb, path = rpc.http

    assert path.startswith("/v1/")
    assert [name for name in re.findall(r"{(\w+)}", path) if field_at(rpc.method.input_type, name) is None] == []
    assert rpc.body == ("" if verb in ("GET", "DELETE") else "*")
    assert verb != "GET" or rpc.method.options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS


def test_no_two_rpcs_share_a_rest_form() -> None:
    forms = [(verb, re.sub(r"{\w+}", "{}", path)) for verb, path in (rpc.http for rpc in rpcs() if rpc.http)]

    assert sorted(set(forms)) == sorted(forms)


@every_rest_rpc
def test_what_gathers_an_rpc_is_a_stream_of_the_same_service(rpc: Rpc) -> None:
    if rpc.rest.gathered_by:
        (batch,) = [r for r in rpcs() if (r.service, r.name) == (rpc.service, rpc.rest.gathered_by)]
        assert batch.method.server_streaming
        item = field_at(batch.method.input_type, "items.request")
        assert item is not None
        assert item.type_name == rpc.method.input_type
        assert batch.access.permission == rpc.access.permission
    if rpc.rest.accepted_when:
        path, _, value = rpc.rest.accepted_when.partition("=")
        field = field_at(rpc.method.output_type, path)
        assert field is not None
        assert field.type == FieldDescriptorProto.TYPE_ENUM
        assert value


@every_rpc
def test_says_whether_it_may_be_repeated(rpc: Rpc) -> None:
    assert rpc.method.options.idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN


@every_rpc
def test_promises_something_and_names_its_errors(rpc: Rpc) -> None:
    assert rpc.promise.startswith(f"{rpc.name} ")
    assert rpc.promise.endswith(".")
    assert re.match(r"Errors( of an item)?: \S", rpc.errors), "wants a line `Errors: ...` or `Errors of an item: ...`"


@every_rpc
def test_error_lines_can_be_read(rpc: Rpc) -> None:
    """`REASON, REASON (CODE); REASON (CODE).` or `none.`: other tests and readers rely on it."""
    _, _, told = rpc.errors.partition(": ")
    names = re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", told)

    assert told.startswith("none") != bool(rpc.reasons)
    assert set(names) <= {word for pair in rpc.reasons for word in pair}


def test_the_kit_can_compile_every_rule() -> None:
    from venus.inventory.v1 import inventory_service_pb2
    from venus.ledger.v1 import ledger_service_pb2
    from venus.orchestrator.v1 import orchestrator_service_pb2
    from venus.sales.v1 import sales_service_pb2

    modules = (inventory_service_pb2, ledger_service_pb2, orchestrator_service_pb2, sales_service_pb2)
    services = [service for module in modules for service in module.DESCRIPTOR.services_by_name.values()]

    assert len(AccessRules(access_pb2.access, services)) == len(rpcs())
