"""Plays both sides and says where they part."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, to_builtins

from models.errors import ConfigError
from models.market_data import Bar, Trade
from services.demo.worker_view import SessionView
from services.history.replay import Message
from services.parity.comparison import Difference, differences
from services.parity.lineup import Entry, events_of
from services.parity.live import LiveSide
from services.parity.past import play
from strategies.registry import StrategyRegistry

INPUTS = 5


class Parity(Struct, frozen=True):
    """What came of a comparison. `inputs` are the last events before the first difference, for both sides.

    `not_played` are sessions that cannot be started, with the reason.
    """

    strategies: list[str]
    sessions: int
    events: int
    live_signals: int
    past_signals: int
    differences: list[Difference]
    not_played: dict[str, str]
    inputs: dict[str, Any]

    def describe(self) -> dict[str, Any]:
        """Return everything as JSON, of the differences the first."""
        described: dict[str, Any] = to_builtins(self)
        described["differences"] = len(self.differences)
        described["first"] = to_builtins(self.differences[0]) if self.differences else None
        return described


def compare(
    registry: StrategyRegistry,
    names: Sequence[str],
    messages: Sequence[Message],
    side: LiveSide,
    progress: Callable[[int], None] | None = None,
) -> Parity:
    """Play every strategy on every symbol on both sides. Raises ConfigError where nothing can be played."""
    events = list(events_of(messages))
    symbols = sorted({event.symbol for event in events})
    lineup = [Entry(name, symbol) for symbol in symbols for name in names]
    past, refused = play(registry, lineup, events)
    played = [entry for entry in lineup if entry.session_id not in refused]
    if not played:
        raise ConfigError(f"nothing can be played: {next(iter(refused.values()), 'there are no events')}")
    live, sessions = side.play(played, messages, progress)
    found = differences(live, past)
    return Parity(
        strategies=list(names),
        sessions=len(played),
        events=len(events),
        live_signals=sum(map(len, live.values())),
        past_signals=sum(map(len, past.values())),
        differences=found,
        not_played=refused,
        inputs=_inputs(found[0], played, events, sessions) if found else {},
    )


def _inputs(
    first: Difference,
    played: Sequence[Entry],
    events: Sequence[Bar | Trade],
    sessions: Mapping[str, SessionView],
) -> dict[str, Any]:
    """Return what each side was told: the last events up to the difference, and how many bars in all."""
    entry = next(each for each in played if each.session_id == first.session)
    own = [event for event in events if event.symbol == entry.symbol]
    until = [event for event in own if event.timestamp <= datetime.fromisoformat(first.time)]
    told = sessions.get(first.session)
    live = None if told is None else {"state": told.state, "reason": told.reason, "bars": told.book.bars}
    return {
        "events_before": to_builtins(until[-INPUTS:]),
        "live": live,
        "past": {"bars": sum(isinstance(event, Bar) for event in own)},
    }
