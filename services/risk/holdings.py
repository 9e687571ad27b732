"""What accounts hold and have in flight, and what follows from it. For one thread at a time.

A strategy's thread may be interrupted anywhere within a check. `accounts` and `orders` change in single
steps; what follows from them, the tally, is built anew by `mend` when somebody was interrupted over it.
"""

from collections import deque
from decimal import Decimal

from models.execution import ExecutionReport
from models.portfolio import ZERO, decimal_of
from models.risk import Order
from models.signal import Action
from services.risk.account import Account, Books, Lot, Reservation
from services.risk.lines import NOTHING, Line
from services.risk.marks import Marks
from services.risk.tally import Tally

REMEMBERED_SECONDS = 60.0


class Holdings:
    """Accounts with their positions, orders in flight, and the tally of both. `cash` is that of them all.

    `accounts` and `orders`, by name and id, are for others to read; `ended` tells which orders ended within
    the last minute, and when (monotonic seconds).
    """

    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self.tally = Tally()
        self.cash = ZERO
        self.ended: deque[tuple[float, str]] = deque()
        self.accounts: dict[str, Account] = {}
        self.orders: dict[str, Reservation] = {}

    def open(self, name: str, account: Account, books: Books, at: float) -> None:
        """Hold this account in place of one of that name."""
        self.close(name)
        for symbol, price in books.prices.items():
            self.marks.suppose(symbol, price)
        account.cash = books.cash
        account.held = {lot: quantity for lot, quantity in books.held.items() if quantity}
        self.accounts[name] = account
        self.ended.extend((at, order_id) for order_id in books.ended)
        for order in books.in_flight:
            price = max(order.price, self.marks.value_at(order.symbol))
            self.orders[order.order_id] = Reservation(order, name, price, order.quantity)
        self.mend()

    def close(self, name: str) -> None:
        """Hold an account and its orders no longer."""
        if self.accounts.pop(name, None) is not None:
            self.orders = {key: each for key, each in self.orders.items() if each.account != name}
            self.mend()

    def catch_up(self) -> None:
        """Value everything at the prices that came since the last time."""
        marks = self.marks
        while marks.moved:
            symbol = marks.moved.pop()
            if (price := marks.price(symbol)) is not None:
                self.tally.revalue(symbol, price)

    def mend(self) -> None:
        """Build what follows from the accounts and the orders anew."""
        lines: dict[tuple[str, Lot], Line] = {
            (name, lot): Line(quantity)
            for name, account in self.accounts.items()
            for lot, quantity in account.held.items()
        }
        for each in self.orders.values():
            place = each.account, (each.order.owner, each.order.symbol)
            lines[place] = lines.get(place, NOTHING).plus(each.order.side, each.left, each.price)
        tally = Tally()
        for (name, (owner, symbol)), line in lines.items():
            tally.put(name, owner, symbol, line, self.marks.value_at(symbol))
        self.tally = tally
        self.cash = sum((account.cash for account in self.accounts.values()), ZERO)

    def value(self, name: str) -> Decimal:
        """Return what an account is worth: cash and positions at market."""
        return self.accounts[name].cash + self.tally.worths.get(name, ZERO)

    def line(self, name: str, order: Order) -> Line:
        """Return the position of an order's owner in its symbol."""
        stake = self.tally.stake(name, order.symbol)
        return NOTHING if stake is None else stake.line(order.owner)

    def reserve(self, reservation: Reservation, line: Line, mark: Decimal) -> None:
        """Have an order in flight from now on, beside this line of its owner; `mark` values its symbol."""
        order = reservation.order
        self.orders[order.order_id] = reservation
        line = line.plus(order.side, reservation.left, reservation.price)
        self.tally.put(reservation.account, order.owner, order.symbol, line, mark)

    def adopt(self, order: Order, name: str, at: float) -> bool:
        """Have an order in flight that was not judged here; false where it is known or its account is not."""
        if order.order_id in self.orders or name not in self.accounts:
            return False
        mark = self.marks.value_at(order.symbol)
        reservation = Reservation(order, name, max(order.price, mark), order.quantity, at)
        self.reserve(reservation, self.line(name, order), mark)
        return True

    def release(self, order_id: str) -> Reservation | None:
        """Have nothing of an order in flight any more; return what there was."""
        reservation = self.orders.pop(order_id, None)
        if reservation is not None:
            order = reservation.order
            line = self.line(reservation.account, order)
            line = line.minus(order.side, reservation.left, reservation.price)
            mark = self.marks.value_at(order.symbol)
            self.tally.put(reservation.account, order.owner, order.symbol, line, mark)
        return reservation

    def book(self, reservation: Reservation, quantity: Decimal, value: Decimal, fee: Decimal = ZERO) -> None:
        """Book so much of an order as filled, at this value; what is in flight of it becomes less."""
        order, account = reservation.order, self.accounts[reservation.account]
        lot = order.owner, order.symbol
        landed = min(quantity, reservation.left)
        if quantity > 0:
            self.marks.suppose(order.symbol, value / quantity)
            self.tally.revalue(order.symbol, self.marks.value_at(order.symbol))
        line = self.line(reservation.account, order).minus(order.side, landed, reservation.price)
        held = line.held + signed(order.side, quantity)
        paid = signed(order.side, value) + fee
        account.cash -= paid
        self.cash -= paid
        if held:
            account.held[lot] = held
        else:
            account.held.pop(lot, None)
        reservation.left -= landed
        reservation.filled += quantity
        reservation.paid += value
        mark = self.marks.value_at(order.symbol)
        self.tally.put(
            reservation.account, order.owner, order.symbol, Line(held, line.buys, line.sells), mark
        )

    def end(self, report: ExecutionReport, at: float) -> None:
        """Book what was not yet of an order that ended, and have nothing in flight of it any more.

        One of which nothing is known stays in flight; one that was told before is booked already.
        """
        reservation = self.orders.get(report.signal_id)
        if reservation is None:
            return
        if report.status == "unknown":
            reservation.unknown = True
            return
        self.ended.append((at, report.signal_id))
        while self.ended[0][0] < at - REMEMBERED_SECONDS:
            self.ended.popleft()
        if report.executed and report.filled_price is not None and not report.told_before:
            filled = decimal_of(report.filled_quantity)
            quantity = filled - reservation.filled
            value = filled * decimal_of(report.filled_price) - reservation.paid
            if quantity > 0:
                self.book(reservation, quantity, value, decimal_of(report.fee))
        self.release(report.signal_id)


def signed(side: Action, amount: Decimal) -> Decimal:
    """Return an amount as a BUY adds it and a SELL takes it off."""
    return amount if side == "BUY" else -amount
