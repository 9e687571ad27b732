"""What is taken for a discovered strategy, and what is refused with which reason."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.discovered import strategy_hash
from models.errors import DecodeError
from services.intake.discovered import LARGEST, DiscoveredReader
from services.intake.inspector import StrategyInspector
from strategies.sma_cross import SmaCross
from tests.discoveries import NOW, body, message, payload

READER = DiscoveredReader("json", lambda name: SmaCross if name == "sma_cross" else None)


def reason(given: bytes) -> tuple[str, str]:
    with pytest.raises(DecodeError) as refused:
        READER.read(message(given), NOW)
    return refused.value.reason, refused.value.detail


def test_a_whole_message_is_read_as_it_is() -> None:
    strategy = READER.read(message(payload()), NOW)
    given = body()
    assert (strategy.symbol, strategy.strategy_type) == ("BTC/USD", "SMA_RSI")
    assert strategy.parameters == given["parameters"]
    assert strategy.metrics == given["metrics"]
    assert strategy.current_score == 0.8
    assert strategy.discovery_start_time == datetime(2025, 1, 1, tzinfo=UTC)
    assert strategy.evaluated_at == strategy.discovery_end_time == datetime(2026, 1, 1, tzinfo=UTC)


RULE = "name: R\nparameters:\n  n: {default: 3, from: 1, to: 9}\nentry: close > n\nexit: close < n\n"


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"rules": RULE, "parameters": {"n": 5}}, None),
        ({"rules": RULE, "parameters": {"n": 50}}, "n is 50; it must be at most 9"),
        ({"rules": RULE.replace("close > n", "clse > n")}, "line 4: entry, column 1: there is no line"),
        ({"rules": 3}, "parameters must be"),
    ],
)
def test_rules_that_a_message_brings_itself_are_read_and_their_values_checked(
    parameters: dict[str, Any], problem: str | None
) -> None:
    given = payload(strategy_type="RULES", parameters=parameters)
    inspected = StrategyInspector(lambda _: None).validate_parameters("RULES", parameters)
    if problem is None:
        assert READER.read(message(given), NOW).parameters == parameters
        assert inspected == []
    else:
        kind, detail = reason(given)
        assert kind == "parameters"
        assert detail.startswith(problem)
        assert inspected == [detail]


def test_only_four_fields_are_needed_and_unknown_ones_are_left_alone() -> None:
    least = payload(
        discovery_symbol=None, discovery_start_time=None, discovery_end_time=None, metrics=None, extra=[1]
    )
    strategy = READER.read(message(least), NOW + timedelta(days=1))
    assert strategy.metrics is None
    assert strategy.evaluated_at == NOW  # when the message was written


def test_the_time_of_an_evaluation_is_its_own_before_the_end_of_its_data() -> None:
    given = payload(last_evaluated_at="2026-01-05T06:00:00")  # without a zone: UTC
    assert READER.read(message(given), NOW).evaluated_at == datetime(2026, 1, 5, 6, tzinfo=UTC)


def test_the_hash_is_that_of_the_canonical_json() -> None:
    canonical = '{"parameters":{"a":14,"b":[0.5,{"ü":"x"}]},"strategy_type":"T","symbol":"S"}'
    expected = hashlib.sha256(canonical.encode()).hexdigest()
    assert strategy_hash("S", "T", {"b": [0.5, {"ü": "x"}], "a": 14.0}) == expected
    assert strategy_hash("S", "T", {"a": 15, "b": [0.5, {"ü": "x"}]}) != expected
    assert READER.read(message(payload(parameters={"n": 1.0})), NOW).strategy_hash == (
        READER.read(message(payload(parameters={"n": 1})), NOW).strategy_hash
    )


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON_VALUES, max_size=4))
@settings(max_examples=100, deadline=None)
def test_everybody_with_an_encoder_of_json_finds_the_same_hash(parameters: dict[str, Any]) -> None:
    def whole(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: whole(each) for key, each in value.items()}
        if isinstance(value, list):
            return [whole(each) for each in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    named = {"symbol": "S", "strategy_type": "T", "parameters": whole(parameters)}
    canonical = json.dumps(named, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert strategy_hash("S", "T", parameters) == hashlib.sha256(canonical.encode()).hexdigest()


def test_a_hash_that_is_given_names_the_strategy() -> None:
    given = hashlib.sha256(b"of another canonical form").hexdigest()
    assert READER.read(message(payload(strategy_hash=given.upper())), NOW).strategy_hash == given


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"x" * (LARGEST + 1),
        b'{"parameters":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    ],
)
def test_what_is_no_json_object_fails_the_check_of_the_format(given: bytes) -> None:
    assert reason(given)[0] in {"format", "parameters"}
    if not given.startswith(b'{"parameters"'):
        assert reason(given)[0] == "format"


@pytest.mark.parametrize(
    "changes",
    [
        {"symbol": None},
        {"symbol": ""},
        {"symbol": "BTC USD"},
        {"symbol": "BTC\n"},
        {"symbol": 7},
        {"strategy_type": None},
        {"strategy_type": "a\tb"},
        {"current_score": None},
        {"current_score": "0.8"},
        {"current_score": True},
        {"strategy_hash": "abc"},
        {"discovery_symbol": "*"},
        {"discovery_start_time": "yesterday"},
        {"discovery_start_time": "2026-01-02T00:00:00Z"},
        {"discovery_end_time": "2026-02-10T00:00:00Z"},
        {"last_evaluated_at": "2026-02-10T00:00:00Z"},
        {"last_evaluated_at": "0001-01-01T00:00:00+05:00"},
        {"parameters": None},
    ],
)
def test_fields_that_are_missing_or_make_no_sense_fail_the_check_of_metadata(changes: dict[str, Any]) -> None:
    given = {name: value for name, value in (body() | changes).items() if value is not None}
    assert reason(json.dumps(given).encode())[0] == "metadata"


@pytest.mark.parametrize(
    "parameters",
    [
        [],
        "text",
        {"a": float("nan")},
        {"a": [{"b": float("inf")}]},
        {"a": "nul \x00"},
        {"nul \x00": 1},
        {"half": "\ud800"},
        {"a": 10**301},
        {"a": [[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]},
    ],
)
def test_parameters_that_cannot_be_stored_fail_their_check(parameters: object) -> None:
    assert reason(payload(parameters=parameters))[0] == "parameters"


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"fast": 0}, "fast is 0; it must be at least"),
        ({"fast": "10"}, "it must be of type int"),
        ({"fsat": 10}, "did you mean"),
    ],
)
def test_parameters_of_a_known_type_must_be_those_it_declares(parameters: dict[str, Any], why: str) -> None:
    kind, detail = reason(payload(strategy_type="sma_cross", parameters=parameters))
    assert kind == "parameters"
    assert why in detail


def test_parameters_of_an_unknown_type_are_kept_as_they_are() -> None:
    parameters = {"anything": [1, {"deep": None}], "ok": True}
    assert READER.read(message(payload(parameters=parameters)), NOW).parameters == parameters


@pytest.mark.parametrize(
    ("metrics", "named"),
    [
        ({"win_rate": 1.01}, "win_rate"),
        ({"win_rate": -0.01}, "win_rate"),
        ({"max_drawdown": 0.01}, "max_drawdown"),
        ({"max_drawdown": -1.01}, "max_drawdown"),
        ({"profit_factor": -0.1}, "profit_factor"),
        ({"total_trades": -1}, "total_trades"),
        ({"total_trades": 1.5}, "total_trades"),
        ({"avg_trade_duration": -1}, "avg_trade_duration"),
        ({"sharpe_ratio": float("nan")}, "sharpe_ratio"),
        ({"total_return": float("inf")}, "total_return"),
        ({"own": "text"}, "metrics"),
        ({"nul\x00": 1}, "NUL"),
        ([1], "metrics"),
    ],
)
def test_numbers_out_of_their_range_fail_the_check_of_performance(metrics: object, named: str) -> None:
    kind, detail = reason(payload(metrics=metrics))
    assert kind == "performance"
    assert named in detail


@pytest.mark.parametrize(
    "metrics",
    [
        {"win_rate": 0, "max_drawdown": -1, "profit_factor": 0, "total_trades": 0},
        {"win_rate": 1, "max_drawdown": 0, "sharpe_ratio": None, "total_trades": 3.0},
        {"a metric of its own": -1e9},
        {},
    ],
)
def test_numbers_at_their_limits_are_taken(metrics: dict[str, Any]) -> None:
    assert READER.read(message(payload(metrics=metrics)), NOW).metrics == metrics


@pytest.mark.parametrize("score", [float("nan"), float("-inf")])
def test_a_score_must_be_finite(score: float) -> None:
    assert reason(payload(current_score=score))[0] == "performance"
