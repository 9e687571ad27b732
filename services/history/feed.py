"""What a file has to say over Redis: a recording as it came, bars and trades each at its own time."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from models.errors import ConfigError
from models.market_data import Bar, Trade
from services.history.bars import read_bars
from services.history.record import CONTROL_CHANNEL
from services.history.recording import is_recording, read_recording
from services.history.replay import Message
from services.history.trades import holds_trades, read_trades

Kind = Literal["recording", "bars", "trades"]


class Window(Struct, frozen=True):
    """A part of time: from its start on, up to its end and not with it; None has no limit."""

    start: datetime | None = None
    end: datetime | None = None

    def cut(self, messages: Iterable[Message]) -> Iterator[Message]:
        """Give those messages that are in it."""
        first, last = (None if each is None else aware(each).timestamp() for each in (self.start, self.end))
        for message in messages:
            if (first is None or message.at >= first) and (last is None or message.at < last):
                yield message


class Feed(Struct, frozen=True):
    """The messages of a file. `total` is how many there are, None where that is not known before."""

    kind: Kind
    messages: Iterable[Message]
    total: int | None
    left_out: int = 0


def open_feed(path: Path, window: Window, *, timeframe: str | None = None) -> Feed:
    """Return what is in a recording, or in a CSV or Parquet file of bars or of trades.

    Control events of a recording are left to the script. Raises ConfigError for what cannot be read.
    """
    if not path.exists():
        raise ConfigError(f"{path} is not there")
    if is_recording(path):
        messages = (each for each in read_recording(path) if each.channel != CONTROL_CHANNEL)
        return Feed("recording", window.cut(messages), None)
    if holds_trades(path):
        return _feed("trades", read_trades(path), window)
    file = read_bars(path, timeframe=timeframe)
    return _feed("bars", file.in_order(), window, len(file.problems))


def _feed(kind: Kind, events: Iterable[Bar | Trade], window: Window, left_out: int = 0) -> Feed:
    messages = list(window.cut(map(message_of, events)))
    return Feed(kind, messages, len(messages), left_out)


def message_of(event: Bar | Trade) -> Message:
    """Return a bar or a trade as its publisher would publish it."""
    topic = "market_data" if isinstance(event, Bar) else "market_trades"
    return Message(event.timestamp.timestamp(), f"{topic}:{event.symbol}", msgspec.json.encode(event))


def aware(moment: datetime) -> datetime:
    """Return a moment with a zone: one without is in UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
