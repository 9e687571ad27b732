"""What all accounts have at stake, added up: all of it follows from books, orders in flight and prices."""

from decimal import Decimal

from models.portfolio import ZERO
from services.risk.lines import Line
from services.risk.stake import Stake


class Tally:
    """The stakes of all accounts, with their sums kept as they change. For one thread at a time.

    `exposure` is the worst case of everything, `worth` the value of what is held, by account and in all.
    """

    def __init__(self) -> None:
        self.exposure = ZERO
        self.worth = ZERO
        self.worths: dict[str, Decimal] = {}
        self._stakes: dict[str, dict[str, Stake]] = {}

    def stake(self, account: str, symbol: str) -> Stake | None:
        """Return what an account has at stake in a symbol."""
        stakes = self._stakes.get(symbol)
        return None if stakes is None else stakes.get(account)

    def put(self, account: str, owner: str, symbol: str, line: Line, mark: Decimal) -> None:
        """Have a line replaced. `mark` values a symbol in which nothing was at stake."""
        stakes = self._stakes.get(symbol)
        if stakes is None:
            stakes = self._stakes[symbol] = {}
        stake = stakes.get(account)
        if stake is None:
            stake = stakes[account] = Stake(mark)
        value, net = stake.value, stake.net
        stake.put(owner, line)
        self.exposure += stake.value - value
        if stake.net is not net:
            self._revise(account, (stake.net - net) * stake.mark)
        if not stake:
            del stakes[account]
            if not stakes:
                del self._stakes[symbol]

    def revalue(self, symbol: str, mark: Decimal) -> None:
        """Value what is at stake in a symbol at another price."""
        stakes = self._stakes.get(symbol)
        if stakes is None:
            return
        for account, stake in stakes.items():
            former = stake.mark
            if former != mark:
                value = stake.value
                stake.revalue(mark)
                self.exposure += stake.value - value
                self._revise(account, stake.net * (mark - former))

    def _revise(self, account: str, change: Decimal) -> None:
        self.worth += change
        self.worths[account] = self.worths.get(account, ZERO) + change
