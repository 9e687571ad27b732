"""A strategy that a discovery pipeline found: what is known of it, and what makes two of them the same."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

_EXPONENT = re.compile(rb"\de|0\.0000")
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


class DiscoveredStrategy(Struct, frozen=True, kw_only=True):
    """One evaluation of one strategy. `evaluated_at` decides which of two evaluations is the newer one.

    `metrics` are shares, ratios and counts as the pipeline names them: win_rate, max_drawdown, …
    """

    symbol: str
    strategy_type: str
    parameters: Mapping[str, Any]
    current_score: float
    strategy_hash: str
    evaluated_at: datetime
    discovery_symbol: str | None = None
    discovery_start_time: datetime | None = None
    discovery_end_time: datetime | None = None
    metrics: Mapping[str, float | None] | None = None


def strategy_hash(symbol: str, strategy_type: str, parameters: dict[str, Any]) -> str:
    """Return the SHA-256, in hex, by which the same strategy is found once.

    It is that of {"parameters", "strategy_type", "symbol"} as JSON in UTF-8 with sorted keys, without
    spaces, and with whole floats written as integers, so that 14 and 14.0 are the same.
    """
    named = {"parameters": _canonical(parameters), "strategy_type": strategy_type, "symbol": symbol}
    quick = msgspec.json.encode(named, order="sorted")
    if _EXPONENT.search(quick):  # where the two encoders differ, the one that everybody has decides
        quick = _ENCODER.encode(named).encode()
    return hashlib.sha256(quick).hexdigest()


def _canonical(value: Any) -> Any:
    kind = type(value)
    if kind is float:
        return int(value) if value.is_integer() else value
    if kind is dict:
        return {key: _canonical(each) for key, each in value.items()}
    if kind is list:
        return [_canonical(each) for each in value]
    return value
