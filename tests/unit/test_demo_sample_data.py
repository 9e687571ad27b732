"""The recorded prices that the demo plays: all there, in order, and no split looks like a crash."""

from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from models.market_data import Bar
from services.demo.failure import DemoFailed
from services.demo.sample_data import SampleData, load_sample_data, read_prices, write_prices
from services.history.bars import read_bars

HEADER = "Ticker,Date,Open,High,Low,Close,Volume,Adj Close\n"


@pytest.fixture(scope="module")
def prices() -> SampleData:
    return load_sample_data()


def test_there_are_at_least_12000_bars_of_five_symbols(prices: SampleData) -> None:
    assert len(prices.bars) >= 12_000
    assert set(prices.bars_by_symbol) == {"AAPL", "FB", "GOOG", "IBM", "MSFT"}
    assert sum(prices.bars_by_symbol.values()) == len(prices.bars)


def test_bars_come_in_the_order_of_their_dates_and_never_twice(prices: SampleData) -> None:
    keys = [(bar.timestamp, bar.symbol) for bar in prices.bars]
    assert keys == sorted(set(keys))


def test_every_bar_passes_the_checks_of_the_worker(prices: SampleData) -> None:
    assert all(Bar.decode(msgspec.json.encode(bar)) == bar for bar in prices.bars)


@pytest.mark.parametrize("split", [date(2000, 6, 21), date(2005, 2, 28)])
def test_a_split_of_apple_is_no_jump(prices: SampleData, split: date) -> None:
    closes = {bar.timestamp.date(): bar.close for bar in prices.bars if bar.symbol == "AAPL"}
    before = max(day for day in closes if day < split)
    assert closes[split] / closes[before] == pytest.approx(1, abs=0.30)


def test_the_one_great_fall_of_apple_is_real_and_stays(prices: SampleData) -> None:
    apple = [bar for bar in prices.bars if bar.symbol == "AAPL"]
    falls = [after.timestamp.date() for one, after in pairwise(apple) if after.close < one.close * 0.7]
    assert falls == [date(2000, 9, 29)]  # a profit warning


def test_nothing_of_the_file_is_lost_or_changed(prices: SampleData) -> None:
    assert (prices.repaired, prices.skipped) == (0, 0)


def test_all_four_prices_are_scaled_to_the_adjusted_close_and_the_volume_is_not() -> None:
    data = read_prices([HEADER, "AAPL,2000-06-20,100,104,96,102,5000,51\n"])
    midnight = datetime(2000, 6, 20, tzinfo=UTC)
    assert data.bars == (Bar("AAPL", "1d", 50.0, 52.0, 48.0, 51.0, 5000.0, midnight),)


def test_a_high_below_the_close_is_widened_and_counted() -> None:
    data = read_prices(
        [HEADER, "IBM,2000-06-20,100,101,99,102,10,102\n", "IBM,2000-06-21,100,103,99,102,10,102\n"]
    )
    assert [bar.high for bar in data.bars] == [102.0, 103.0]
    assert (data.repaired, data.skipped) == (1, 0)


@pytest.mark.parametrize(
    "row",
    [
        "IBM,2000-06-20,0,101,99,100,10,100\n",
        "IBM,2000-06-20,100,nan,99,100,10,100\n",
        "IBM,2000-06-20,100,101,99,100,-1,100\n",
        "IBM,yesterday,100,101,99,100,10,100\n",
        "IBM,2000-06-20,100,101,99,100,10\n",
        "IBM,2000-06-20,100,101,0.00001,100,10,100\n",
    ],
)
def test_a_row_without_a_usable_number_or_date_is_skipped_and_counted(row: str) -> None:
    data = read_prices([HEADER, row])
    assert (data.bars, data.repaired, data.skipped) == ((), 0, 1)


def test_a_shorter_history_ends_with_the_given_day(prices: SampleData) -> None:
    shorter = prices.until(date(2000, 3, 3))
    assert [bar.timestamp.day for bar in shorter.bars] == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_the_prices_can_be_had_as_a_file_that_backtests_read(tmp_path: Path) -> None:
    bars = load_sample_data().bars
    write_prices(bars, tmp_path / "prices.csv")
    assert read_bars(tmp_path / "prices.csv").in_order() == bars
    with pytest.raises(DemoFailed, match="cannot be written"):
        write_prices(bars, tmp_path / "nowhere" / "prices.csv")
