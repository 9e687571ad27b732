"""Reads the protobuf message DiscoveredStrategy (proto/discovered_strategy.proto).

Five fields do not need a library of their own version rules: the wire format is read here, as it is described
at https://protobuf.dev/programming-guides/encoding/. Fields that are not known are skipped, and of a field
that is there twice the last one counts, as protobuf has it for all but embedded messages.
"""

import base64
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from models.errors import DecodeError

STRUCT = "google.protobuf.Struct"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DEEPEST = 30
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
VARINT_BYTES = 10
NANOS_PER_MICROSECOND = 1_000


def decode_protobuf(payload: bytes) -> dict[str, Any]:
    """Return the fields by the names that the JSON message has for them. Raises DecodeError("format")."""
    try:
        return _discovered(payload)
    except (IndexError, struct.error, UnicodeDecodeError, OverflowError) as error:
        raise _malformed(str(error) or type(error).__name__) from None


class _Field(NamedTuple):
    number: int
    kind: int
    value: int | bytes


def _discovered(payload: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {"current_score": 0.0, "symbol": "", "parameters": {}}
    for number, kind, value in _fields(payload):
        if (number, kind) == (2, FIXED64):
            found["current_score"] = _double(value)
        elif kind == BYTES and isinstance(value, bytes):
            if number == 1:
                found |= _strategy(value)
            elif number == 3:  # noqa: PLR2004 — the numbers of the .proto file, here and below
                found["symbol"] = value.decode()
            elif number in {4, 5}:
                name = "discovery_start_time" if number == 4 else "discovery_end_time"  # noqa: PLR2004 — same
                found[name] = _timestamp(value)
    return found


def _strategy(payload: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in _bytes_fields(payload):
        if number == 2:  # noqa: PLR2004 — as above
            found["parameters"] = _any(value)
        elif number == 3:  # noqa: PLR2004 — as above
            found["strategy_type"] = value.decode()
    return found


def _any(payload: bytes) -> dict[str, Any]:
    """Return a Struct as it is meant, and any other message by its type and its bytes in base64."""
    parts = dict(_bytes_fields(payload))
    type_url, value = parts.get(1, b"").decode(), parts.get(2, b"")
    if type_url.rpartition("/")[2] == STRUCT:
        return _struct(value, 0)
    return {"@type": type_url, "value": base64.b64encode(value).decode()}


def _struct(payload: bytes, depth: int) -> dict[str, Any]:
    found = {}
    for _, entry in _bytes_fields(payload):
        parts = dict(_bytes_fields(entry))
        found[parts.get(1, b"").decode()] = _value(parts.get(2, b""), depth + 1)
    return found


def _value(payload: bytes, depth: int) -> Any:
    if depth > DEEPEST:
        raise _malformed("nested too deeply")
    found: Any = None
    for number, kind, value in _fields(payload):
        if number == 2 and kind == FIXED64:  # noqa: PLR2004 — the numbers of google/protobuf/struct.proto
            found = _double(value)
        elif number == 4 and kind == VARINT:  # noqa: PLR2004 — same
            found = bool(value)
        elif isinstance(value, bytes) and kind == BYTES:
            found = _compound(number, value, depth)
    return found


def _compound(number: int, value: bytes, depth: int) -> Any:
    if number == 3:  # noqa: PLR2004 — as above
        return value.decode()
    if number == 5:  # noqa: PLR2004 — as above
        return _struct(value, depth)
    return [_value(each, depth + 1) for _, each in _bytes_fields(value)]


def _timestamp(payload: bytes) -> datetime:
    seconds = nanos = 0
    for number, kind, value in _fields(payload):
        if kind == VARINT and isinstance(value, int):
            signed = value - (1 << 64) if value >> 63 else value
            seconds, nanos = (signed, nanos) if number == 1 else (seconds, signed)
    return EPOCH + timedelta(seconds=seconds, microseconds=nanos // NANOS_PER_MICROSECOND)


def _double(value: int | bytes) -> float:
    number: float = struct.unpack("<d", value)[0] if isinstance(value, bytes) else 0.0
    return number


def _bytes_fields(payload: bytes) -> Iterator[tuple[int, bytes]]:
    for number, kind, value in _fields(payload):
        if kind == BYTES and isinstance(value, bytes):
            yield number, value


def _fields(payload: bytes) -> Iterator[_Field]:
    at = 0
    while at < len(payload):
        tag, at = _varint(payload, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _varint(payload, at)
            yield _Field(number, kind, value)
            continue
        if kind == BYTES:
            size, at = _varint(payload, at)
        elif kind in {FIXED64, FIXED32}:
            size = 8 if kind == FIXED64 else 4
        else:
            raise _malformed(f"wire type {kind}")
        if number == 0 or at + size > len(payload):
            raise _malformed("it ends too soon")
        yield _Field(number, kind, payload[at : at + size])
        at += size


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(VARINT_BYTES):
        byte = payload[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004 — the bit that says that more follow
            return value & 0xFFFF_FFFF_FFFF_FFFF, at + index + 1
    raise _malformed("a number without an end")


def _malformed(detail: str) -> DecodeError:
    return DecodeError("format", f"not the protobuf message DiscoveredStrategy: {detail}")
