"""Book-keeping by average cost, from fills alone: pure functions from books to books.

Whatever the sequence of fills, cash and positions at market equal capital, realised and unrealised P&L less
fees, to the last decimal: what a fill changes in cash it changes in cost or in what is realised, and nothing
is rounded twice.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext

from msgspec.structs import replace

from models.portfolio import (
    EXACT,
    ZERO,
    Fill,
    Holding,
    Ledger,
    PositionValue,
    Trades,
    Valuation,
    booked,
)


def opened(capital: Decimal) -> Ledger:
    """Return the books of a portfolio that holds nothing but its capital."""
    return Ledger(capital=booked(capital), cash=booked(capital))


def replayed(capital: Decimal, fills: Iterable[Fill]) -> Ledger:
    """Return the books after these fills, in this order."""
    ledger = opened(capital)
    for fill in fills:
        ledger = after(ledger, fill)
    return ledger


def after(ledger: Ledger, fill: Fill) -> Ledger:
    """Book one fill."""
    with localcontext(EXACT):
        holding = ledger.holdings.get(fill.symbol, Holding())
        sign = 1 if fill.side == "BUY" else -1
        quantity, fee = sign * booked(fill.quantity), booked(fill.fee)
        value = sign * booked(fill.price * abs(quantity))
        reduces = holding.quantity * quantity < 0
        if not reduces:
            kept = _added(holding, quantity, value, fee)
            gain, trades = ZERO, ledger.trades
        elif abs(quantity) < abs(holding.quantity):
            kept, gain = _reduced(holding, quantity, value, fee)
            trades = ledger.trades
        else:
            kept, gain, result = _closed(holding, quantity, value, fee)
            trades = _counted(ledger.trades, result)
        return replace(
            ledger,
            cash=ledger.cash - value - fee,
            holdings=_with(ledger.holdings, fill.symbol, replace(kept, last_price=booked(fill.price))),
            realised_pnl=ledger.realised_pnl + gain,
            fees=ledger.fees + fee,
            trades=trades,
        )


def valued(ledger: Ledger, prices: Mapping[str, Decimal]) -> Valuation:
    """Value the books at these prices; what has none is valued at its last price."""
    with localcontext(EXACT):
        marks = {symbol: prices.get(symbol, each.last_price) for symbol, each in ledger.holdings.items()}
        values = {symbol: booked(each.quantity * marks[symbol]) for symbol, each in ledger.holdings.items()}
        equity = ledger.cash + sum(values.values(), ZERO)
        positions = {
            symbol: PositionValue(
                quantity=each.quantity,
                average_price=each.average_price,
                price=marks[symbol],
                value=values[symbol],
                unrealised_pnl=values[symbol] - each.cost,
                weight=booked(values[symbol] / equity) if equity > 0 else ZERO,
            )
            for symbol, each in ledger.holdings.items()
        }
        return Valuation(
            positions=positions,
            equity=equity,
            exposure=sum((abs(value) for value in values.values()), ZERO),
            realised_pnl=ledger.realised_pnl,
            unrealised_pnl=sum((each.unrealised_pnl for each in positions.values()), ZERO),
            fees=ledger.fees,
        )


def _added(holding: Holding, quantity: Decimal, value: Decimal, fee: Decimal) -> Holding:
    return Holding(holding.quantity + quantity, holding.cost + value, holding.trade_pnl - fee)


def _reduced(holding: Holding, quantity: Decimal, value: Decimal, fee: Decimal) -> tuple[Holding, Decimal]:
    """Take a part off a position at its average cost; return what is kept and what was gained."""
    cost = booked(holding.cost * abs(quantity) / abs(holding.quantity))
    gain = -value - cost
    kept = Holding(holding.quantity + quantity, holding.cost - cost, holding.trade_pnl + gain - fee)
    return kept, gain


def _closed(
    holding: Holding, quantity: Decimal, value: Decimal, fee: Decimal
) -> tuple[Holding, Decimal, Decimal]:
    """Close a position, open the rest the other way; return what is kept, the gain, the trade's result."""
    rest = holding.quantity + quantity
    share = abs(rest / quantity)
    opening_value, opening_fee = booked(value * share), booked(fee * share)
    gain = -(value - opening_value) - holding.cost
    result = holding.trade_pnl + gain - (fee - opening_fee)
    return Holding(rest, opening_value, -opening_fee), gain, result


def _counted(trades: Trades, result: Decimal) -> Trades:
    return Trades(trades.total + 1, trades.winning + (result > 0), trades.losing + (result < 0))


def _with(holdings: Mapping[str, Holding], symbol: str, kept: Holding) -> dict[str, Holding]:
    others = {name: each for name, each in holdings.items() if name != symbol}
    return others | {symbol: kept} if kept.quantity else others
