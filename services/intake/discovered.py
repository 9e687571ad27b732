"""Reads and checks discovered strategies, in four kinds of checks: format, metadata, parameters, performance.

What is refused is refused with the first thing that is wrong with it, as a DecodeError whose `reason` is the
kind. No I/O.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from models.discovered import DiscoveredStrategy, strategy_hash
from models.errors import DecodeError, StrategyRejected
from services.intake.discovered_protobuf import decode_protobuf
from services.intake.messages import Message
from strategies.base_strategy import BaseStrategy

LARGEST = 128 * 1024
DEEPEST = 20
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)
LARGEST_NUMBER = 10**300

Symbol = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:/-]{1,32}\Z")]
StrategyType = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}\Z")]
Hash = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{64}\Z")]
FindClass = Callable[[str], type[BaseStrategy] | None]

# Inclusive, from the definition of each: shares are 0 to 1, a drawdown is a loss.
RANGES: Mapping[str, tuple[float, float]] = {
    "win_rate": (0.0, 1.0),
    "max_drawdown": (-1.0, 0.0),
    "profit_factor": (0.0, math.inf),
    "total_trades": (0.0, math.inf),
    "avg_trade_duration": (0.0, math.inf),
}


class Envelope(Struct, frozen=True, kw_only=True):
    """The message as it is sent; fields that are not named here are ignored."""

    symbol: Symbol
    strategy_type: StrategyType
    parameters: dict[str, Any]
    current_score: float
    strategy_hash: Hash | None = None
    discovery_symbol: Symbol | None = None
    discovery_start_time: datetime | None = None
    discovery_end_time: datetime | None = None
    last_evaluated_at: datetime | None = None
    metrics: dict[str, float | None] | None = None


_DECODER = msgspec.json.Decoder(Envelope)


class DiscoveredReader:
    """Turns messages into strategies. `find_class` returns the class that a type names, if there is one."""

    def __init__(self, form: Literal["json", "protobuf"], find_class: FindClass) -> None:
        self._form = form
        self._find_class = find_class

    def read(self, message: Message, now: datetime) -> DiscoveredStrategy:
        """Return the strategy of a message received `now`. Raises DecodeError."""
        if len(message.payload) > LARGEST:
            raise DecodeError("format", f"{len(message.payload)} bytes, at most {LARGEST}")
        envelope = self._envelope(message.payload)
        start, end = aware(envelope.discovery_start_time), aware(envelope.discovery_end_time)
        evaluated_at = aware(envelope.last_evaluated_at) or end or message.written_at or now
        refuse(metadata_problems(envelope, evaluated_at, now), "metadata")
        refuse(self.parameter_problems(envelope.strategy_type, envelope.parameters), "parameters")
        refuse(performance_problems(envelope.current_score, envelope.metrics or {}), "performance")
        identity = envelope.strategy_hash or strategy_hash(
            envelope.symbol, envelope.strategy_type, envelope.parameters
        )
        return DiscoveredStrategy(
            symbol=envelope.symbol,
            strategy_type=envelope.strategy_type,
            parameters=envelope.parameters,
            current_score=envelope.current_score,
            strategy_hash=identity.lower(),
            evaluated_at=evaluated_at,
            discovery_symbol=envelope.discovery_symbol,
            discovery_start_time=start,
            discovery_end_time=end,
            metrics=envelope.metrics,
        )

    def parameter_problems(self, strategy_type: str, parameters: Mapping[str, Any]) -> Iterator[str]:
        """Say what is wrong: values that cannot be stored, or that the class of the type does not take."""
        yield from _unstorable(parameters, 0)
        cls = self._find_class(strategy_type)
        if cls is not None:
            try:
                cls.parameters.bind(parameters)
            except StrategyRejected as error:
                yield str(error)

    def _envelope(self, payload: bytes) -> Envelope:
        if self._form == "protobuf":
            return _converted(decode_protobuf(payload))
        try:
            return _DECODER.decode(payload)
        except msgspec.ValidationError as error:
            raise DecodeError(_kind(str(error)), str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _converted(_lenient(payload, error))


def metadata_problems(envelope: Envelope, evaluated_at: datetime, now: datetime) -> Iterator[str]:
    """Say what is wrong with the times."""
    start, end = aware(envelope.discovery_start_time), aware(envelope.discovery_end_time)
    if start is not None and end is not None and start > end:
        yield "discovery_start_time is after discovery_end_time"
    for name, time in (("discovery_start_time", start), ("the time of the evaluation", evaluated_at)):
        if time is not None and not EARLIEST <= time <= now + AHEAD:
            yield f"{name} is {time.isoformat()}, which is in the future or before 1900"


def performance_problems(score: float, metrics: Mapping[str, float | None]) -> Iterator[str]:
    """Say which numbers are not finite or out of their range."""
    if not math.isfinite(score):
        yield f"current_score is {score}; it must be finite"
    for name, value in metrics.items():
        if value is None:
            continue
        low, high = RANGES.get(name, (-math.inf, math.inf))
        if not math.isfinite(value):
            yield f"{name} is {value}; it must be finite"
        elif not low <= value <= high:
            yield f"{name} is {value:g}; it must be from {low:g} to {high:g}"
        elif name == "total_trades" and value != int(value):
            yield f"{name} is {value:g}; it must be a whole number"
        elif not _storable(name):
            yield "the name of a metric holds a NUL character or half a character"


def aware(time: datetime | None) -> datetime | None:
    """Return a time with a zone: one without is UTC."""
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def refuse(problems: Iterator[str], kind: str) -> None:
    """Raise DecodeError of that kind for the first problem."""
    for problem in problems:
        raise DecodeError(kind, problem)


def _unstorable(value: Any, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        yield f"nested deeper than {DEEPEST} levels"
    elif isinstance(value, str):
        if not _storable(value):
            yield "a text holds a NUL character or half a character, which PostgreSQL does not store"
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _unstorable(key, depth)
            yield from _unstorable(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            yield from _unstorable(each, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"a number is {value}; it must be finite"
    elif isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        yield "a number has more than 300 digits"


def _storable(text: str) -> bool:
    return "\x00" not in text and (text.isascii() or not any("\ud800" <= each <= "\udfff" for each in text))


def _lenient(payload: bytes, error: Exception) -> Any:
    """Read NaN and Infinity too, no JSON but written by Python, so that the reason names the number."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        raise DecodeError("format", f"not JSON: {error}") from None


def _converted(found: Any) -> Envelope:
    try:
        return msgspec.convert(found, Envelope)
    except (msgspec.ValidationError, RecursionError) as error:
        raise DecodeError(_kind(str(error)), str(error)) from None


def _kind(problem: str) -> str:
    """Return the kind of a problem that msgspec found, by the path that ends its words."""
    path = problem.rpartition(" - at `$")[2] if " - at `$" in problem else ""
    if path.startswith(".parameters"):
        return "parameters"
    if path.startswith(".metrics"):
        return "performance"
    return "metadata" if path or "required field" in problem else "format"
