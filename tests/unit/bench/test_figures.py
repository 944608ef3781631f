import pytest

from tests.bench.figures import Counted, Run, latency_ratios, percentile, run_of, throughput_ratios


def run(contender: str, tills: int, sales_per_s: float, *, number: int = 1, p50_ms: float = 10.0) -> Run:
    return Run(number, contender, tills, sales_per_s, p50_ms, 20.0, 0, 0, 0)


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (1, 1), (50, 50), (99, 99), (100, 100)], ids=str)
def test_a_percentile_is_a_value_that_was_measured(percent: int, value: int) -> None:
    assert percentile(range(1, 101), percent) == value


def test_percentiles_of_few_values_lean_to_the_slow_side() -> None:
    assert percentile([7], 50) == percentile([7], 99) == 7
    assert percentile([1, 9], 50) == 1
    assert percentile([1, 9], 99) == 9
    assert percentile([], 99) == 0


def test_a_run_counts_sales_per_second_and_spreads_the_cpu_over_them() -> None:
    counted = Counted(
        seconds=2.0,
        counts={"sold": 400, "refused": 3, "failed": 1},
        acknowledged=500,
        unknown=1,
        latencies_us=[30_000, 10_000, 20_000],
        cpu_s={"gateway": 0.2, "postgres": 0.4, "tills": 0.1},
    )
    found = run_of(counted, round_number=2, contender="venus", tills=16, own=("gateway", "postgres"))
    assert (found.round, found.tills, found.sales_per_s) == (2, 16, 200.0)
    assert (found.p50_ms, found.p99_ms) == (20.0, 30.0)
    assert (found.refused, found.pending, found.failed) == (3, 0, 1)
    assert found.cpu_ms == pytest.approx({"gateway": 0.5, "postgres": 1.0, "tills": 0.25})
    assert found.own_cpu_ms == pytest.approx(1.5), "who drives the race is not on its bill"


def test_a_run_that_sold_nothing_has_no_cpu_per_sale() -> None:
    counted = Counted(1.0, {"failed": 5}, 0, 5, [], {"gateway": 0.2})
    found = run_of(counted, round_number=1, contender="venus", tills=1, own=("gateway",))
    assert (found.sales_per_s, found.p50_ms, found.cpu_ms, found.failed) == (0.0, 0.0, {}, 5)


def test_ratios_compare_within_a_round_and_take_the_median_of_the_rounds() -> None:
    runs = [
        run("venus", 16, 100, number=1), run("monolith", 16, 200, number=1), run("pgbench", 32, 400, number=1),
        run("venus", 16, 300, number=2), run("monolith", 16, 200, number=2), run("pgbench", 32, 100, number=2),
        run("venus", 16, 100, number=3), run("monolith", 16, 100, number=3), run("pgbench", 32, 100, number=3),
    ]  # fmt: skip
    assert throughput_ratios(runs) == {"monolith": {"16": 1.0}, "pgbench": {"16": 1.0}}


def test_each_number_of_tills_is_compared_with_the_same_and_with_the_one_pgbench() -> None:
    runs = [
        run("venus", 1, 50, p50_ms=18), run("monolith", 1, 200, p50_ms=4),
        run("venus", 256, 2000, p50_ms=120), run("monolith", 256, 1000, p50_ms=240),
        run("pgbench", 32, 1500),
    ]  # fmt: skip
    assert throughput_ratios(runs) == {
        "monolith": {"1": 0.25, "256": 2.0},
        "pgbench": {"1": 0.033, "256": 1.333},
    }
    assert latency_ratios(runs) == {"1": 4.5, "256": 0.5}


def test_a_peer_that_sold_nothing_gives_no_ratio() -> None:
    runs = [run("venus", 1, 50), run("monolith", 1, 0)]
    assert throughput_ratios(runs) == {"monolith": {"1": None}, "pgbench": {"1": None}}
