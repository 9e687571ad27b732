"""On which days an exchange is open, as exchange_calendars knows it."""

from datetime import date
from functools import cached_property
from typing import Any

from models.errors import ConfigError


class ExchangeCalendar:
    """The days on which an exchange trades, by its market identifier, like XNYS.

    It reaches from 20 years ago to about a year ahead, or to the end of the year where the exchange has told
    no more; beyond, no day is known to be closed. Raises ConfigError for a name that there is none of, and
    without the package.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._calendar = _calendar(name)

    @cached_property
    def days(self) -> frozenset[date]:
        """Every day on which it is open."""
        return frozenset(session.date() for session in self._calendar.sessions)

    def is_open(self, day: date) -> bool:
        """Whether it trades on this day."""
        if self._calendar.first_session.date() <= day <= self._calendar.last_session.date():
            return day in self.days
        return True


def _calendar(name: str) -> Any:
    try:
        from exchange_calendars import get_calendar  # noqa: PLC0415 — optional weight, of --calendar alone
        from exchange_calendars.errors import InvalidCalendarName  # noqa: PLC0415
    except ImportError:
        raise ConfigError(
            "--calendar needs exchange_calendars: pip install -r requirements-history.txt"
        ) from None
    try:
        return get_calendar(name)
    except InvalidCalendarName:
        raise ConfigError(
            f"--calendar: no exchange {name!r}; give its market identifier, like XNYS"
        ) from None
