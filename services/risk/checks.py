"""The rules, as one pure function from an order, a snapshot and limits to a verdict. First refusal wins.

What only closes a position that its owner holds passes every limit: it makes no position larger, whatever
its price, and a position that cannot be closed is the greater danger. An order that would turn a position
round is cut down to the part that closes it where the rest may not be.
"""

import math
from decimal import ROUND_DOWN, Decimal

from msgspec import Struct

from models.portfolio import ZERO, decimal_of
from models.risk import Approved, Limits, Measure, Order, Reduced, Refused, Rule, Verdict
from services.risk.lines import Line

POSITION_WARNING = Decimal("0.8")
DAILY_LOSS_WARNING = Decimal("0.7")
COIN_DIGITS = 8


class DayLoss(Struct, frozen=True, gc=False):
    """What was lost since the day's opening, and how much may be; `halted` says why nothing may grow."""

    loss: Decimal
    limit: Decimal
    halted: str | None = None

    @property
    def is_near(self) -> bool:
        """Whether it is time to warn."""
        return self.loss > 0 and self.loss >= DAILY_LOSS_WARNING * self.limit


class Snapshot(Struct, frozen=True, gc=False):
    """What the rules look at, all of one moment.

    `line` is the position of the order's owner in its symbol, `others` the worst case of all other lines of
    the account in that symbol, `exposure` that of everything, `line` included. `mark` is the market price,
    heard of `price_age` seconds ago; both None where none was heard of. `portfolio` is the value that shares
    are of; `sent` counts the orders of the last second, of which there may be `most_sent`. `losses` are those
    of the account and of everybody together, where they are near their limit, over it, or halted for it.
    """

    line: Line
    others: Decimal
    mark: Decimal | None
    price_age: float | None
    portfolio: Decimal
    exposure: Decimal
    sent: int
    most_sent: int
    losses: tuple[DayLoss, ...]


def check(order: Order, seen: Snapshot, limits: Limits) -> Verdict:
    """Judge an order. Call it where Decimal is exact: `with localcontext(EXACT)`."""
    quantity, price = order.quantity, order.price
    if not (quantity.is_finite() and quantity > 0 and price.is_finite() and price > 0):
        return _missing(f"quantity {quantity} or price {price} is not a number above zero")
    closing = seen.line.closable(order.side)
    if quantity <= closing:
        return Approved()
    if (mark := seen.mark) is None or (age := seen.price_age) is None:
        refusal = _missing(f"no price of {order.symbol} was heard of")
    elif limits.price_max_age is not None and age > limits.price_max_age:
        refusal = _stale(order, age, limits.price_max_age)
    elif seen.sent >= seen.most_sent:
        refusal = _throttled(seen)
    elif not limits.min_order <= price * quantity <= limits.max_order:
        refusal = _order_size(order, limits)
    else:
        return _growth(order, seen, limits, closing, mark)
    return _closing_part(refusal, closing)


def _growth(order: Order, seen: Snapshot, limits: Limits, closing: Decimal, mark: Decimal) -> Verdict:
    """Judge what makes a position larger: the position, then everything together, then the day."""
    line, side, quantity = seen.line, order.side, order.quantity
    price = order.price if order.price > mark else mark  # noqa: FURB136 — a call is dearer than all of it
    limit = limits.max_position * seen.portfolio
    reached = line.reach(side, mark, quantity, price)
    value = seen.others + reached
    too_large: Refused | None = None
    if value > limit:
        too_large = _refused(Rule.POSITION_SIZE, value, limit, f"{order.symbol} would come to")
        quantity = _fitting(order, line, limit - seen.others, price, mark)
        if quantity <= closing or quantity * order.price < limits.min_order:
            return _closing_part(too_large, closing)
        reached = line.reach(side, mark, quantity, price)
    refusal = None
    if seen.exposure + reached > limits.max_exposure:
        refusal = _exposure(seen, limits, mark, reached)
    if refusal is None and seen.losses:
        refusal = _day_loss(seen.losses)
    if refusal is not None:
        return _closing_part(refusal, closing)
    warnings = tuple(Measure(Rule.DAILY_LOSS, day.loss, day.limit) for day in seen.losses if day.is_near)
    if too_large is not None:
        return _reduced(too_large, quantity, warnings)
    if value >= POSITION_WARNING * limit:
        warnings = (Measure(Rule.POSITION_SIZE, value, limit), *warnings)
    return Approved(warnings=warnings)


