"""Indicators over a restart: all of them are plain structures, so they go into JSON and come back."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, ValidationError, convert, to_builtins

from models.errors import StrategyRejected


def save_state(parameters: Mapping[str, Any], **indicators: Struct) -> dict[str, Any]:
    """Return what `get_state` can return: the indicators as JSON, and the parameters that shaped them."""
    return {"parameters": _shaping(parameters), "indicators": to_builtins(indicators)}


def restore_state(state: Mapping[str, Any], parameters: Mapping[str, Any], **indicators: Struct) -> None:
    """Bring the indicators to where `save_state` found them.

    Raises StrategyRejected when the state was saved under other parameters (but for `cash`) or cannot be
    read, and changes nothing then: the strategy starts anew.
    """
    saved_under, now = state.get("parameters"), _shaping(parameters)
    if saved_under != now:
        raise StrategyRejected(f"the state was saved under the parameters {saved_under}; now they are {now}")
    try:
        saved = {name: convert(state["indicators"][name], type(each)) for name, each in indicators.items()}
    except (ValidationError, KeyError, TypeError) as error:
        raise StrategyRejected(f"the state cannot be read: {type(error).__name__}: {error}") from None
    for name, indicator in indicators.items():
        for field in indicator.__struct_fields__:
            setattr(indicator, field, getattr(saved[name], field))


def _shaping(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name != "cash"}
