"""The trading day of every account and of all together: when it begins, what was lost, who is halted."""

from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from models.portfolio import ZERO
from models.risk import Limits
from services.risk.account import Account
from services.risk.checks import DayLoss
from services.risk.days import NEVER, Day, alarm, assessed, day_loss, trading_day
from services.risk.holdings import Holdings

EVERYTHING = "*"
"""The name by which all accounts together are halted."""


class DayNews(Struct, frozen=True):
    """Something about an account's day that somebody should know: it is near its limit, or halted."""

    account: str
    lost: DayLoss
    day: Day


class _Gone(NamedTuple):
    opening: Decimal
    value: Decimal
    base: Decimal


class DayWatch:
    """Opens, assesses and resumes days. For one thread at a time.

    Before an account's day was opened nothing was lost. The losses of all accounts together are measured by
    `limits`, the worker's own.
    """

    def __init__(self, limits: Limits, start: time) -> None:
        self._limits = limits
        self._start = start
        self._openings = ZERO
        self._bases = ZERO
        self._gone: list[_Gone] = []
        self._alarm = NEVER
        self._all: Day | None = None

    @property
    def all(self) -> Day | None:
        """The day of all accounts together."""
        return self._all

    @property
    def today(self) -> date | None:
        """The trading day; None before the first look."""
        return None if self._all is None else self._all.day

    def recall(self, day: Day) -> None:
        """Take over a halt of everything that another worker has declared today."""
        ours = self._all
        if ours is not None and ours.day == day.day and ours.halted is None and day.halted is not None:
            self._all = replace(ours, halted=day.halted, halted_at=day.halted_at, warned=True)

    def losses(self, holdings: Holdings, account: Account, name: str) -> tuple[DayLoss, ...]:
        """Return what an account lost today, and what all lost together, where either needs to be said."""
        value = account.cash + holdings.tally.worths.get(name, ZERO)
        if value > account.alarm and self._value(holdings) > self._alarm:
            return ()
        lost = []
        if account.day is not None:
            lost.append(_lost(holdings, name, account, account.day))
        if self._all is not None:
            lost.append(self._lost_by_all(holdings, self._all))
        return tuple(each for each in lost if each.halted is not None or each.is_near)

    def halted(self, holdings: Holdings, name: str) -> str | None:
        """Return why an account may only reduce positions now, None where it may trade."""
        account = holdings.accounts.get(name)
        days = (self._all, None if account is None else account.day)
        return next((day.halted for day in days if day is not None and day.halted is not None), None)

    def look(self, holdings: Holdings, now: datetime) -> list[DayNews]:
        """Open the days that have begun, halt who has lost too much; return the news. `now` is in UTC."""
        today = trading_day(now, self._start)
        for name, account in holdings.accounts.items():
            if account.day is None or account.day.day != today:
                account.day = Day(day=today, opening=holdings.value(name))
        if self._all is None or self._all.day != today:
            self._all = Day(day=today, opening=ZERO)
            self._gone.clear()
        self._add_up(holdings)
        news: list[DayNews] = []
        for name, account in holdings.accounts.items():
            if account.day is not None:
                lost = _lost(holdings, name, account, account.day)
                account.day = _told(news, name, account.day, lost, now)
        self._all = _told(news, EVERYTHING, self._all, self._lost_by_all(holdings, self._all), now)
        if news:
            self._add_up(holdings)
        return news

    def resume(self, holdings: Holdings, name: str | None) -> list[str]:
        """Lift the halt of an account, of everything when None; return whose halt was lifted.

        Losses count anew from what there is now.
        """
        names = list(holdings.accounts) if name is None else [name]
        lifted = []
        for each in names:
            account = holdings.accounts.get(each)
            if account is not None and account.day is not None and account.day.halted is not None:
                account.day = Day(day=account.day.day, opening=holdings.value(each))
                lifted.append(each)
        if name is None and self._all is not None and self._all.halted is not None:
            self._all = replace(self._all, halted=None, halted_at=None, warned=False)
            lifted.append(EVERYTHING)
            self._reopen(holdings)
        self.opened(holdings)
        return lifted

    def restore(self, holdings: Holdings, days: Mapping[str, Day]) -> None:
        """Take days of an earlier run, where the accounts were not opened later than that."""
        self._all = days.get(EVERYTHING, self._all)
        for name, account in holdings.accounts.items():
            former = days.get(name)
            if former is not None and (account.day is None or account.day.day == former.day):
                account.day = former
        self._add_up(holdings)

    def opened(self, holdings: Holdings) -> None:
        """An account came, or was opened anew."""
        self._add_up(holdings)

    def closing(self, holdings: Holdings, name: str) -> None:
        """Keep for the day what an account that is about to go has lost."""
        account = holdings.accounts.get(name)
        if account is not None and account.day is not None:
            opening = account.day.opening
            self._gone.append(_Gone(opening, holdings.value(name), account.base(opening)))

    def _reopen(self, holdings: Holdings) -> None:
        for name, account in holdings.accounts.items():
            if account.day is not None:
                account.day = replace(account.day, opening=holdings.value(name), warned=False)
        self._gone.clear()

    def _add_up(self, holdings: Holdings) -> None:
        """Sum up what the days opened with, and set at which values somebody must look closer."""
        self._openings = sum((each.opening for each in self._gone), ZERO)
        self._bases = sum((each.base for each in self._gone), ZERO)
        for name, account in holdings.accounts.items():
            if (day := account.day) is not None:
                self._openings += day.opening
                self._bases += account.base(day.opening)
                account.alarm = alarm(day, _lost(holdings, name, account, day))
        if self._all is not None:
            whole = replace(self._all, opening=self._openings)
            self._alarm = alarm(whole, self._lost_by_all(holdings, whole))

    def _value(self, holdings: Holdings) -> Decimal:
        value = holdings.cash + holdings.tally.worth
        return value + sum((each.value for each in self._gone), ZERO) if self._gone else value

    def _lost_by_all(self, holdings: Holdings, day: Day) -> DayLoss:
        whole = replace(day, opening=self._openings)
        return day_loss(whole, self._value(holdings), self._bases, self._limits)


def _lost(holdings: Holdings, name: str, account: Account, day: Day) -> DayLoss:
    return day_loss(day, holdings.value(name), account.base(day.opening), account.limits)


def _told(news: list[DayNews], name: str, day: Day, lost: DayLoss, now: datetime) -> Day:
    after = assessed(day, lost, now)
    if after is not day:
        news.append(DayNews(name, lost, after))
    return after
