"""Who may call what stands in the proto, and the rule compiled from it lets nobody else in."""

import pytest
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import Default
from google.protobuf.message_factory import GetMessageClass

from venus.inventory.v1 import inventory_service_pb2 as stock
from venus.orchestrator.v1 import orchestrator_service_pb2 as saga
from venus.type.v1 import access_pb2
from venus_kit.access import AccessRules, Caller, Person, current_caller
from venus_kit.errors import NotSignedIn, PermissionMissing, StoreNotFound
from venus_kit.ids import new_id

INT32, MESSAGE = FieldDescriptorProto.TYPE_INT32, FieldDescriptorProto.TYPE_MESSAGE
OPTIONAL, REPEATED = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED

CASHIER = Person("cashier", permissions=frozenset({"sales.create"}), store_ids=frozenset({1, 2}))
OWNER = Person("owner", permissions=frozenset({"sales.create"}), all_stores=True)
LOOKER = Person("looker", permissions=frozenset({"sales.view"}), all_stores=True)

RULES = AccessRules(
    access_pb2.access,
    [
        saga.DESCRIPTOR.services_by_name["OrchestratorService"],
        stock.DESCRIPTOR.services_by_name["InventoryService"],
    ],
)
CREATE = RULES["/venus.orchestrator.v1.OrchestratorService/CreateSale"]
BATCH = RULES["/venus.orchestrator.v1.OrchestratorService/BatchCreateSales"]
RESERVE = RULES["/venus.inventory.v1.InventoryService/ReserveStock"]
RESERVE_BATCH = RULES["/venus.inventory.v1.InventoryService/BatchReserveStock"]


def test_a_person_with_the_permission_may_in_the_stores_of_their_scope() -> None:
    CREATE.check_person(CASHIER, saga.CreateSaleRequest(store_id=2))
    CREATE.check_person(OWNER, saga.CreateSaleRequest(store_id=77))


def test_a_store_outside_the_scope_is_not_there() -> None:
    with pytest.raises(StoreNotFound) as refused:
        CREATE.check_person(CASHIER, saga.CreateSaleRequest(store_id=3))
    assert refused.value.metadata == {"store_id": "3"}


def test_who_lacks_the_permission_is_told_which_one_and_nothing_of_the_store() -> None:
    with pytest.raises(PermissionMissing) as refused:
        CREATE.check_person(LOOKER, saga.CreateSaleRequest(store_id=3))
    assert refused.value.metadata == {"permission": "sales.create"}


def test_nobody_is_not_a_person() -> None:
    with pytest.raises(NotSignedIn):
        CREATE.check_person(None, saga.CreateSaleRequest(store_id=1))
    with pytest.raises(NotSignedIn):
        BATCH.check_item(None, saga.CreateSaleItem(request=saga.CreateSaleRequest(store_id=1)))


def test_each_item_of_a_batch_is_held_against_its_own_person() -> None:
    item = saga.CreateSaleItem(request=saga.CreateSaleRequest(store_id=3))
    BATCH.check_item(OWNER, item)
    with pytest.raises(StoreNotFound):
        BATCH.check_item(CASHIER, item)
    with pytest.raises(PermissionMissing):
        BATCH.check_item(LOOKER, item)


def test_a_service_calls_what_is_open_to_services_and_what_names_it() -> None:
    RESERVE.check_service("sales")
    RESERVE_BATCH.check_service("orchestrator")
    with pytest.raises(PermissionMissing) as refused:
        RESERVE_BATCH.check_service("sales")
    assert refused.value.metadata == {"service": "sales", "method": "BatchReserveStock"}


def test_only_what_people_may_call_asks_for_a_person() -> None:
    assert (CREATE.for_people, BATCH.for_people) == (True, True)
    assert (RESERVE.for_people, RESERVE_BATCH.for_people) == (False, False)


def test_every_store_that_a_request_names_must_be_in_the_scope() -> None:
    paths = ["from_store_id", "to_store_id", "lines.store_id"]
    service = declaring(access_pb2.Access(caller=access_pb2.CALLER_USER, store_fields=paths))
    (rule,) = AccessRules(access_pb2.access, [service]).values()
    request = GetMessageClass(service.methods_by_name["Move"].input_type)
    rule.check_person(CASHIER, request(from_store_id=1, to_store_id=2, lines=[{"store_id": 1}, {"store_id": 2}]))
    for elsewhere in (
        request(from_store_id=3, to_store_id=2),
        request(from_store_id=1, to_store_id=3),
        request(from_store_id=1, to_store_id=2, lines=[{"store_id": 1}, {"store_id": 3}]),
    ):
        with pytest.raises(StoreNotFound):
            rule.check_person(CASHIER, elsewhere)


@pytest.mark.parametrize(
    ("declared", "told"), [(None, "declares no access"), (access_pb2.Access(), "does not say who may call it")]
)
def test_a_service_with_an_rpc_that_declares_nothing_does_not_start(
    declared: access_pb2.Access | None, told: str
) -> None:
    with pytest.raises(KeyError, match=told):
        AccessRules(access_pb2.access, [declaring(declared)])


def test_effects_are_written_down_under_the_person_where_there_is_one() -> None:
    assert (Caller("gateway", CASHIER).name, Caller("orchestrator").name) == ("cashier", "orchestrator")


def test_outside_of_an_rpc_there_is_no_caller() -> None:
    with pytest.raises(LookupError):
        current_caller()


def declaring(access: access_pb2.Access | None) -> ServiceDescriptor:
    """A service with one RPC, `Move`, whose request has `from_store_id`, `to_store_id` and `lines[].store_id`."""
    package = f"test_{new_id().hex}"
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    file.message_type.add(name="Line").field.add(name="store_id", number=1, type=INT32, label=OPTIONAL)
    request = file.message_type.add(name="Request")
    request.field.add(name="from_store_id", number=1, type=INT32, label=OPTIONAL)
    request.field.add(name="to_store_id", number=2, type=INT32, label=OPTIONAL)
    request.field.add(name="lines", number=3, type=MESSAGE, type_name=f".{package}.Line", label=REPEATED)
    name = f".{package}.Request"
    method = file.service.add(name="Service").method.add(name="Move", input_type=name, output_type=name)
    if access is not None:
        method.options.Extensions[access_pb2.access].CopyFrom(access)
    pool = Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName(f"{package}.Service")
