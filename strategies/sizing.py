"""How much to buy."""

import math

from strategies.parameters import Parameter

CASH = Parameter(
    10_000.0,
    minimum=0.01,
    description="money to commit per entry, in the quote currency; below one share, none",
)
FRACTIONS = 1_000_000
MOST_UNITS = 1e15


def units_for(cash: float, price: float, symbol: str) -> float:
    """Return how many units `cash` buys at `price`, rounded down; 0 when it does not buy one.

    Shares are bought whole. Crypto, known by the slash in its symbol, is bought in millionths.

    >>> units_for(10_000, 151.0, "AAPL"), units_for(10_000, 60_000.0, "BTC/USD")
    (66.0, 0.166666)
    """
    return tradable(min(cash / price, MOST_UNITS), symbol)


def tradable(units: float, symbol: str) -> float:
    """Round down to what can be traded: whole shares, or millionths of crypto."""
    return math.floor(units * FRACTIONS) / FRACTIONS if "/" in symbol else float(math.floor(units))
