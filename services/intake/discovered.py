"""Reads and checks discovered strategies, in four kinds of checks: format, metadata, parameters, performance.

What is refused is refused with the first thing that is wrong with it, as a DecodeError whose `reason` is the
kind. No I/O.
"""

import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from models.discovered import DiscoveredStrategy, strategy_hash
from models.errors import DecodeError, StrategyRejected
from services.intake.discovered_protobuf import decode_protobuf
from services.intake.messages import Message
from strategies.base_strategy import BaseStrategy
from strategies.rule_strategy import STORED_RULES, stored_rules

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
# The same as finite numbers: what is not between them is not finite, or out of range.
LARGEST_FLOAT = sys.float_info.max
BOUNDS = {name: (low, min(high, LARGEST_FLOAT)) for name, (low, high) in RANGES.items()}
FINITE = (-LARGEST_FLOAT, LARGEST_FLOAT)
ANYTHING = (-math.inf, math.inf)
HOLDS = "a NUL character or half a character, which PostgreSQL does not store"


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
        refuse(metadata_problem(start, end, evaluated_at, now), "metadata")
        refuse(self.parameter_problem(envelope.strategy_type, envelope.parameters), "parameters")
        refuse(performance_problem(envelope.current_score, envelope.metrics or {}), "performance")
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

    def parameter_problem(self, strategy_type: str, parameters: Mapping[str, Any]) -> str | None:
        """Say what is wrong, if anything: a value that cannot be stored, or that the type's class refuses."""
        if not _plain(parameters) and (problem := unstorable(parameters)):
            return problem
        try:
            if strategy_type == STORED_RULES:
                check_stored(parameters)
            elif (cls := self._find_class(strategy_type)) is not None:
                cls.parameters.bind(parameters)
        except StrategyRejected as error:
            return str(error)
        return None

    def _envelope(self, payload: bytes) -> Envelope:
        if self._form == "protobuf":
            return _converted(decode_protobuf(payload))
        try:
            return _DECODER.decode(payload)
        except msgspec.ValidationError as error:
            raise DecodeError(_kind(str(error)), str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _converted(_lenient(payload, error))


def check_stored(parameters: Mapping[str, Any]) -> None:
    """Raise StrategyRejected when rules that a row brings itself, or its values for them, cannot run."""
    cls, values = stored_rules(parameters)
    cls.parameters.bind(values)


def metadata_problem(
    start: datetime | None, end: datetime | None, evaluated_at: datetime, now: datetime
) -> str | None:
    """Say what is wrong with the times, if anything."""
    if start is not None and end is not None and start > end:
        return "discovery_start_time is after discovery_end_time"
    latest = now + AHEAD
    if not EARLIEST <= evaluated_at <= latest:
        return f"the time of the evaluation is {evaluated_at.isoformat()}, in the future or before 1900"
    if start is not None and not EARLIEST <= start <= latest:
        return f"discovery_start_time is {start.isoformat()}, in the future or before 1900"
    return None


def performance_problem(score: float, metrics: Mapping[str, float | None]) -> str | None:
    """Say which number is not finite or out of its range, if any is."""
    if not math.isfinite(score):
        return f"current_score is {score}; it must be finite"
    for name, value in metrics.items():
        if value is not None:
            low, high = BOUNDS.get(name, FINITE)
            if not low <= value <= high:
                low, high = RANGES.get(name, ANYTHING)
                return f"{name} is {value:g}; it must be finite, from {low:g} to {high:g}"
    trades = metrics.get("total_trades")
    if trades is not None and not trades.is_integer():
        return f"total_trades is {trades:g}; it must be a whole number"
    if not _storable("".join(metrics)):
        return f"the name of a metric holds {HOLDS}"
    return None


def aware(time: datetime | None) -> datetime | None:
    """Return a time with a zone: one without is UTC."""
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def refuse(problem: str | None, kind: str) -> None:
    """Raise DecodeError of that kind, if there is a problem."""
    if problem is not None:
        raise DecodeError(kind, problem)


def _plain(parameters: Mapping[str, Any]) -> bool:
    """Whether these are nothing but numbers with names that PostgreSQL keeps, as most are: told quickly."""
    for value in parameters.values():
        kind = type(value)
        if kind is float or kind is int:
            if not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
                return False
        elif kind is not bool:
            return False
    return _storable("".join(parameters))


def unstorable(value: Any, depth: int = 0) -> str | None:
    """Say why PostgreSQL cannot keep a decoded JSON value, if it cannot."""
    if depth > DEEPEST:
        return f"nested deeper than {DEEPEST} levels"
    kind = type(value)
    if kind is dict:
        parts: Iterable[Any] = chain.from_iterable(value.items())
    elif kind is list:
        parts = value
    else:
        return _unstorable_scalar(kind, value)
    for each in parts:
        if problem := unstorable(each, depth + 1):
            return problem
    return None


def _unstorable_scalar(kind: type, value: Any) -> str | None:
    if kind is float and not math.isfinite(value):
        return f"a number is {value}; it must be finite"
    if kind is str and not _storable(value):
        return f"a text holds {HOLDS}"
    if kind is int and abs(value) > LARGEST_NUMBER:
        return "a number has more than 300 digits"
    return None


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
