"""Approvals for tests, as the platform sends them."""

import json
from typing import Any

from models.execution_plan import Approval
from services.portfolio.approval import read_approval

STRATEGY = "6f1f2a1e-0c1b-4d6e-9a57-2b4f6c0d1e11"
USER = "0b9e6a52-7d3c-4f0a-8f0e-5a1c2d3e4f55"


def approval_message(**config: Any) -> dict[str, Any]:
    """The example of the contract with other values in its config; None takes one out."""
    given = {
        "name": "Tech momentum",
        "type": "MOMENTUM",
        "symbols": ["AAPL", "MSFT"],
        "allocation": {"AAPL": 0.35, "MSFT": 0.35},
        "initial_capital": 100000.0,
        "risk_params": {"max_position_size": 0.30, "stop_loss_pct": 0.05, "max_daily_loss": 0.05},
        "entry_rules": {"indicators": ["RSI", "MACD"], "rsi_threshold": 40, "macd_signal": "bullish"},
        **config,
    }
    return {
        "type": "strategy.approved",
        "strategy_id": STRATEGY,
        "user_id": USER,
        "timestamp": "2026-01-28T10:00:00Z",
        "config": {name: value for name, value in given.items() if value is not None},
    }


def approval(**config: Any) -> Approval:
    """The same, read; without entry rules unless they are given."""
    return read_approval(json.dumps(approval_message(**{"entry_rules": None, **config})).encode())
