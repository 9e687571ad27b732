"""What an execution does next: a pure function of where it stands, the market, and the policy.

One decision at a time: while an order is open nothing else is decided. In this order: close what is to be
closed, stop losses, entries, the buys of a rebalancing whose sells have ended, the next rebalancing.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from models.portfolio import ZERO, PositionValue, Valuation
from models.portfolio_execution import Execution, ExecutionState, ExecutionStatus, OrderReason
from services.portfolio.allocation import WHOLE, Wish, closing, has_drifted, target_quantity, wishes
from services.portfolio.entry_rules import allows_entry
from services.portfolio.ledger import valued

NAMED = 5


class Market(Struct, frozen=True, kw_only=True):
    """What is known of the symbols of an execution; `closes` are those of their bars, the newest last."""

    now: datetime
    prices: Mapping[str, Decimal]
    closes: Mapping[str, Sequence[float]] = {}


class Policy(Struct, frozen=True, kw_only=True):
    """How executions are run. `stops_out` says whether a position has met its stop loss, given its share.

    `max_position` is the worker's own limit of one symbol's share; `retry_seconds` pass after a failed order.
    """

    stops_out: Callable[[PositionValue, float], bool]
    max_position: Decimal
    rebalance_drift: Decimal
    rebalance_seconds: float = 300.0
    price_wait_seconds: float = 60.0
    retry_seconds: float = 30.0


class Plan(Struct, frozen=True, kw_only=True):
    """Orders wanted, and the state once they are given."""

    reason: OrderReason
    wishes: tuple[Wish, ...]
    state: ExecutionState


class Ending(Struct, frozen=True, kw_only=True):
    """The end of an execution, or its halt in ERROR."""

    status: ExecutionStatus
    reason: str


Decision = Plan | Ending | None


def decide(execution: Execution, market: Market, policy: Policy) -> Decision:
    """Return what is to be done now; None for nothing."""
    if execution.status.ended or execution.open_orders:
        return None
    value = valued(execution.ledger, market.prices)
    if execution.state.closing is not None:
        return _closing(execution, market, value, execution.state.closing)
    if execution.status is ExecutionStatus.ERROR:
        return None
    protection = _stop_losses(execution, market, policy, value)
    return protection or _trading(execution, market, policy, value)


def position_limit(execution: Execution, policy: Policy) -> Decimal:
    """Return the largest share of one symbol: the worker's limit, or the tighter one that was approved."""
    own = execution.config.risk_params.max_position_size
    return policy.max_position if own is None else min(policy.max_position, Decimal(repr(own)))


def rebalancing_due(execution: Execution, now: datetime, policy: Policy) -> bool:
    """Whether the time for the next rebalancing has come."""
    last = execution.rebalanced_at or execution.started_at
    return now - last >= timedelta(seconds=policy.rebalance_seconds)


def targets(execution: Execution, policy: Policy) -> dict[str, Decimal]:
    """Return the shares that rebalancing aims at: those of the entered symbols, never over the limit."""
    limit, state = position_limit(execution, policy), execution.state
    chosen = [symbol for symbol in state.entered if symbol not in state.left]
    return {symbol: min(execution.config.allocation[symbol], limit) for symbol in chosen}


def _closing(execution: Execution, market: Market, value: Valuation, reason: str) -> Decision:
    if not execution.ledger.holdings:
        return Ending(status=ExecutionStatus.STOPPED, reason=reason)
    if not _may_close(execution, market):
        return None
    return Plan(reason="close", wishes=closing(value, market.prices), state=execution.state)


def _may_close(execution: Execution, market: Market) -> bool:
    return execution.state.close_after is None or market.now >= execution.state.close_after


def _stop_losses(execution: Execution, market: Market, policy: Policy, value: Valuation) -> Decision:
    """Close positions that met their stop loss; also what is left of one that was not closed whole."""
    share, left = execution.config.risk_params.stop_loss_pct, execution.state.left
    if not execution.ledger.holdings and set(left) == set(execution.config.symbols):
        return Ending(status=ExecutionStatus.COMPLETED, reason="every symbol was closed by its stop loss")
    exits = {
        symbol
        for symbol, held in value.positions.items()
        if symbol in left or (share is not None and symbol in market.prices and policy.stops_out(held, share))
    }
    if not exits or not _may_close(execution, market):
        return None
    orders = tuple(wish for wish in closing(value, market.prices) if wish.symbol in exits)
    state = replace(execution.state, left=tuple(sorted({*left, *exits})))
    return Plan(reason="stop_loss", wishes=orders, state=state)


def _trading(execution: Execution, market: Market, policy: Policy, value: Valuation) -> Decision:
    state = execution.state
    is_delayed = state.trade_after is not None and market.now < state.trade_after
    if execution.status is ExecutionStatus.PAUSED or is_delayed:
        return None
    wanted = [symbol for symbol in execution.config.symbols if symbol not in state.left]
    if missing := [symbol for symbol in wanted if symbol not in market.prices]:
        return _without_prices(execution, market, policy, missing)
    entries = _entries(execution, market, value)
    return entries or _rebalancing(execution, market, policy, value)


def _without_prices(
    execution: Execution, market: Market, policy: Policy, missing: Sequence[str]
) -> Ending | None:
    """Wait; before the first orders not for ever."""
    waited = market.now - execution.watched_since
    if execution.state.cycle or waited < timedelta(seconds=policy.price_wait_seconds):
        return None
    named = ", ".join(missing[:NAMED]) + (" …" if len(missing) > NAMED else "")
    reason = f"no price of {named} within {policy.price_wait_seconds:g} s"
    return Ending(status=ExecutionStatus.ERROR, reason=reason)


def _entries(execution: Execution, market: Market, value: Valuation) -> Plan | None:
    """Buy what is not entered yet and whose bars allow it."""
    state, config = execution.state, execution.config
    waiting = [symbol for symbol in config.symbols if symbol not in (*state.entered, *state.left)]
    entering = [
        symbol for symbol in waiting if allows_entry(config.entry_rules, market.closes.get(symbol, ()))
    ]
    shares = {symbol: config.allocation[symbol] for symbol in entering}
    orders = _affordable(wishes(shares, value, market.prices), execution)
    return Plan(reason="initial", wishes=orders, state=state) if orders else None


def _rebalancing(execution: Execution, market: Market, policy: Policy, value: Valuation) -> Plan | None:
    """Sell what is too much, and only when that has ended buy what is too little, with the cash there is."""
    state, shares = execution.state, targets(execution, policy)
    if not state.buys_due and not (
        rebalancing_due(execution, market.now, policy) and has_drifted(shares, value, policy.rebalance_drift)
    ):
        return None
    found = wishes(shares, value, market.prices)
    sells = tuple(wish for wish in found if wish.side == "SELL")
    if sells and not state.buys_due:
        return Plan(reason="rebalance", wishes=sells, state=replace(state, buys_due=True))
    buys = _affordable([wish for wish in found if wish.side == "BUY"], execution)
    return Plan(reason="rebalance", wishes=buys, state=replace(state, buys_due=False))


def _affordable(orders: Sequence[Wish], execution: Execution) -> tuple[Wish, ...]:
    """Return the orders in turn, each at most as large as the cash left pays for, its fee included."""
    left, found = max(execution.ledger.cash, ZERO) / (1 + execution.state.reserve), []
    for wish in orders:
        quantity = wish.quantity
        if wish.side == "BUY":
            quantity = min(quantity, target_quantity(wish.symbol, WHOLE, left, wish.price))
            left -= quantity * wish.price
        if quantity:
            found.append(replace(wish, quantity=quantity))
    return tuple(found)
