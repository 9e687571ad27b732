"""Plays market and gateway to a strategy made by hand."""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from models.execution import ExecutionReport, ReportStatus
from models.market_data import Bar
from models.signal import Signal
from strategies.base_strategy import BaseStrategy

FIRST = datetime(2026, 1, 28, 10, tzinfo=UTC)
Order = tuple[int, str, float, float]


def bars_of(closes: Iterable[float], symbol: str = "AAPL") -> Iterator[Bar]:
    """Give one bar a minute, on which nothing happens but its close."""
    for number, close in enumerate(closes):
        yield Bar(symbol, "1m", close, close, close, close, 1.0, FIRST + timedelta(minutes=number))


def report_on(signal: Signal, status: ReportStatus = "filled") -> ExecutionReport:
    """Answer a signal: filled as it was asked for, or not at all."""
    filled = status in {"filled", "accepted"}
    return ExecutionReport(
        signal_id=signal.signal_id,
        symbol=signal.symbol,
        action=signal.action,
        quantity=signal.quantity,
        status=status,
        filled_quantity=signal.quantity if filled else 0.0,
        filled_price=signal.price if filled else None,
    )


def play(strategy: BaseStrategy, bars: Iterable[Bar], answer_after: int | None = 0) -> list[Order]:
    """Feed bars, and fill every signal so many bars after it was sent (None: never).

    Gives what was sent: the number of the bar, action, price and quantity.
    """
    orders: list[Order] = []
    waiting: deque[tuple[int, Signal]] = deque()
    for number, bar in enumerate(bars):
        sent = len(strategy.sent_signals)
        strategy.on_bar(bar)
        for signal in strategy.sent_signals[sent:]:
            orders.append((number, signal.action, signal.price, signal.quantity))
            waiting.append((number, signal))
        while answer_after is not None and waiting and waiting[0][0] + answer_after <= number:
            strategy.apply_report(report_on(waiting.popleft()[1]))
    return orders
