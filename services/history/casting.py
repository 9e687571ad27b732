"""The sessions of a backtest, made, started and warmed up as live."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from math import inf
from typing import Any

from models.errors import StrategyCrashed
from models.market_data import Bar, Trade
from models.session import AssetType, SessionIdentity, SessionState
from services.author_calls import Candidate, alarm, contained
from services.history.options import BacktestOptions
from services.session import Session, SessionHost
from services.turn import Turn
from services.warm_up import tell_of_the_past
from strategies.base_strategy import BaseStrategy
from strategies.watching import watched_by

NEVER = datetime.min.replace(tzinfo=UTC)


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
    turn: Turn,
) -> Session:
    """Make a session that has not started. Raises StrategyError when its strategy cannot be made."""

    def make() -> Session:
        session = Session(identity, _build(strategy_class, identity, options.parameters), host)
        wanted: object = session.strategy.warmup_bars
        if not isinstance(wanted, int) or wanted < 0:
            raise StrategyCrashed(f"warmup_bars is {wanted!r}; it must be a whole number, 0 or more")
        return session

    candidate = Candidate(identity, host.deadline_ms / 1000)
    return contained(turn, candidate, f"{strategy_class.name} cannot be made", make)


def watched_symbols(
    strategy_class: type[BaseStrategy],
    symbols: Iterable[str],
    parameters: Mapping[str, Any],
    call_seconds: float | None = None,
) -> set[str]:
    """Return which symbols the strategies of these symbols watch beside their own.

    Raises StrategyError when one cannot be made, or not within `call_seconds`.
    """
    turn = Turn()
    watched: set[str] = set()

    def make(identity: SessionIdentity) -> None:
        watched.update(watched_by(_build(strategy_class, identity, parameters)))

    with alarm(turn, call_seconds):
        for identity in identities(strategy_class, symbols, BacktestOptions(), NEVER):
            candidate = Candidate(identity, call_seconds or inf)
            what = f"{strategy_class.name} cannot be made"
            contained(turn, candidate, what, partial(make, identity))
    return watched


def _build(
    strategy_class: type[BaseStrategy], identity: SessionIdentity, parameters: Mapping[str, Any]
) -> BaseStrategy:
    return strategy_class.build(identity.strategy_id, identity.symbol, identity.session_id, parameters)


def start(session: Session, turn: Turn) -> None:
    """Call `on_start`. Raises StrategyError for whatever it raises."""
    what = f"{type(session.strategy).name} cannot be started"
    contained(turn, session, what, partial(session.start, turn))


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
