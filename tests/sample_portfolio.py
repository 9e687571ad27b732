"""A portfolio of the demo that has ended: eight orders filled, one rejected, 1,234 won."""

from decimal import Decimal

from services.demo.portfolio_outcome import PortfolioOutcome

PORTFOLIO = PortfolioOutcome(
    execution_id="e1",
    status="stopped",
    orders=9,
    filled=8,
    rejected=1,
    rebalancings=2,
    reduced=3,
    trades=3,
    won=2,
    realised=Decimal(1_300),
    unrealised=Decimal(0),
    fees=Decimal(66),
    cash_flow=Decimal(1_234),
    curve=(Decimal(100_000), Decimal(101_234)),
)
