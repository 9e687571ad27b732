"""The bare loops that the worker is compared with. Each subscribes when made, and reads when told to."""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Protocol

import hiredis
import redis
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from benchmarks.feed import PATIENCE_SECONDS, command
from benchmarks.rows import MeasurementError
from benchmarks.strategies import CountBars
from services.redis_client import open_connection
from services.routing import PATTERNS

RECEIVE_BYTES = 64 * 1024


class Side(Protocol):
    """One side of a comparison: subscribed, and still until `drain`."""

    def drain(self, count: int) -> float:
        """Read `count` messages that wait already; return the seconds that it took. Once."""


class ListenLoop:
    """redis-py with hiredis: an empty `for message in pubsub.listen()`.

    `protocol` is what redis-py is asked to speak. None is its own choice, RESP3; with 2 it is quicker.
    """

    def __init__(self, url: str, protocol: int | None = None) -> None:
        options = {} if protocol is None else {"protocol": protocol}
        self._client = redis.Redis.from_url(url, **options)
        self._pubsub = self._client.pubsub()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        self._pubsub.psubscribe(*PATTERNS)
        self._skip(len(PATTERNS))

    def drain(self, count: int) -> float:
        """Read, and do nothing with it."""
        started = time.perf_counter()
        self._skip(count)
        seconds = time.perf_counter() - started
        self._pubsub.close()
        self._client.close()
        return seconds

    def _skip(self, count: int) -> None:
        for _ in itertools.islice(self._pubsub.listen(), count):
            pass


class BareSocket:
    """hiredis.Reader on a socket, and nothing else."""

    def __init__(self, url: str) -> None:
        self._connection, self._socket = open_connection(url)
        self._socket.settimeout(PATIENCE_SECONDS)
        self._reader = hiredis.Reader()
        self._socket.sendall(command("PSUBSCRIBE", *PATTERNS))
        confirmed = 0
        while confirmed < len(PATTERNS):
            confirmed += len(self._receive())

    def drain(self, count: int) -> float:
        """Read and parse, and do nothing with it."""
        started = time.perf_counter()
        read = self._read(count)
        seconds = time.perf_counter() - started
        self._connection.disconnect()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        if read != count:
            raise MeasurementError(f"{type(self).__name__} read {read} messages, not {count}")
        return seconds

    def _read(self, count: int) -> int:
        read = 0
        while read < count:
            read += len(self._receive())
        return read

    def _receive(self) -> list[Any]:
        self._reader.feed(self._socket.recv(RECEIVE_BYTES))
        return list(iter(self._reader.gets, False))  # noqa: FBT003 — hiredis says False for "no more"


Price = Annotated[float, Field(gt=0)]


class PydanticBar(BaseModel):
    """A bar as pydantic reads it, with the contract's rules for each field."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    symbol: str
    timeframe: str
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Annotated[float, Field(ge=0)]
    timestamp: AwareDatetime


class PydanticLoop(BareSocket):
    """hiredis.Reader on a socket, pydantic's validator, and one `on_bar` for every symbol."""

    def _read(self, count: int) -> int:
        strategy = CountBars("floor", "ALL")
        on_bar: Callable[[Any], None] = strategy.on_bar
        validate = PydanticBar.__pydantic_validator__.validate_json
        while strategy.seen < count:
            for _, _, _, payload in self._receive():
                on_bar(validate(payload))
        return strategy.seen


def call_loop(strategies: list[CountBars], bars: Iterator[Any]) -> float:
    """Call `on_bar` of every strategy with every bar in a plain loop; return the seconds that it took."""
    started = time.perf_counter()
    for bar in bars:
        for strategy in strategies:
            strategy.on_bar(bar)
    return time.perf_counter() - started
