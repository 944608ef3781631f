from deploy.local.receipt import kilograms, print_receipt, rupees
from deploy.local.waterfall import TraceSpan, as_json, draw, in_order, orphans


def _span(span_id: str, parent_id: str, start_us: int, duration_us: int, service: str = "sales") -> TraceSpan:
    return TraceSpan(span_id, parent_id, service, f"call {span_id}", 1_000_000 + start_us, duration_us, span_id == "c")


TRACE = (
    _span("c", "b", 3_000, 1_000, "inventory"),
    _span("d", "a", 9_000, 500, "ledger"),
    _span("a", "", 0, 10_000, "gateway"),
    _span("b", "a", 1_000, 6_000, "orchestrator"),
)


def test_parents_stand_before_their_children_and_siblings_in_the_order_they_began() -> None:
    assert [(depth, span.span_id) for depth, span in in_order(TRACE)] == [(0, "a"), (1, "b"), (2, "c"), (1, "d")]


def test_a_child_without_its_parent_is_an_orphan_and_still_shown() -> None:
    without_parent = [span for span in TRACE if span.span_id != "b"]
    assert [span.span_id for span in orphans(without_parent)] == ["c"]
    assert orphans(TRACE) == []
    assert len(in_order(without_parent)) == 3


def test_the_waterfall_indents_and_counts_milliseconds_from_the_first_span() -> None:
    lines = draw(TRACE).splitlines()
    assert len(lines) == 5
    assert lines[1].split() == ["gateway", "call", "a", "0.0", "10.0", "=" * 24]
    assert lines[3].split() == ["inventory", "call", "c", "(failed)", "3.0", "1.0", "=="]
    assert lines[3].index("call") - lines[1].index("call") == 4
    assert as_json(TRACE)[1] == {"service": "orchestrator", "name": "call b", "start_ms": 1.0, "ms": 6.0}
    assert draw([]) == "  (no spans)"


def test_a_receipt_shows_lines_total_and_number() -> None:
    def line(code: str, grams: str, price: str, total: str) -> dict[str, str]:
        return {"skuCode": code, "skuName": code, "weightGrams": grams, "pricePaisePerKg": price, "totalPaise": total}

    sale = {
        "receiptNumber": "STORE-001-20260301-000001",
        "businessDate": "2026-03-01",
        "paymentMethod": "PAYMENT_METHOD_CASH",
        "paymentStatus": "PAYMENT_STATUS_PAID",
        "totalPaise": "72500",
        "lines": [line("BRO-SKIN", "2500", "18000", "45000"), line("BRO-SKINLESS", "1250", "22000", "27500")],
    }
    words = [text.split() for text in print_receipt(sale).splitlines()]
    assert ["Receipt", "STORE-001-20260301-000001", "2026-03-01"] in words
    assert ["2.500", "kg", "x", "180.00", "450.00"] in words
    assert ["1.250", "kg", "x", "220.00", "275.00"] in words
    assert ["TOTAL", "CASH", "PAID", "725.00"] in words


def test_money_and_weight_are_told_in_rupees_and_kilograms() -> None:
    assert [rupees(paise) for paise in (0, 5, 72_500, -1_050)] == ["0.00", "0.05", "725.00", "-10.50"]
    assert rupees(2_026_000) == "20,260.00"
    assert [kilograms(grams) for grams in (0, 7, 2_500, 1_000_000)] == ["0.000", "0.007", "2.500", "1,000.000"]
