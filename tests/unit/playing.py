"""Small pasts, and strategies that decide by a list."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from models.execution import ExecutionReport
from models.market_data import Bar, Trade
from strategies.base_strategy import BaseStrategy

FIRST = datetime(2026, 1, 28, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def bars_from(
    opens_and_closes: Iterable[tuple[float, float]],
    symbol: str = "AAPL",
    *,
    volume: float = 1000.0,
    step: timedelta = MINUTE,
) -> list[Bar]:
    """Make one bar a step of an open and a close each."""
    return [
        Bar(
            symbol, "1m", opened, max(opened, close), min(opened, close), close, volume, FIRST + number * step
        )
        for number, (opened, close) in enumerate(opens_and_closes)
    ]


class Scripted(BaseStrategy):
    """Sends what its script says on the bars of these numbers, and notes what it is told."""

    script: ClassVar[Mapping[int, tuple[str, float]]] = {}

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        self.seen = 0
        self.told: list[tuple[int, ExecutionReport]] = []

    def on_bar(self, bar: Bar) -> None:
        if self.seen in self.script:
            action, quantity = self.script[self.seen]
            self.send_signal(action, bar.close, quantity)  # type: ignore[arg-type]  # as the script has it
        self.seen += 1

    def on_trade(self, trade: Trade) -> None:
        if self.seen in self.script:
            action, quantity = self.script[self.seen]
            self.send_signal(action, trade.price, quantity)  # type: ignore[arg-type]  # as the script has it
        self.seen += 1

    def on_execution(self, report: ExecutionReport) -> None:
        self.told.append((self.seen, report))


def scripted(script: Mapping[int, tuple[str, float]]) -> type[Scripted]:
    """Return a strategy with this script."""
    return type("Planned", (Scripted,), {"script": script, "name": "planned"})
