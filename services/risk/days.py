"""The trading day of an account: what it opened with, and whether it lost so much that it may only reduce."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from models.risk import Limits
from services.risk.checks import DAILY_LOSS_WARNING, DayLoss

ALWAYS = Decimal("Infinity")
NEVER = Decimal("-Infinity")


class Day(Struct, frozen=True, kw_only=True):
    """One trading day. `opening` is the account's value when it began, or when it was resumed.

    `halted` says why nothing may grow until the next day or a resume; `warned` whether somebody was told
    that the limit is near.
    """

    day: date
    opening: Decimal
    halted: str | None = None
    halted_at: datetime | None = None
    warned: bool = False


def trading_day(now: datetime, start: time) -> date:
    """Return the trading day of a moment, both in UTC: it begins at `start` and is named by that date."""
    return (now - timedelta(hours=start.hour, minutes=start.minute)).date()


def day_loss(day: Day, value: Decimal, base: Decimal, limits: Limits) -> DayLoss:
    """Return what was lost of the day's opening, and the tighter limit: a share of `base` or the amount."""
    limit = min(limits.max_daily_loss * base, limits.max_daily_loss_amount)
    return DayLoss(day.opening - value, limit, day.halted)


def alarm(day: Day, lost: DayLoss) -> Decimal:
    """Return the value at which, or below which, the day's loss is near its limit, over it, or halts."""
    return ALWAYS if day.halted is not None else day.opening - DAILY_LOSS_WARNING * lost.limit


def assessed(day: Day, lost: DayLoss, now: datetime) -> Day:
    """Return the day halted where the loss is over its limit, warned where it is near."""
    if day.halted is None and lost.loss > lost.limit:
        reason = f"the day's loss of {lost.loss:.2f} is over the limit of {lost.limit:.2f}"
        return replace(day, halted=reason, halted_at=now, warned=True)
    if not day.warned and lost.is_near:
        return replace(day, warned=True)
    return day
