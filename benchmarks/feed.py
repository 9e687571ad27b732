"""Bars as a publisher sends them: made beforehand, so that making them is part of no measurement."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Self

import hiredis

from services.redis_client import open_connection

FIRST_MINUTE = datetime(2000, 1, 1, tzinfo=UTC)  # so long ago that no run gets to the future
PATIENCE_SECONDS = 60.0
BAR = (
    '{{"symbol":"{symbol}","timeframe":"1m","open":100.1,"high":101.25,"low":99.5,"close":100.75,'
    '"volume":12345.0,"timestamp":"{timestamp}"}}'
)


def symbols(count: int) -> list[str]:
    """Return so many names of symbols."""
    return [f"SYM{number:03}" for number in range(count)]


def bar(symbol: str, minute: int) -> bytes:
    """Return the bar of a minute, counted from the first, as JSON."""
    return BAR.format(symbol=symbol, timestamp=_stamp(minute)).encode()


def bars(names: Sequence[str], count: int, first_minute: int = 0) -> bytes:
    """Return the commands that publish `count` bars, the symbols taking turns minute by minute."""
    return b"".join(_commands(names, count, first_minute))


def command(*words: str | bytes) -> bytes:
    """Return one command as Redis reads it."""
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub allows only one word
    return packed


class Publisher:
    """Sends commands without reading an answer to each, as a quick publisher does."""

    def __init__(self, url: str) -> None:
        self._connection, self._socket = open_connection(url)
        self._socket.settimeout(PATIENCE_SECONDS)
        self.send(command("CLIENT", "REPLY", "OFF"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.disconnect()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped

    def send(self, commands: bytes) -> None:
        """Send the commands and wait for nothing."""
        self._socket.sendall(commands)

    def publish(self, commands: bytes) -> None:
        """Send the commands and wait until the server has carried out all of them."""
        self.send(commands + command("CLIENT", "REPLY", "ON"))
        self._socket.recv(64)
        self.send(command("CLIENT", "REPLY", "OFF"))


def _commands(names: Sequence[str], count: int, first_minute: int) -> Iterator[bytes]:
    """Put the texts together around the timestamp, which has the same length in every bar."""
    around = []
    for name in names:
        stamp = _stamp(0).encode()
        before, after = command("PUBLISH", f"market_data:{name}", bar(name, 0)).split(stamp)
        around.append((before, after))
    minutes, rest = divmod(count, len(names))
    for minute in range(first_minute, first_minute + minutes + (rest > 0)):
        stamp = _stamp(minute).encode()
        last = rest if minute == first_minute + minutes else len(names)
        for before, after in around[:last]:
            yield before + stamp + after


def _stamp(minute: int) -> str:
    return (FIRST_MINUTE + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")
