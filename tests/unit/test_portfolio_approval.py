"""Reading an approval: what is taken, and that every problem of a wrong one is named."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from services.portfolio.approval import ApprovalRefused, read_approval, read_config
from tests.sample_approvals import STRATEGY, approval_message

SPLIT = {"AAPL": 0.35, "MSFT": 0.35}


def encoded(message: object) -> bytes:
    return json.dumps(message).encode()


def problems(message: object) -> tuple[str, ...]:
    with pytest.raises(ApprovalRefused) as refusal:
        read_approval(encoded(message))
    return refusal.value.problems


def config_problems(**config: Any) -> tuple[str, ...]:
    return problems(approval_message(**config))


def test_the_example_of_the_contract_is_read() -> None:
    approval = read_approval(encoded(approval_message()))
    assert str(approval.strategy_id) == STRATEGY
    assert approval.timestamp == datetime(2026, 1, 28, 10, tzinfo=UTC)
    assert approval.config.allocation == {"AAPL": Decimal("0.35"), "MSFT": Decimal("0.35")}
    assert approval.config.initial_capital == 100_000
    assert approval.config.risk_params.stop_loss_pct == 0.05
    assert approval.config.entry_rules.indicators == ("RSI", "MACD")


def test_a_config_is_read_back_as_it_was_approved() -> None:
    message = approval_message()
    assert read_config(message["config"]) == read_approval(encoded(message)).config


def test_the_same_approval_has_the_same_id_in_whatever_zone_its_time_is_written() -> None:
    message = approval_message()
    same = {**message, "timestamp": "2026-01-28T11:00:00+01:00"}
    later = {**message, "timestamp": "2026-01-28T10:00:01Z"}
    first, second, third = (read_approval(encoded(each)).execution_id for each in (message, same, later))
    assert first == second != third


def test_shares_may_sum_to_one_exactly_and_not_to_more() -> None:
    thirds = dict.fromkeys(("A", "B", "C"), 0.1) | {"D": 0.7}
    read_approval(encoded(approval_message(symbols=list(thirds), allocation=thirds)))
    over = {"AAPL": 0.5, "MSFT": 0.500001}
    assert config_problems(allocation=over) == ("config.allocation: the shares sum to 1.000001, more than 1",)


def test_every_problem_is_named_at_once() -> None:
    found = config_problems(
        symbols=["AAPL", "MSFT", "AAPL"],
        allocation={"AAPL": 0.8, "IBM": 0.9},
        entry_rules={"indicators": ["RSI", "MACD", "ADX"]},
    )
    assert len(found) == 7
    text = " ".join(found)
    for part in ("AAPL named more than once", "MSFT", "IBM", "1.7", "ADX", "rsi_threshold", "macd_signal"):
        assert part in text


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"initial_capital": 0}, "config.initial_capital"),
        ({"initial_capital": float("nan")}, "config.initial_capital"),
        ({"initial_capital": "100000"}, "config.initial_capital"),
        ({"initial_capital": True}, "config.initial_capital"),
        ({"symbols": [], "allocation": {}}, "config.symbols"),
        ({"symbols": ["A*", "MSFT"]}, "config.symbols.0"),
        ({"allocation": {"AAPL": float("inf"), "MSFT": 0.1}}, "config.allocation.AAPL"),
        ({"allocation": {"AAPL": -0.1, "MSFT": 0.1}}, "config.allocation.AAPL"),
        ({"risk_params": {"stop_loss_pct": 1.5}}, "config.risk_params.stop_loss_pct"),
        ({"entry_rules": {"indicators": [], "macd_signal": "sideways"}}, "config.entry_rules.macd_signal"),
    ],
)
def test_a_wrong_value_is_named_by_its_path(config: dict[str, Any], named: str) -> None:
    assert any(problem.startswith(named) for problem in config_problems(**config))


@pytest.mark.parametrize("field", ["strategy_id", "user_id", "timestamp", "type"])
def test_a_wrong_or_missing_field_of_the_message_is_named(field: str) -> None:
    message = approval_message()
    assert problems({**message, field: "nonsense"})[0].startswith(field)
    assert problems({name: value for name, value in message.items() if name != field})[0].startswith(field)


def test_a_time_without_a_zone_is_refused() -> None:
    assert problems({**approval_message(), "timestamp": "2026-01-28T10:00:00"})[0].startswith("timestamp")


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_not_json_is_refused_with_a_stable_reason(payload: bytes) -> None:
    with pytest.raises(ApprovalRefused) as refusal:
        read_approval(payload)
    assert refusal.value.reason in {"not_json", "too_large"}
