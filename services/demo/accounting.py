"""After the last bar: the three books are read, each from its own source, and laid side by side."""

from collections.abc import Sequence
from decimal import Decimal

from services.demo.books import GatewayBook
from services.demo.ledger_view import LedgerView, locate
from services.demo.lineup import Entry
from services.demo.outcome import Outcome, SessionOutcome, add_up, check_books
from services.demo.playing import CASH
from services.demo.portfolio_outcome import check_portfolio, read_portfolio
from services.demo.results import measure
from services.demo.sample_data import SampleData
from services.demo.stage import Stage


def compare(stage: Stage, lineup: Sequence[Entry], prices: SampleData, execution_id: str) -> Outcome:
    """Read worker, receipts and trades, and say what was earned and whether the three agree.

    Raises StorageConflict when the trades contradict each other or the bars.
    """
    told, ledger = stage.view.sessions(), LedgerView(stage.database)
    receipts, trades = ledger.receipts(), ledger.trades()
    sessions = []
    for entry in lineup:
        bars = [bar for bar in prices.bars if bar.symbol == entry.symbol]
        fills = locate(entry.session_id, trades.get(entry.session_id, ()), bars)
        sessions.append(
            SessionOutcome(
                session_id=entry.session_id,
                strategy=entry.strategy,
                symbol=entry.symbol,
                worker=told[entry.session_id].book,
                gateway=receipts.get(entry.session_id, GatewayBook()),
                fills=fills,
                performance=measure(Decimal(CASH), [Decimal(str(bar.close)) for bar in bars], fills),
            )
        )
    delivered = stage.view.vitals().delivered
    outcomes = tuple(sessions)
    portfolio = read_portfolio(stage.database, execution_id)
    return Outcome(
        sessions=outcomes,
        portfolio=portfolio,
        checks=(
            *check_books(outcomes, prices.bars_by_symbol, delivered),
            check_portfolio(
                portfolio, receipts.get(execution_id, GatewayBook()), len(trades.get(execution_id, ()))
            ),
        ),
        totals=add_up(outcomes),
        bars={
            "published": len(prices.bars),
            "delivered": delivered,
            "repaired": prices.repaired,
            "skipped": prices.skipped,
        },
    )
