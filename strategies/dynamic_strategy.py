"""A strategy whose code is stored in the database and runs in a sealed process."""

import json
from typing import Any, Protocol

from models.execution import ExecutionReport
from models.gap import Gap
from models.market_data import Bar, Trade
from models.position import Position
from strategies.base_strategy import BaseStrategy


class Port(Protocol):
    """The way to the code, and what it asked for when it was loaded.

    `code_hash` is the SHA-256 of the source; `state` what it answered last when it was asked for its state.
    """

    code_hash: str
    warmup_bars: int
    watched_symbols: tuple[str, ...]
    state: str | None

    def tell(self, event: Bar | Trade | ExecutionReport | Gap) -> None:
        """Have the code answer this event soon; does not wait."""

    def restore(self, state: str) -> None:
        """Have the code take back its state, as JSON, and wait until it has. Raises what it raises."""

    def start(self, position: Position) -> None:
        """Have the code start with this position, and wait until it has. Raises what it raises."""

    def stop(self) -> None:
        """Have the code stop once it has answered everything it was told; does not wait."""


class DynamicStrategy(BaseStrategy):
    """Stands in a session for code that runs elsewhere.

    It passes on what it is told and waits for nothing: what the code decides in answer comes later, and is
    sent by the session as in answer to the very event that was answered.
    """

    name = "dynamic"

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None, port: Port) -> None:
        super().__init__(strategy_id, symbol, session_id)
        self.port = port
        self.warmup_bars = port.warmup_bars
        self.watched_symbols = port.watched_symbols

    def on_bar(self, bar: Bar) -> None:
        """Pass it on."""
        self.port.tell(bar)

    def on_trade(self, trade: Trade) -> None:
        """Pass it on."""
        self.port.tell(trade)

    def on_gap(self, gap: Gap) -> None:
        """Pass it on."""
        self.port.tell(gap)

    def apply_report(self, report: ExecutionReport) -> None:
        """Book it here, and have it booked and answered there."""
        self.booked_position = self.booked_position.after_report(report)
        self.port.tell(report)

    def on_start(self) -> None:
        """Start the code, and wait until it has."""
        self.port.start(self.booked_position)

    def on_stop(self) -> None:
        """Have the code stop after everything that it was told."""
        self.port.stop()

    def set_state(self, state: dict[str, Any]) -> None:
        """Give the code its state back."""
        self.port.restore(json.dumps(state))

    def get_state(self) -> dict[str, Any]:
        """Return the state that the code answered last."""
        state: dict[str, Any] = json.loads(self.port.state or "{}")
        return state
