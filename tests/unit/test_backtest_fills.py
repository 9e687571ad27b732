"""Where and whether orders are filled."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import pytest

from models.errors import ConfigError
from models.execution import ExecutionReport
from models.market_data import Bar, Trade
from services.history.backtest import run
from services.history.bars import in_order
from services.history.options import BacktestOptions, FillRule
from tests.unit.playing import FIRST, MINUTE, Scripted, bars_from, scripted

PRICES = [(10.0, 11.0), (12.0, 13.0), (14.0, 15.0), (16.0, 17.0)]
IN_AND_OUT = {0: ("BUY", 10.0), 2: ("SELL", 10.0)}


def test_an_order_is_filled_at_the_open_of_the_next_bar() -> None:
    played = run(scripted(IN_AND_OUT), bars_from(PRICES))

    assert [(fill.price, fill.time) for fill in played.fills] == [
        (12.0, FIRST + MINUTE),
        (16.0, FIRST + 3 * MINUTE),
    ]
    assert played.statistics.final_equity == 100_000 + 10 * (16 - 12)


def test_an_order_is_filled_at_the_close_where_that_was_asked_for() -> None:
    played = run(scripted(IN_AND_OUT), bars_from(PRICES), BacktestOptions(fill="close"))

    assert [(fill.price, fill.time) for fill in played.fills] == [
        (11.0, FIRST),
        (15.0, FIRST + 2 * MINUTE),
    ]


def test_a_strategy_is_told_of_a_fill_before_the_bar_that_filled_it() -> None:
    heard: list[int] = []

    class Listening(Scripted):
        name = "listening"
        script: ClassVar[Mapping[int, tuple[str, float]]] = {0: ("BUY", 1.0)}

        def on_execution(self, report: object) -> None:
            del report
            heard.append(self.seen)

    run(Listening, bars_from(PRICES))

    assert heard == [1]


def test_an_order_on_the_last_bar_finds_none() -> None:
    played = run(scripted({3: ("BUY", 1.0)}), bars_from(PRICES))

    assert (len(played.signals), len(played.fills), played.unfilled) == (1, 0, 1)


def test_costs_are_against_the_trader() -> None:
    options = BacktestOptions(fee_bps=10, slippage_bps=100)
    played = run(scripted(IN_AND_OUT), bars_from(PRICES), options)

    bought, sold = played.fills
    assert bought.price == pytest.approx(12 * 1.01)
    assert sold.price == pytest.approx(16 * 0.99)
    assert bought.fee == pytest.approx(12 * 1.01 * 10 * 0.001)
    (trip,) = played.trades
    assert trip.profit == pytest.approx(10 * (sold.price - bought.price) - bought.fee - sold.fee)
    assert played.statistics.final_equity == pytest.approx(100_000 + (trip.profit or 0.0))


def test_what_the_broker_says_is_left_is_what_the_account_is_worth_without_a_position() -> None:
    script = {0: ("BUY", 10.0), 1: ("SELL", 10.0), 2: ("BUY", 1_000_000.0)}
    played = run(scripted(script), bars_from(PRICES), BacktestOptions(fee_bps=50, slippage_bps=20))

    assert [report.status for report in played.reports] == ["filled", "filled", "rejected"]
    assert played.reports[1].balance == pytest.approx(played.statistics.final_equity)
    assert played.reports[1].balance == played.reports[2].balance
    assert played.statistics.final_equity < 100_000 + 10 * (14.0 - 12.0)


def test_what_cash_does_not_buy_is_rejected_and_told() -> None:
    played = run(scripted({0: ("BUY", 10.0)}), bars_from(PRICES), BacktestOptions(cash=119.0))

    (report,) = played.reports
    assert (report.status, report.filled_quantity) == ("rejected", 0.0)
    assert report.reason == (
        "insufficient_funds: the order costs 120 with slippage and fee, the balance is 119"
    )
    assert not played.fills


def test_what_is_not_held_is_not_sold() -> None:
    played = run(scripted({0: ("SELL", 1.0)}), bars_from(PRICES))

    assert played.reports[0].reason == "insufficient_position: the order sells 1 AAPL, the session holds 0"
    assert played.statistics.final_equity == 100_000


def test_an_order_takes_its_share_of_the_volume_and_waits_for_the_rest() -> None:
    bars = bars_from([*PRICES, (18.0, 19.0)], volume=8.0)
    played = run(scripted({0: ("BUY", 10.0)}), bars, BacktestOptions(volume_share=0.5))

    assert [(fill.quantity, fill.price) for fill in played.fills] == [(4.0, 12.0), (4.0, 14.0), (2.0, 16.0)]
    (report,) = played.reports
    assert report.filled_quantity == 10.0
    assert report.filled_price == pytest.approx((4 * 12 + 4 * 14 + 2 * 16) / 10)


def test_symbols_share_the_cash_but_not_their_positions() -> None:
    class SellsAnothers(Scripted):
        name = "sells_anothers"
        script: ClassVar[Mapping[int, tuple[str, float]]] = {}

        def on_bar(self, bar: object) -> None:
            del bar
            if self.seen == 0:
                self.send_signal("BUY" if self.symbol == "AAPL" else "SELL", 10.0, 5.0)
            self.seen += 1

    bars = sorted(
        [*bars_from(PRICES), *bars_from(PRICES, "MSFT")], key=lambda bar: (bar.timestamp, bar.symbol)
    )
    played = run(SellsAnothers, bars)

    assert played.symbols == ("AAPL", "MSFT")
    assert [report.status for report in played.reports] == ["filled", "rejected"]
    assert [signal.session_key for signal in played.signals] == ["sells_anothers", "sells_anothers@MSFT"]
    assert len(played.equity) == len(PRICES)
    assert played.statistics.final_equity == 100_000 + 5 * (17 - 12)


def test_on_trades_an_order_is_filled_at_the_next_trade() -> None:
    trades = [Trade("AAPL", price, 100.0, FIRST) for price in (10.0, 11.0, 12.0)]
    played = run(scripted({0: ("BUY", 1.0), 1: ("SELL", 1.0)}), trades)

    assert [fill.price for fill in played.fills] == [11.0, 12.0]
    assert len({signal.signal_id for signal in played.signals}) == 2


def test_an_order_waits_for_a_bar_that_did_not_begin_before_it() -> None:
    first, second = bars_from(PRICES[:2])
    trade = Trade("AAPL", 11.5, 1.0, FIRST + 0.5 * MINUTE)
    played = run(scripted({0: ("BUY", 1.0)}), [trade, first, second])

    assert [fill.price for fill in played.fills] == [second.open]


@pytest.mark.parametrize(
    ("own", "fill", "prices"),
    [
        ("AAA", "next-open", [14.0, 16.0]),
        ("ZZZ", "next-open", [14.0, 16.0]),
        ("ZZZ", "close", [13.0, 15.0]),
    ],
)
def test_what_answers_another_symbols_bar_is_not_filled_at_an_open_that_was_before_it(
    own: str, fill: FillRule, prices: list[float]
) -> None:
    other = "MMM"

    class Follows(Scripted):
        name = "follows"
        watched_symbols = (other,)

        def on_bar(self, bar: Bar) -> None:
            if bar.symbol == other:
                self.seen += 1
                if self.seen == 2:
                    self.send_signal("BUY", bar.close, 1.0)

        def on_execution(self, report: ExecutionReport) -> None:
            if report.action == "BUY":
                self.send_signal("SELL", 1.0, 1.0)

    bars = in_order(bars_from(PRICES, symbol) for symbol in sorted((own, other)))
    played = run(Follows, bars, BacktestOptions(symbols=(own,), fill=fill))

    assert [bar.symbol for bar in bars[:2]] == sorted((own, other))
    assert [each.price for each in played.fills] == prices


@pytest.mark.parametrize(
    "wrong",
    [
        {"cash": 0.0},
        {"cash": float("inf")},
        {"fee_bps": -1.0},
        {"slippage_bps": 10_000.0},
        {"volume_share": 0.0},
        {"volume_share": 1.1},
        {"fill": "open"},
        {"symbols": ()},
        {"start": FIRST.replace(tzinfo=None)},
    ],
)
def test_options_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        replace(BacktestOptions(), **wrong)  # type: ignore[arg-type]  # the wrong values are the point