def tradable(order: Order, quantity: Decimal) -> Decimal:
    """Round down to what can be ordered, and written as a float: whole shares, 1e-8 of a coin."""
    digits = COIN_DIGITS if order.asset_type == "crypto" else 0
    rounded = quantity.scaleb(digits).to_integral_value(ROUND_DOWN).scaleb(-digits)
    written = float(rounded)
    if Decimal(repr(written)) > rounded:  # more digits than a float holds
        return Decimal(repr(math.nextafter(written, 0.0)))
    return min(rounded, Decimal(repr(written)))


def _fitting(order: Order, line: Line, room: Decimal, price: Decimal, mark: Decimal) -> Decimal:
    """Return how much of an order fits into the room of its side, the part that closes included."""
    held, flight = (line.held, line.buys) if order.side == "BUY" else (-line.held, line.sells)
    if held >= 0:
        quantity = (room - held * mark - flight.value) / price
    else:  # `reach` is the smaller of two: it is enough to keep either within the room
        beyond = room / max(price, flight.highest) - held - flight.quantity
        quantity = max(beyond, (room - flight.value) / price)
    return tradable(order, min(quantity, order.quantity)) if quantity > 0 else ZERO


def _stale(order: Order, age: float, most: float) -> Refused:
    return Refused(
        rule=Rule.STALE_PRICE,
        detail=f"the price of {order.symbol} is {age:.1f} s old; at most {most:g} s",
        value=decimal_of(age),
        limit=decimal_of(most),
    )


def _throttled(seen: Snapshot) -> Refused:
    return Refused(
        rule=Rule.THROTTLE,
        detail=f"there were {seen.sent} orders within a second; at most {seen.most_sent}",
        value=Decimal(seen.sent + 1),
        limit=Decimal(seen.most_sent),
    )


def _order_size(order: Order, limits: Limits) -> Refused:
    value = order.price * order.quantity
    if value < limits.min_order:
        return Refused(
            rule=Rule.ORDER_SIZE,
            detail=f"the order is worth {value:.2f}, below the smallest of {limits.min_order:.2f}",
            value=value,
            limit=limits.min_order,
        )
    return _refused(Rule.ORDER_SIZE, value, limits.max_order, "the order is worth")


def _exposure(seen: Snapshot, limits: Limits, mark: Decimal, reached: Decimal) -> Refused | None:
    """Judge everything together, once the line reaches so far on the order's side."""
    before = seen.line.worst(mark)
    if reached <= before:
        return None
    total = seen.exposure - before + reached
    if total <= limits.max_exposure:
        return None
    return _refused(Rule.TOTAL_EXPOSURE, total, limits.max_exposure, "all positions would come to")


def _day_loss(losses: tuple[DayLoss, ...]) -> Refused | None:
    for day in losses:
        if day.halted is not None:
            return Refused(rule=Rule.DAILY_LOSS, detail=day.halted, value=day.loss, limit=day.limit)
        if day.loss > day.limit:
            return _refused(Rule.DAILY_LOSS, day.loss, day.limit, "the day's loss is")
    return None


def _missing(detail: str) -> Refused:
    return Refused(rule=Rule.MISSING_DATA, detail=detail)


def _refused(rule: Rule, value: Decimal, limit: Decimal, subject: str) -> Refused:
    return Refused(
        rule=rule, detail=f"{subject} {value:.2f}, over the limit of {limit:.2f}", value=value, limit=limit
    )


def _closing_part(refusal: Refused, closing: Decimal) -> Verdict:
    """Let the part of an order through that closes a position, where there is one."""
    return _reduced(refusal, closing) if closing else refusal


def _reduced(refusal: Refused, quantity: Decimal, warnings: tuple[Measure, ...] = ()) -> Reduced:
    return Reduced(
        quantity=quantity,
        rule=refusal.rule,
        detail=refusal.detail,
        value=refusal.value,
        limit=refusal.limit,
        warnings=warnings,
    )
