"""Risk events, made of verdicts and of what is told of days."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from models.risk import Approved, Measure, Order, Reduced, Refused, Rule, Verdict
from models.risk_event import Action, RiskEvent, Severity
from services.risk.day_watch import EVERYTHING, DayNews
from services.risk.kill_switch import Halt

SESSIONS = "sessions"
"""The account of all plain sessions together."""


def events_of(verdict: Verdict, order: Order, account: str, now: datetime) -> Iterator[RiskEvent]:
    """Give what is to be recorded of a verdict: its refusal or reduction, and its warnings.

    A day that is near its limit is told once, by the day, and not with every order.
    """
    if isinstance(verdict, Refused):
        yield _about(order, account, now, verdict, "refused", verdict.reason)
        return
    if isinstance(verdict, Reduced):
        told = f"{verdict.rule}: reduced from {order.quantity} to {verdict.quantity}: {verdict.detail}"
        yield _about(order, account, now, verdict, "reduced", told, reduced_to=str(verdict.quantity))
    for near in verdict.warnings:
        if near.rule is not Rule.DAILY_LOSS:
            told = f"{near.rule}: {near.value:.2f} comes near the limit of {near.limit:.2f}"
            yield _about(order, account, now, near, "warned", told)


def event_of_day(news: DayNews, now: datetime) -> RiskEvent:
    """Return what is to be recorded of a day that is near its limit, or halted."""
    halted = news.day.halted is not None
    whose = "everything" if news.account == EVERYTHING else news.account
    near = f"the day's loss of {news.lost.loss:.2f} comes near the limit of {news.lost.limit:.2f}"
    return RiskEvent(
        event_id=str(uuid4()),
        execution_id=_execution(news.account),
        event_type=Rule.DAILY_LOSS,
        severity=Severity.CRITICAL if halted else Severity.WARNING,
        description=f"{whose}: {news.day.halted or near}",
        data={
            "account": news.account,
            "day": news.day.day.isoformat(),
            "value": str(news.lost.loss),
            "limit": str(news.lost.limit),
        },
        action_taken="halted" if halted else "warned",
        created_at=now,
    )


def event_of_stop_loss(account: str, order: Order, entry: Decimal, now: datetime) -> RiskEvent:
    """Return what is to be recorded of an order that closes a position that has met its stop loss."""
    told = f"{order.symbol} at {order.price} has met the stop loss of its entry at {entry:f}"
    return RiskEvent(
        event_id=str(uuid4()),
        **_owner(account, order),
        event_type=Rule.STOP_LOSS,
        severity=Severity.CRITICAL,
        description=told,
        data={**_described(order), "account": account, "entry": str(entry)},
        action_taken="closed",
        created_at=now,
    )


def event_of_switch(halt: Halt | None, now: datetime) -> RiskEvent:
    """Return what is to be recorded of everything being halted, or of its end."""
    return RiskEvent(
        event_id=str(uuid4()),
        event_type=Rule.KILL_SWITCH,
        severity=Severity.INFO if halt is None else Severity.CRITICAL,
        description="trading is resumed" if halt is None else f"everything is halted: {halt.words}",
        action_taken="resumed" if halt is None else "halted",
        created_at=now,
    )


def event_of_resume(account: str, by: str, now: datetime) -> RiskEvent:
    """Return what is to be recorded of a halt by daily loss that a person lifted."""
    whose = "everything" if account == EVERYTHING else account
    return RiskEvent(
        event_id=str(uuid4()),
        execution_id=_execution(account),
        event_type=Rule.DAILY_LOSS,
        severity=Severity.INFO,
        description=f"{whose}: resumed by {by}; losses count anew",
        data={"account": account},
        action_taken="resumed",
        created_at=now,
    )


def _about(  # noqa: PLR0913, PLR0917 — whom, when and what it says
    order: Order,
    account: str,
    now: datetime,
    found: Refused | Reduced | Measure,
    action: Action,
    description: str,
    **more: str,
) -> RiskEvent:
    value = None if found.value is None else str(found.value)
    limit = None if found.limit is None else str(found.limit)
    return RiskEvent(
        event_id=str(uuid4()),
        **_owner(account, order),
        event_type=found.rule,
        severity=Severity.WARNING,
        description=description,
        data={**_described(order), "account": account, "value": value, "limit": limit, **more},
        action_taken=action,
        created_at=now,
    )


def _described(order: Order) -> dict[str, Any]:
    return {
        "signal_id": order.order_id,
        "symbol": order.symbol,
        "action": order.side,
        "quantity": str(order.quantity),
        "price": str(order.price),
    }


def _owner(account: str, order: Order) -> dict[str, Any]:
    execution_id = _execution(account)
    return {"execution_id": execution_id, "session_key": order.owner if execution_id is None else None}


def _execution(account: str) -> str | None:
    return None if account in {SESSIONS, EVERYTHING} else account


def is_plain(verdict: Verdict) -> bool:
    """Whether there is nothing to record of a verdict."""
    return isinstance(verdict, Approved) and not verdict.warnings
