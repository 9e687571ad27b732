"""What a run is judged by: each number with its formula, None where it is undefined.

Returns are those of the account from one close to the next: simple returns r = v / u - 1, of days where bars
are shorter than a day. `periods` is how many of them make a year. There is no risk-free rate.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from statistics import median

from msgspec import Struct

from services.history.equity import EquityCurve
from services.history.round_trips import RoundTrip

DAY = timedelta(days=1)
TRADING_DAYS = 252.0
CALENDAR_DAYS = 365.0
WEEK_DAYS = 7.0
WEEKS = 52.0
MONTH_DAYS = {28.0, 29.0, 30.0, 31.0}
MONTHS = 12.0
ROLLING = 63
SAMPLED_STEPS = 1_000


class Statistics(Struct, frozen=True, kw_only=True):
    """The numbers of a run. Returns, drawdown (0 to -1), win rate and exposure are shares of 1.

    `trades` counts round trips that are closed; `avg_trade_duration` is in seconds; `exposure_time` is the
    share of bars at whose close something was held.
    """

    trades: int
    total_return: float
    cagr: float | None
    sharpe_ratio: float | None
    sortino_ratio: float | None
    max_drawdown: float
    win_rate: float | None
    profit_factor: float | None
    avg_trade_duration: float | None
    exposure_time: float
    final_equity: float


def judge(curve: EquityCurve, closed: Sequence[RoundTrip], cash: float, *, is_crypto: bool) -> Statistics:
    """Put together the statistics of an account that began with this cash."""
    sampled, periods = sample(curve, is_crypto=is_crypto)
    moves = returns(sampled.values)
    profits = [trip.profit for trip in closed if trip.profit is not None]
    durations = [trip.seconds for trip in closed if trip.seconds is not None]
    return Statistics(
        trades=len(closed),
        total_return=curve.values[-1] / cash - 1.0,
        cagr=cagr(moves, periods),
        sharpe_ratio=sharpe_ratio(moves, periods),
        sortino_ratio=sortino_ratio(moves, periods),
        max_drawdown=max_drawdown(curve.values),
        win_rate=win_rate(profits),
        profit_factor=profit_factor(profits),
        avg_trade_duration=math.fsum(durations) / len(durations) if durations else None,
        exposure_time=sum(curve.exposed) / len(curve),
        final_equity=curve.values[-1],
    )


def sample(curve: EquityCurve, *, is_crypto: bool) -> tuple[EquityCurve, float]:
    """Return the curve as its returns are taken, and how many of them make a year.

    Bars shorter than a day: the first value and the last of each day, so that every day counts, and a year
    has as many returns as the market has sessions: 252, or 365 where it never closes. Daily bars: the same
    numbers. Weeks: 52, months: 12, and anything else longer than a day: 365 / its days.
    """
    stride = max(1, len(curve) // SAMPLED_STEPS)
    steps = [(curve.times[n] - curve.times[n - 1]) / DAY for n in range(1, len(curve), stride)]
    usual = median(steps) if steps else 1.0
    if usual < 1.0:
        curve, usual = curve.by_day(), 1.0
    if usual == 1.0:
        return curve, CALENDAR_DAYS if is_crypto else TRADING_DAYS
    if usual == WEEK_DAYS:
        return curve, WEEKS
    return curve, MONTHS if usual in MONTH_DAYS else CALENDAR_DAYS / usual


def returns(values: Sequence[float]) -> list[float]:
    """Return v / u - 1 of each value u and the next one v."""
    return [later / value - 1.0 for value, later in pairwise(values)]


def cagr(moves: Sequence[float], periods: float) -> float | None:
    """Compound annual growth rate: (product of 1 + r) ^ (periods / n) - 1; None without a return.

    Source: CFA Institute, Global Investment Performance Standards, geometric linking and annualising.
    """
    growth = math.prod(1.0 + move for move in moves)
    if not moves or growth < 0.0:
        return None
    try:
        return growth ** (periods / len(moves)) - 1.0
    except OverflowError:
        return None


def sharpe_ratio(moves: Sequence[float], periods: float) -> float | None:
    """Mean of r / standard deviation of r (n - 1) × √periods; None where nothing varies.

    Source: W. F. Sharpe, "The Sharpe Ratio", Journal of Portfolio Management 21 (1994), ex post.
    """
    deviation = _deviation(moves)
    return None if not deviation else _mean(moves) / deviation * math.sqrt(periods)


def sortino_ratio(moves: Sequence[float], periods: float) -> float | None:
    """Mean of r × periods / (√(mean of min(r, 0)²) × √periods); None where nothing fell.

    Source: F. A. Sortino, L. N. Price, "Performance Measurement in a Downside Risk Framework", Journal of
    Investing 3 (1994), with a target of 0; the mean of squares is over all returns, not only the losses.
    """
    if not moves:
        return None
    downside = math.sqrt(math.fsum(min(move, 0.0) ** 2 for move in moves) / len(moves))
    return _mean(moves) * math.sqrt(periods) / downside if downside else None


def max_drawdown(values: Sequence[float]) -> float:
    """The deepest fall below the highest value before: min of v / max(values until v) - 1, from 0 to -1.

    Source: M. Magdon-Ismail, A. Atiya, "Maximum Drawdown", Risk 17 (2004).
    """
    peak, deepest, below = -math.inf, 0.0, -math.inf
    for value in values:
        if value > peak:
            peak = value
            below = peak * (1.0 + deepest)
        elif value < below:
            deepest, below = value / peak - 1.0, value
    return deepest


def drawdowns(values: Sequence[float]) -> list[float]:
    """Return how far each value lies below the highest one until then, from 0 to -1."""
    return [value / peak - 1.0 for value, peak in zip(values, accumulate(values, max), strict=True)]


def win_rate(profits: Sequence[float]) -> float | None:
    """Share of the round trips that earned something; None without one."""
    return sum(1 for profit in profits if profit > 0.0) / len(profits) if profits else None


def profit_factor(profits: Sequence[float]) -> float | None:
    """What the winning round trips earned / what the losing ones lost; None where none lost."""
    lost = -math.fsum(profit for profit in profits if profit < 0.0)
    return math.fsum(profit for profit in profits if profit > 0.0) / lost if lost else None


def monthly_returns(curve: EquityCurve) -> dict[str, float]:
    """Return by month ("2026-01", UTC) the last value / the last one of the month before - 1.

    The first month is counted from the curve's first value.
    """
    found: dict[str, float] = {}
    months: dict[str, float] = {}
    for time, value in zip(curve.times, curve.values, strict=True):
        months[f"{time:%Y-%m}"] = value
    before = curve.values[0]
    for month, value in months.items():
        found[month] = value / before - 1.0
        before = value
    return found


def rolling_sharpe(
    curve: EquityCurve, window: int = ROLLING, *, is_crypto: bool
) -> list[tuple[datetime, float | None]]:
    """Return the Sharpe ratio of the last `window` returns at the end of each of them."""
    sampled, periods = sample(curve, is_crypto=is_crypto)
    moves = returns(sampled.values)
    return [
        (sampled.times[end], sharpe_ratio(moves[end - window : end], periods))
        for end in range(window, len(moves) + 1)
    ]


def _mean(moves: Sequence[float]) -> float:
    return math.fsum(moves) / len(moves)


def _deviation(moves: Sequence[float]) -> float:
    """The standard deviation of a sample; 0 where there are too few."""
    if len(moves) < 2:  # noqa: PLR2004 — one value does not vary
        return 0.0
    mean = _mean(moves)
    squares = math.fsum((move - mean) ** 2 for move in moves)
    return math.sqrt(squares / (len(moves) - 1))
