"""The paper broker of a backtest: takes orders, and fills them at the prices that come after them.

Its rules are those of the paper gateway: cash is not lent and nothing is sold that is not held, so a BUY
needs its value and fee in cash and a SELL the position; else it is rejected. It knows market orders alone, as
the gateway does: a signal's price is what its strategy saw, no limit.
"""

from collections import deque
from datetime import datetime
from math import inf

from msgspec import Struct

from models.execution import ExecutionReport
from models.market_data import Bar, Trade
from models.signal import Action, Signal
from services.history.options import BASIS_POINTS, CLOSE, BacktestOptions
from strategies.sizing import tradable

DUST = 1e-12


class Fill(Struct, frozen=True, kw_only=True, gc=False):
    """An order, or a part of one, that was executed at a time of the market.

    `price` is after slippage, `fee` beside it, both in the quote currency.
    """

    signal_id: str
    session_key: str
    symbol: str
    action: Action
    quantity: float
    price: float
    fee: float
    time: datetime


class OpenOrder(Struct):
    """An order that waits: what is left of it, what was filled, at which value, for which fee.

    One that `follows_bar` was decided when a bar of the time of its signal had ended.
    """

    signal: Signal
    left: float
    follows_bar: bool
    filled: float = 0.0
    paid: float = 0.0
    fee: float = 0.0


class PaperBroker:
    """One account, shared by all sessions of a backtest; each session holds its own position.

    `waiting` are the orders that are not done, by symbol; `reports` the answers that nobody was told of yet,
    each with the key of its session.
    """

    __slots__ = (
        "_fee",
        "_slippage",
        "_volume_share",
        "at_close",
        "cash",
        "fills",
        "held",
        "reports",
        "waiting",
    )

    def __init__(self, options: BacktestOptions) -> None:
        self.cash = options.cash
        self.held: dict[str, float] = {}
        self.fills: list[Fill] = []
        self.waiting: dict[str, list[OpenOrder]] = {}
        self.reports: deque[tuple[str, ExecutionReport]] = deque()
        self.at_close = options.fill == CLOSE
        self._fee = options.fee_bps / BASIS_POINTS
        self._slippage = options.slippage_bps / BASIS_POINTS
        self._volume_share = options.volume_share

    def take(self, signal: Signal, *, follows_bar: bool) -> None:
        """Take an order; it is filled at the earliest by the event that comes next.

        Where it `follows_bar`, one bar of its time has ended, so that the open of any other one is past.
        """
        self.waiting.setdefault(signal.symbol, []).append(OpenOrder(signal, signal.quantity, follows_bar))

    def trade(self, event: Bar | Trade) -> None:
        """Fill the orders that wait for this symbol, as far as what happens here allows.

        An order waits on where an event is older than what it answered: a bar that began before, or with
        a bar that it follows.
        """
        orders = self.waiting.pop(event.symbol)
        if isinstance(event, Trade):
            price, traded = event.price, event.size
        else:
            price, traded = (event.close if self.at_close else event.open), event.volume
        room = inf if self._volume_share is None else tradable(traded * self._volume_share, event.symbol)
        left = []
        for order in orders:
            quantity = min(order.left, room)
            since = order.signal.timestamp
            if quantity <= 0.0 or (event.timestamp <= since and self._is_past(event, order, since)):
                left.append(order)
                continue
            room -= quantity
            if not self._execute(order, quantity, price, event.timestamp):
                left.append(order)
        if left:
            self.waiting[event.symbol] = left

    def _is_past(self, event: Bar | Trade, order: OpenOrder, since: datetime) -> bool:
        """Tell whether an event of this time, or an earlier one, came before the order."""
        if isinstance(event, Bar) and not self.at_close and order.follows_bar:
            return True
        return event.timestamp < since

    def _execute(self, order: OpenOrder, quantity: float, market: float, time: datetime) -> bool:
        """Fill so much of an order, or reject the rest of it; tell whether the order is done."""
        signal = order.signal
        buys = signal.action == "BUY"
        price = market * (1.0 + self._slippage) if buys else market * (1.0 - self._slippage)
        value = price * quantity
        fee = value * self._fee
        held = self.held.get(signal.session_key, 0.0)
        if buys and value + fee > self.cash:
            short = (
                f"the order costs {value + fee:.12g} with slippage and fee, the balance is {self.cash:.12g}"
            )
            self._end(order, f"insufficient_funds: {short}")
            return True
        if not buys and quantity > held:
            short = f"the order sells {quantity:.12g} {signal.symbol}, the session holds {held:.12g}"
            self._end(order, f"insufficient_position: {short}")
            return True
        self.cash += -value - fee if buys else value - fee
        rest = held + quantity if buys else held - quantity
        self.held[signal.session_key] = rest if abs(rest) > DUST * quantity else 0.0
        self.fills.append(
            Fill(
                signal_id=signal.signal_id,
                session_key=signal.session_key,
                symbol=signal.symbol,
                action=signal.action,
                quantity=quantity,
                price=price,
                fee=fee,
                time=time,
            )
        )
        order.left -= quantity
        order.filled += quantity
        order.paid += value
        order.fee += fee
        if order.left > DUST * signal.quantity:
            return False
        self._end(order, None)
        return True

    def _end(self, order: OpenOrder, reason: str | None) -> None:
        """Report an order that is done; one that was filled in part ends with that part."""
        signal = order.signal
        report = ExecutionReport(
            signal_id=signal.signal_id,
            symbol=signal.symbol,
            action=signal.action,
            quantity=signal.quantity,
            status="filled" if order.filled else "rejected",
            filled_quantity=order.filled,
            filled_price=order.paid / order.filled if order.filled else None,
            balance=self.cash,
            reason=reason,
            fee=order.fee,
        )
        self.reports.append((signal.session_key, report))
