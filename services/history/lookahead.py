"""Whether a strategy knows what it cannot know yet: play less of the past, and compare.

A strategy that is told of bars alone cannot look ahead. One that keeps what earlier instances saw in its
module, or takes a whole series from elsewhere, can: then what it decides at a bar changes with how much comes
after it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import zip_longest

from msgspec import Struct

from models.errors import ConfigError
from models.signal import Signal
from services.history.backtest import Event, run
from services.history.backtest_run import Ended
from services.history.options import BacktestOptions
from strategies.base_strategy import BaseStrategy

CUTS = 10


class Change(Struct, frozen=True):
    """A decision that depends on what came later: as it was with everything, and with the data cut off.

    `cut` is the time of the last event that was played. None stands for no signal.
    """

    cut: datetime
    whole: Signal | None
    truncated: Signal | None

    def __str__(self) -> str:
        known = self.whole or self.truncated
        at = "" if known is None else f"{known.timestamp:%Y-%m-%d %H:%M} {known.symbol}: "
        cut = f"{self.cut:%Y-%m-%d %H:%M}"
        return f"{at}{_words(self.whole)}; with nothing after {cut}: {_words(self.truncated)}"


class Comparison(Struct, frozen=True):
    """How often the data were cut off, how many signals there were with all of them, and what changed.

    `ended` are the sessions that were given up with all of them: their silence says nothing.
    """

    cuts: int
    signals: int
    changes: tuple[Change, ...]
    ended: tuple[Ended, ...] = ()


def compare(
    strategy_class: type[BaseStrategy],
    events: Sequence[Event],
    options: BacktestOptions,
    cuts: int = CUTS,
    progress: Callable[[int], None] | None = None,
) -> Comparison:
    """Play everything, then less and less of it, and note the first decision that changed at each cut.

    `progress` is told of each run that is done. Raises as `run` does, and ConfigError for a single event.
    """
    lengths = _lengths(len(events), cuts)
    if not lengths:
        raise ConfigError(f"{len(events)} bars are too few to leave some out")
    options = replace(options, started_at=options.started_at or events[0].timestamp)
    whole = run(strategy_class, events, options)
    changes = []
    if progress is not None:
        progress(1)
    for length in lengths:
        some = events[:length]
        present = {event.symbol for event in some}
        symbols = tuple(symbol for symbol in whole.symbols if symbol in present)
        begins = options.start is None or some[-1].timestamp >= options.start
        if symbols and begins:
            truncated = run(strategy_class, some, replace(options, symbols=symbols))
            change = _first_change(whole.signals, truncated.signals, some[-1].timestamp)
            if change is not None:
                changes.append(change)
        if progress is not None:
            progress(1)
    return Comparison(len(lengths), len(whole.signals), tuple(changes), tuple(whole.ended))


def _lengths(count: int, cuts: int) -> list[int]:
    """Return how much is played each time, the longest first."""
    return sorted({count * number // (cuts + 1) for number in range(1, cuts + 1)} - {0}, reverse=True)


def _first_change(whole: Sequence[Signal], truncated: Sequence[Signal], cut: datetime) -> Change | None:
    """Compare what was decided before the cut; at the cut itself `on_stop` may add something of its own."""
    before = [signal for signal in whole if signal.timestamp < cut]
    compared = [signal for signal in truncated if signal.timestamp < cut]
    for one, other in zip_longest(before, compared):
        if one != other:
            return Change(cut, one, other)
    return None


def _words(signal: Signal | None) -> str:
    return "nothing" if signal is None else f"{signal.action} {signal.quantity:g} at {signal.price:g}"
