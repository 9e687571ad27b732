"""The sessions of a backtest, made, started and warmed up as live."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from models.errors import StrategyCrashed, StrategyError
from models.market_data import Bar, Trade
from models.session import AssetType, SessionIdentity, SessionState
from services.history.options import BacktestOptions
from services.session import Session, SessionHost, explain
from services.turn import Turn
from services.warm_up import tell_of_the_past
from strategies.base_strategy import BaseStrategy
from strategies.watching import watched_by


def identities(
    strategy_class: type[BaseStrategy],
    symbols: Iterable[str],
    options: BacktestOptions,
    started_at: datetime,
) -> list[SessionIdentity]:
    """Name a session for each symbol as live: the first by its id alone, the others with their symbol."""
    strategy_id = options.strategy_id or strategy_class.name
    first = options.session_id or strategy_id
    named: list[SessionIdentity] = []
    for symbol in symbols:
        key = f"{first}@{symbol}" if named else first
        named.append(
            SessionIdentity(
                key=key,
                symbol=symbol,
                asset_type=asset_type_of(symbol),
                strategy_id=strategy_id,
                session_id=key if options.session_id else None,
                started_at=started_at,
            )
        )
    return named


def make_session(
    strategy_class: type[BaseStrategy],
    identity: SessionIdentity,
    host: SessionHost,
    options: BacktestOptions,
) -> Session:
    """Make a session that has not started. Raises StrategyError when its strategy cannot be made."""
    strategy = _build(
        strategy_class, identity.strategy_id, identity.symbol, identity.session_id, options.parameters
    )
    session = Session(identity, strategy, host)
    wanted: object = strategy.warmup_bars
    if not isinstance(wanted, int) or wanted < 0:
        raise StrategyCrashed(f"warmup_bars is {wanted!r}; it must be a whole number, 0 or more")
    return session


def watched_symbols(
    strategy_class: type[BaseStrategy], symbols: Iterable[str], parameters: Mapping[str, Any]
) -> set[str]:
    """Return which symbols the strategies of these symbols watch beside their own.

    Raises StrategyError when one cannot be made.
    """
    return {
        watched
        for symbol in symbols
        for watched in watched_by(_build(strategy_class, strategy_class.name, symbol, None, parameters))
    }


def _build(
    strategy_class: type[BaseStrategy],
    strategy_id: str,
    symbol: str,
    session_id: str | None,
    parameters: Mapping[str, Any],
) -> BaseStrategy:
    try:
        return strategy_class.build(strategy_id, symbol, session_id, parameters)
    except StrategyError:
        raise
    except (Exception, SystemExit) as error:  # an author's code may raise anything
        raise StrategyCrashed(f"{strategy_class.name} cannot be made: {explain(error)}") from error


def start(session: Session, turn: Turn) -> None:
    """Call `on_start`. Raises StrategyError for whatever it raises."""
    try:
        session.start(turn)
    except StrategyError:
        raise
    except (Exception, SystemExit) as error:  # an author's code may raise anything
        name = type(session.strategy).name
        raise StrategyCrashed(f"{name} cannot be started: {explain(error)}") from error


def warm_up(sessions: Sequence[Session], past: Iterable[Bar | Trade], turn: Turn) -> None:
    """Tell each session of the last bars of its symbols before its first one, and let it begin.

    What it sends meanwhile goes nowhere.
    """
    most = max((session.strategy.warmup_bars for session in sessions), default=0)
    kept: dict[str, dict[str, deque[Bar]]] = {}
    for event in past:
        if isinstance(event, Bar):
            kept.setdefault(event.symbol, {}).setdefault(event.timeframe, deque(maxlen=most)).append(event)
    for session in sessions:
        wanted = session.strategy.warmup_bars
        series = [bars for symbol in session.symbols for bars in kept.get(symbol, {}).values()]
        bars = [bar for each in series for bar in list(each)[max(len(each) - wanted, 0) :]]
        tell_of_the_past(session, bars, turn)
        if session.state is SessionState.STARTING:
            session.begin()


def asset_type_of(symbol: str) -> AssetType:
    """Tell what a symbol is of: a pair with a slash is crypto."""
    return "crypto" if "/" in symbol else "stock"
