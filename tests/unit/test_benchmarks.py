"""The benchmarks work: every row yields a ratio, every count is exact. How fast anything is, no test says."""

import json
import math
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from benchmarks import backtests
from benchmarks.effort import QUICK
from benchmarks.feed import Publisher, bar, bars, symbols
from benchmarks.floors import BareSocket
from benchmarks.hosted import LAST_SYMBOL, HostedSessions
from benchmarks.report import Report, machine_facts
from benchmarks.rows import Floor, Goal, MeasurementError, compare
from benchmarks.suite import BENCHMARKS, measure
from models.market_data import Bar
from tests.support import REPOSITORY, running_process

ROW = compare("name", "unit", [10.0, 20.0, 90.0], Floor("floor", [10.0, 10.0, 30.0]), Goal(2.5))


@pytest.mark.parametrize(
    "name",
    # A recorded form does the same, and more; what backtest is compared with only `make bench` has.
    [name for name in BENCHMARKS if f"{name}-recorded" not in BENCHMARKS and name != "backtest"],
)
def test_every_row_of_the_quick_form_yields_a_finite_ratio(name: str) -> None:
    begun: list[str] = []
    report = measure([name], QUICK, begun.append)
    assert begun == [name]
    assert len({(row.name, row.floor_name) for row in report.rows}) == len(report.rows) >= 1
    for row in report.rows:
        numbers = (row.value, row.floor, *row.ratios)
        assert all(math.isfinite(number) and number > 0 for number in numbers), row.name


def test_a_backtest_trades_like_the_bare_loop_beside_it() -> None:
    prices = backtests.walk(2_000)
    trips, _, _ = backtests.timed_run(prices)
    bare_trips, _ = backtests.timed_loop(prices)
    assert trips == bare_trips
    assert len(trips) > 10


def test_a_report_says_what_it_was_measured_on_and_names_no_place(redis_url: str, tmp_path: Path) -> None:
    with redis.Redis.from_url(redis_url) as client:
        report = Report(datetime(2026, 1, 28, 10, tzinfo=UTC), QUICK, machine_facts(client), [ROW])
    stored = report.store(tmp_path / "bench")
    assert stored.name == "20260128T100000Z.json"
    told = json.loads(stored.read_text(encoding="utf-8"))
    assert set(told["machine"]) == {"cores", "load", "system", "python", "valkey", "packages"}
    assert told["machine"]["valkey"]
    assert told["rows"][0]["ratio"] == 2.0
    assert told["rows"][0]["met"] is False
    assert str(REPOSITORY) not in json.dumps(told)


def test_a_ratio_meets_a_goal_from_the_side_that_is_better() -> None:
    assert Goal(2.0).is_met(2.0)
    assert not Goal(2.0).is_met(1.99)
    assert Goal(1.5, less_is_better=True).is_met(1.5)
    assert not Goal(1.5, less_is_better=True).is_met(1.51)


def test_a_row_has_the_median_of_the_ratios_of_its_rounds() -> None:
    assert ROW.ratios == (1.0, 2.0, 3.0)
    assert (ROW.value, ROW.floor, ROW.ratio, ROW.met) == (20.0, 10.0, 2.0, False)


def test_the_feed_publishes_bars_that_the_worker_accepts() -> None:
    decoded = Bar.decode(bar("AAPL", 61))
    assert (decoded.symbol, decoded.timestamp.hour, decoded.timestamp.minute) == ("AAPL", 1, 1)
    commands = bars(symbols(3), 7)
    assert commands.count(b"PUBLISH") == 7
    assert commands.count(bar("SYM000", 2)) == 1
    assert commands.count(bar("SYM001", 2)) == 0


def test_a_bar_that_is_not_delivered_spoils_the_measurement(redis_url: str) -> None:
    side = HostedSessions(redis_url, {"AAPL": 2})
    with Publisher(redis_url) as publisher:
        publisher.publish(bars(["AAPL"], 5) + bars(["AAPL"], 1, first_minute=4) + bars([LAST_SYMBOL], 1))
    with pytest.raises(MeasurementError, match="read 6 of 7 messages"):
        side.drain(7)


def test_a_floor_that_reads_another_number_of_messages_spoils_the_measurement(redis_url: str) -> None:
    side = BareSocket(redis_url)
    with Publisher(redis_url) as publisher:
        publisher.publish(bars(["AAPL"], 5))
    with pytest.raises(MeasurementError, match="read 5 messages, not 4"):
        side.drain(4)


def test_a_benchmark_that_does_not_exist_is_refused_by_name() -> None:
    with running_process([sys.executable, "-m", "benchmarks", "--rows", "bars,speed"]) as process:
        assert process.wait() == 2
        assert "speed" in process.output
