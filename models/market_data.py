"""What arrives over Redis: bars, trades and control events, each decoded and checked in one place.

Bars and trades are msgspec structs, because they are made hundreds of thousands of times a second;
control events are rare and validated by pydantic. Prices on this path are floats: they are observed,
not booked.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from models.errors import DecodeError

MAX_PAYLOAD_BYTES = 64 * 1024
SYMBOL_PATTERN = r"^[A-Za-z0-9._:/-]{1,32}$"
TIMEFRAME_PATTERN = re.compile(r"[A-Za-z0-9]{1,16}")
ID_PATTERN = r"^[^\x00-\x1f\x7f]{1,128}$"

Price = Annotated[float, Meta(gt=0)]
Volume = Annotated[float, Meta(ge=0)]
AwareTime = Annotated[datetime, Meta(tz=True)]
Number = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class Bar(Struct, frozen=True, gc=False):
    """One bar of a symbol: open, high, low and close in the quote currency, volume in units traded.

    `timestamp` is aware and marks the bar as the publisher marks it (usually its start). `seq` and
    `epoch` count messages of a channel, where the publisher has them. Made directly, a Bar is taken at
    its word; `Bar.decode` checks every rule.

    >>> from datetime import UTC
    >>> Bar("AAPL", "1m", 99.5, 101.0, 99.0, 100.5, 1200.0, datetime(2026, 1, 28, 10, tzinfo=UTC)).close
    100.5
    """

    symbol: str
    timeframe: Annotated[str, Meta(min_length=1, max_length=16)]  # its letters: check_timeframe
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Volume
    timestamp: AwareTime
    seq: Number | None = None
    epoch: Number | None = None

    @property
    def identity(self) -> str:
        """What makes this bar the same bar wherever it is seen again."""
        return f"bar|{self.symbol}|{self.timeframe}|{self.timestamp.isoformat()}"

    @staticmethod
    def decode(payload: bytes) -> "Bar":
        """Read one JSON message; its timestamp comes back in UTC. Raises DecodeError with a stable reason."""
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise _too_large(payload)
        try:
            bar = _decode_bar(payload)
            if bar.timestamp.tzinfo is not UTC:
                bar = replace(bar, timestamp=bar.timestamp.astimezone(UTC))
        except (ValueError, RecursionError, OverflowError) as error:
            raise _refusal(payload, error) from error
        low, high = bar.low, bar.high
        if not (low <= bar.open <= high and low <= bar.close <= high):
            raise DecodeError("inconsistent_bar", "low ≤ open, close ≤ high does not hold")
        return bar


class Trade(Struct, frozen=True, gc=False, rename={"tick_type": "tickType"}):
    """One trade: price in the quote currency, size in units."""

    symbol: str
    price: Price
    size: Price
    timestamp: AwareTime
    tick_type: Literal["trade"] = "trade"
    seq: Number | None = None
    epoch: Number | None = None

    @property
    def identity(self) -> str:
        """What makes this trade the same trade; without `seq`, equal trades of one instant share it."""
        number = "" if self.seq is None else f"|{self.epoch}:{self.seq}"
        return f"trade|{self.symbol}|{self.timestamp.isoformat()}|{self.price}|{self.size}{number}"

    @staticmethod
    def decode(payload: bytes) -> "Trade":
        """Read one JSON message; its timestamp comes back in UTC. Raises DecodeError with a stable reason."""
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise _too_large(payload)
        try:
            trade = _decode_trade(payload)
            if trade.timestamp.tzinfo is not UTC:
                trade = replace(trade, timestamp=trade.timestamp.astimezone(UTC))
        except (ValueError, RecursionError, OverflowError) as error:
            raise _refusal(payload, error) from error
        return trade


def check_timeframe(timeframe: str) -> None:
    """Raise DecodeError for what is no timeframe: 1 to 16 letters and digits, like 1m, 4h, 1D or tick.

    To be asked once of each, where it is seen first: a pattern costs more than all other checks of a bar.
    """
    if not TIMEFRAME_PATTERN.fullmatch(timeframe):
        raise DecodeError(
            "invalid_value", f"timeframe is {timeframe!r}; it must be 1 to 16 letters and digits"
        )


_decode_bar = msgspec.json.Decoder(Bar).decode
_decode_trade = msgspec.json.Decoder(Trade).decode


def _too_large(payload: bytes) -> DecodeError:
    return DecodeError("too_large", f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}")


def _refusal(payload: bytes, error: Exception) -> DecodeError:
    """Name what is wrong with a payload, in words few enough for a metric label."""
    if isinstance(error, msgspec.ValidationError):
        reason = "missing_field" if "missing required field" in str(error) else "invalid_value"
        return DecodeError(reason, str(error))
    if isinstance(error, OverflowError):
        return DecodeError("invalid_value", "the timestamp has no date in UTC")
    if isinstance(error, RecursionError):
        return DecodeError("not_json", "nested too deeply")
    try:
        payload.decode()
    except UnicodeDecodeError:
        return DecodeError("not_utf8", "the payload is not UTF-8")
    return DecodeError("not_json", str(error))


class ControlEvent(BaseModel):
    """A request to start or stop sessions, as published on `system:subscription_updates`.

    `session_id` names one session; without it `strategy_id` does; with neither, every session of the
    symbol is meant. Unknown fields are ignored.
    """

    model_config = ConfigDict(frozen=True, strict=True, alias_generator=to_camel, populate_by_name=True)

    action: Literal["subscribe", "unsubscribe"]
    symbol: Annotated[str, Field(pattern=SYMBOL_PATTERN)]
    type: Literal["stock", "crypto"]
    strategy_id: Annotated[str, Field(pattern=ID_PATTERN)] | None = None
    session_id: Annotated[str, Field(pattern=ID_PATTERN)] | None = None

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read one JSON message. Raises DecodeError with a stable reason."""
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise _too_large(payload)
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            raise _control_refusal(payload, error) from error


def _control_refusal(payload: bytes, error: ValidationError) -> DecodeError:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "message"
    detail = f"{where}: {first['msg']}"
    if first["type"] == "json_invalid":
        try:
            payload.decode()
        except UnicodeDecodeError:
            return DecodeError("not_utf8", "the payload is not UTF-8")
        return DecodeError("not_json", detail)
    if first["type"] == "missing":
        return DecodeError("missing_field", detail)
    if first["loc"] == ("action",):
        return DecodeError("unknown_action", detail)
    return DecodeError("invalid_value", detail)
