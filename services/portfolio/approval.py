"""Reads `strategy.approved`, and names everything that is wrong with one at once."""

from collections.abc import Iterator
from datetime import UTC
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import convert
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from models.errors import DecodeError
from models.execution_plan import Approval, EntryRules, PortfolioConfig, RiskParams
from models.market_data import MAX_PAYLOAD_BYTES, SYMBOL_PATTERN
from models.portfolio import decimal_of

KNOWN_INDICATORS = ("RSI", "MACD")
MOST_SYMBOLS = 500

Share = Annotated[float, Field(gt=0, le=1)]
Weight = Annotated[float, Field(ge=1e-6, le=1)]
Symbol = Annotated[str, Field(pattern=SYMBOL_PATTERN)]
Word = Annotated[str, Field(min_length=1, max_length=200)]


class ApprovalRefused(DecodeError):
    """An approval that starts nothing. `problems` says why, one sentence each."""

    def __init__(self, reason: str, problems: list[str]) -> None:
        super().__init__(reason, "; ".join(problems))
        self.problems = tuple(problems)


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True)


class _RiskParams(_Body):
    max_position_size: Share | None = None
    stop_loss_pct: Share | None = None
    max_daily_loss: Share | None = None


class _EntryRules(_Body):
    indicators: list[Word] = []
    rsi_threshold: Annotated[float, Field(gt=0, le=100)] | None = None
    macd_signal: Literal["bullish", "bearish"] | None = None


class _Config(_Body):
    name: Word
    type: Word
    symbols: Annotated[list[Symbol], Field(min_length=1, max_length=MOST_SYMBOLS)]
    allocation: dict[str, Weight]
    initial_capital: Annotated[float, Field(gt=0, le=1e12)]
    risk_params: _RiskParams | None = None
    entry_rules: _EntryRules | None = None

    def problems(self) -> Iterator[str]:
        """Name what is wrong between the fields."""
        if repeated := sorted({each for each in self.symbols if self.symbols.count(each) > 1}):
            yield f"config.symbols: {', '.join(repeated)} named more than once"
        if without := sorted(set(self.symbols) - set(self.allocation)):
            yield f"config.allocation: no share for {', '.join(without)}"
        if foreign := sorted(set(self.allocation) - set(self.symbols)):
            yield f"config.allocation: {', '.join(foreign)} not among the symbols"
        total = sum(map(decimal_of, self.allocation.values()), Decimal(0))
        if total > 1:
            yield f"config.allocation: the shares sum to {total.normalize():f}, more than 1"
        yield from _rule_problems(self.entry_rules or _EntryRules())

    def plan(self) -> PortfolioConfig:
        """Return the portfolio as the executor takes it."""
        return PortfolioConfig(
            name=self.name,
            type=self.type,
            symbols=tuple(self.symbols),
            allocation={symbol: decimal_of(share) for symbol, share in self.allocation.items()},
            initial_capital=decimal_of(self.initial_capital),
            risk_params=convert((self.risk_params or _RiskParams()).model_dump(), RiskParams),
            entry_rules=convert((self.entry_rules or _EntryRules()).model_dump(), EntryRules),
        )


class _Message(_Body):
    type: Literal["strategy.approved"]
    strategy_id: UUID
    user_id: UUID
    timestamp: AwareDatetime
    config: _Config


def read_approval(payload: bytes) -> Approval:
    """Read one message; unknown fields are ignored. Raises ApprovalRefused with every problem."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ApprovalRefused("too_large", [f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}"])
    try:
        message = _Message.model_validate_json(payload)
    except ValidationError as error:
        raise _refusal(error) from None
    if problems := list(message.config.problems()):
        raise ApprovalRefused("invalid_approval", problems)
    return Approval(
        strategy_id=message.strategy_id,
        user_id=message.user_id,
        timestamp=message.timestamp.astimezone(UTC),
        config=message.config.plan(),
    )


def read_config(document: dict[str, Any]) -> PortfolioConfig:
    """Read the `config` of an approval that was accepted before. Raises ApprovalRefused."""
    try:
        return _Config.model_validate(document).plan()
    except ValidationError as error:
        raise _refusal(error) from None


def _rule_problems(rules: _EntryRules) -> Iterator[str]:
    if unknown := [each for each in rules.indicators if each not in KNOWN_INDICATORS]:
        yield f"config.entry_rules.indicators: {', '.join(unknown)} unknown; known are RSI and MACD"
    if "RSI" in rules.indicators and rules.rsi_threshold is None:
        yield "config.entry_rules.rsi_threshold: missing, though RSI is named"
    if "MACD" in rules.indicators and rules.macd_signal is None:
        yield "config.entry_rules.macd_signal: missing, though MACD is named"


def _refusal(error: ValidationError) -> ApprovalRefused:
    found = error.errors(include_url=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return ApprovalRefused("not_json", [found[0]["msg"]])
    return ApprovalRefused(
        "invalid_approval",
        [f"{'.'.join(map(str, each['loc'])) or 'message'}: {each['msg']}" for each in found],
    )
