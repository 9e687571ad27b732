"""The side of history: each session played by the backtest, as the worker would play it live."""

from collections.abc import Sequence

from models.errors import StrategyError
from models.market_data import Bar, Trade
from services.history.backtest import run
from services.history.casting import watched_symbols
from services.history.options import CLOSE, BacktestOptions
from services.parity.lineup import Entry
from services.signals.wire import encode
from strategies.registry import StrategyRegistry

CASH = 1e15  # no order is too dear, as for the gateway of the live side
CALL_SECONDS = 5.0  # as long as a start may take live


def play(
    registry: StrategyRegistry, lineup: Sequence[Entry], events: Sequence[Bar | Trade]
) -> tuple[dict[str, list[bytes]], dict[str, str]]:
    """Return the signals of each session as they are on the wire, and why a session cannot be played."""
    bodies: dict[str, list[bytes]] = {}
    refused: dict[str, str] = {}
    for entry in lineup:
        try:
            bodies[entry.session_id] = _play(registry, entry, events)
        except StrategyError as error:
            refused[entry.session_id] = str(error)
    return bodies, refused


def _play(registry: StrategyRegistry, entry: Entry, events: Sequence[Bar | Trade]) -> list[bytes]:
    strategy = registry.get(entry.strategy)
    symbols = {entry.symbol, *watched_symbols(strategy, [entry.symbol], {}, CALL_SECONDS)}
    heard = [event for event in events if event.symbol in symbols]
    options = BacktestOptions(
        cash=CASH,
        fill=CLOSE,
        symbols=(entry.symbol,),
        strategy_id=entry.strategy,
        session_id=entry.session_id,
        call_seconds=CALL_SECONDS,
    )
    return [encode(signal) for signal in run(strategy, heard, options).signals]
