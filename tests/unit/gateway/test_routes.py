import pytest
from google.api.http_pb2 import HttpRule

from services.gateway.refusals import MethodNotAllowed, RouteNotFound
from services.gateway.routes import RouteTable, Template, _route, routes_of
from venus.inventory.v1 import inventory_service_pb2
from venus.orchestrator.v1 import orchestrator_service_pb2
from venus.sales.v1 import sales_service_pb2

METHOD = inventory_service_pb2.DESCRIPTOR.services_by_name["InventoryService"].methods_by_name["GetStock"]


@pytest.fixture
def table():
    table = RouteTable()
    for verb, template in [
        ("GET", "/v1/stores/{store_id}/sales"),
        ("POST", "/v1/stores/{store_id}/sales"),
        ("GET", "/v1/stores/{store_id}/sales/{sale_id}"),
        ("GET", "/v1/stores/{store_id}/sales/latest"),
        ("POST", "/v1/stores/{store_id}/sales/{sale_id}:void"),
        ("GET", "/v1/stores/{store_id}/stock"),
        ("POST", "/v1/stores/{store_id}/stock:adjust"),
        ("DELETE", "/v1/{kind}/old"),
    ]:
        table.add(verb, Template.parse(template), f"{verb} {template}")
    return table


@pytest.mark.parametrize(
    ("verb", "path", "target", "variables"),
    [
        ("GET", b"/v1/stores/7/sales", "GET /v1/stores/{store_id}/sales", ["7"]),
        ("POST", b"/v1/stores/7/sales", "POST /v1/stores/{store_id}/sales", ["7"]),
        ("GET", b"/v1/stores/7/sales/abc", "GET /v1/stores/{store_id}/sales/{sale_id}", ["7", "abc"]),
        ("GET", b"/v1/stores/7/sales/latest", "GET /v1/stores/{store_id}/sales/latest", ["7"]),
        ("POST", b"/v1/stores/7/sales/abc:void", "POST /v1/stores/{store_id}/sales/{sale_id}:void", ["7", "abc"]),
        ("POST", b"/v1/stores/7/stock:adjust", "POST /v1/stores/{store_id}/stock:adjust", ["7"]),
        ("GET", b"/v1/stores/7/sales/a%2Fb", "GET /v1/stores/{store_id}/sales/{sale_id}", ["7", "a/b"]),
        ("GET", b"/v1/stores/7/sales/a%3Avoid", "GET /v1/stores/{store_id}/sales/{sale_id}", ["7", "a:void"]),
        ("GET", b"/v1/stores/7/sales/a:b", "GET /v1/stores/{store_id}/sales/{sale_id}", ["7", "a:b"]),
        ("GET", b"/v1/stor%65s/7/stock", "GET /v1/stores/{store_id}/stock", ["7"]),
        ("DELETE", b"/v1/stores/old", "DELETE /v1/{kind}/old", ["stores"]),
    ],
)
def test_a_path_finds_its_rpc(table, verb, path, target, variables):
    assert table.find(verb, path) == (target, variables)


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"/",
        b"//",
        b"*",
        b"/v1",
        b"/v1/stores",
        b"/v1/stores/7",
        b"/v1/stores//sales",
        b"/v1/stores/7/sales/",
        b"/v1/stores/7/sales/a/b",
        b"/v1/stores/7/stock:",
        b"/v1/stores/7/stock:melt",
        b"/v1/stores/7/:adjust",
        b"/v2/stores/7/sales",
    ],
)
def test_a_path_that_leads_nowhere(table, path):
    with pytest.raises(RouteNotFound):
        table.find("GET", path)


def test_a_path_that_takes_another_method_tells_which(table):
    with pytest.raises(MethodNotAllowed) as caught:
        table.find("PUT", b"/v1/stores/7/sales")
    assert caught.value.allow == "GET, HEAD, OPTIONS, POST"
    with pytest.raises(MethodNotAllowed) as caught:
        table.find("POST", b"/v1/stores/7/sales/latest")
    assert caught.value.allow == "GET, HEAD, OPTIONS"
    assert table.allowed(b"/v1/stores/7/stock:adjust") == "OPTIONS, POST"
    with pytest.raises(RouteNotFound):
        table.allowed(b"/nowhere")


def test_two_rpcs_for_one_path_are_refused(table):
    with pytest.raises(ValueError, match="two RPCs"):
        table.add("GET", Template.parse("/v1/stores/{other_name}/sales"), "x")


@pytest.mark.parametrize(
    "text", ["", "v1/x", "/v1/{a=**}", "/v1/**", "/v1/{a", "/v1/a b", "/v1//x", "/v1/x:{y}", "/v1/p{a}"]
)
def test_a_template_that_cannot_be_served_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        Template.parse(text)


def test_a_template_in_its_parts():
    parsed = Template.parse("/v1/stores/{store_id=*}/sales/{sale.id}:void")
    assert parsed.segments == ("v1", "stores", "", "sales", "")
    assert parsed.variables == ("store_id", "sale.id")
    assert parsed.action == "void"


def test_the_fixed_paths_are_there():
    services = [
        inventory_service_pb2.DESCRIPTOR.services_by_name["InventoryService"],
        orchestrator_service_pb2.DESCRIPTOR.services_by_name["OrchestratorService"],
        sales_service_pb2.DESCRIPTOR.services_by_name["SalesService"],
    ]
    table = RouteTable()
    for route in routes_of(services):
        table.add(route.verb, route.template, route.method.name)
    assert table.find("POST", b"/v1/stores/1/sales") == ("CreateSale", ["1"])
    assert table.find("GET", b"/v1/stores/1/sales") == ("ListSales", ["1"])
    assert table.find("GET", b"/v1/stores/1/sales/x") == ("GetSale", ["1", "x"])
    assert table.find("GET", b"/v1/stores/1/stock") == ("GetStock", ["1"])
    assert table.find("POST", b"/v1/stores/1/stock:adjust") == ("AdjustStock", ["1"])
    assert table.find("GET", b"/v1/transactions") == ("ListTransactions", [])
    assert table.find("GET", b"/v1/transactions/x") == ("GetTransaction", ["x"])


@pytest.mark.parametrize("rule", [HttpRule(body="*"), HttpRule(get="/v1/x", response_body="pools")])
def test_a_rule_that_cannot_be_served_is_refused(rule):
    with pytest.raises(ValueError, match="GetStock"):
        _route(METHOD, rule)


def test_a_stream_is_no_rest_call():
    service = orchestrator_service_pb2.DESCRIPTOR.services_by_name["OrchestratorService"]
    with pytest.raises(ValueError, match="stream"):
        _route(service.methods_by_name["BatchCreateSales"], HttpRule(post="/v1/x", body="*"))
