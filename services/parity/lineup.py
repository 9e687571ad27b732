"""Who plays: one session of every strategy on every symbol, named alike on both sides."""

from collections.abc import Iterable, Iterator

from models.errors import DecodeError
from models.market_data import Bar, Trade
from services.history.replay import Message
from services.routing import BAR_CHANNEL

BARS = BAR_CHANNEL.decode()


class Entry:
    """A strategy on a symbol."""

    __slots__ = ("strategy", "symbol")

    def __init__(self, strategy: str, symbol: str) -> None:
        self.strategy = strategy
        self.symbol = symbol

    @property
    def session_id(self) -> str:
        """The id of its session on both sides."""
        return f"{self.strategy}-{self.symbol}"


def events_of(messages: Iterable[Message]) -> Iterator[Bar | Trade]:
    """Give what a worker delivers of such messages: what can be read, and no bar that is not newer."""
    last: dict[tuple[str, str], Bar] = {}
    for message in messages:
        try:
            event = (Bar if message.channel.startswith(BARS) else Trade).decode(message.payload)
        except DecodeError:
            continue
        if message.channel.partition(":")[2] != event.symbol:
            continue
        if isinstance(event, Bar):
            before = last.get((event.symbol, event.timeframe))
            if before is not None and event.timestamp <= before.timestamp:
                continue
            last[event.symbol, event.timeframe] = event
        yield event
