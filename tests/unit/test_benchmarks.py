"""The benchmarks work: every row yields a ratio, every count is exact. How fast anything is, no test says."""

import json
import math
import sys

import pytest

from benchmarks.effort import QUICK
from benchmarks.feed import Publisher, bar, bars, symbols
from benchmarks.floors import BareSocket
from benchmarks.hosted import LAST_SYMBOL, HostedSessions
from benchmarks.report import Report
from benchmarks.rows import Floor, Goal, MeasurementError, compare
from benchmarks.suite import BENCHMARKS, measure
from models.market_data import Bar
from tests.support import REPOSITORY, running_process


@pytest.fixture(scope="module")
def report() -> Report:
    return measure(list(BENCHMARKS), QUICK, lambda _: None)


def test_every_row_of_the_quick_form_yields_a_finite_ratio(report: Report) -> None:
    assert len(report.rows) >= len(BENCHMARKS)
    for row in report.rows:
        assert len(row.ratios) >= 1
        assert all(math.isfinite(number) for number in (row.value, row.floor, *row.ratios)), row.name
        assert all(number > 0 for number in (row.value, row.floor, *row.ratios)), row.name


def test_a_report_says_what_it_was_measured_on_and_names_no_machine(report: Report) -> None:
    text = json.dumps(report.describe())
    assert set(report.machine) == {"cores", "load", "system", "python", "valkey", "packages"}
    assert report.machine["cores"] >= 1
    assert report.machine["packages"]["redis"]
    assert str(REPOSITORY) not in text


def test_a_ratio_meets_a_goal_from_the_side_that_is_better() -> None:
    assert Goal(2.0).is_met(2.0)
    assert not Goal(2.0).is_met(1.99)
    assert Goal(1.5, less_is_better=True).is_met(1.5)
    assert not Goal(1.5, less_is_better=True).is_met(1.51)


def test_a_row_has_the_median_of_the_ratios_of_its_rounds() -> None:
    row = compare("name", "unit", [10.0, 20.0, 90.0], Floor("floor", [10.0, 10.0, 30.0]), Goal(2.5))
    assert row.ratios == (1.0, 2.0, 3.0)
    assert (row.value, row.floor, row.ratio, row.met) == (20.0, 10.0, 2.0, False)


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
