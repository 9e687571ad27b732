"""When a run is due: times of day in a zone, on days of the week on which an exchange is open."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from models.errors import ConfigError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FURTHEST_DAYS = 400
EXAMPLE = 'write it like "15:30 Asia/Kolkata" or "mon-fri 09:15,15:30 Europe/London"'


def _always(_: date) -> bool:
    return True


class Schedule(Struct, frozen=True):
    """Times of day at which something is due.

    Each time of each day comes once, whatever clocks do: one that is skipped when they go forward is due by
    as much later, one that comes twice when they go back is due the first time.
    """

    text: str
    days: frozenset[int]
    times: tuple[time, ...]
    zone: ZoneInfo
    is_open: Callable[[date], bool] = _always

    @classmethod
    def parse(cls, text: str, is_open: Callable[[date], bool] = _always) -> "Schedule":
        """Read `[days] times [zone]`. Raises ConfigError saying how to write one.

        Days are `mon-fri` or `mon,wed`, by default every day; times `15:30` or several with commas between;
        the zone is one of the IANA database, by default UTC.
        """
        words = text.split()
        days = frozenset(range(7))
        if words and (chosen := _days(words[0])):
            days, words = chosen, words[1:]
        if not words or len(words) > 2:  # noqa: PLR2004 — times and a zone
            raise ConfigError(f"the schedule {text!r} cannot be read; {EXAMPLE}")
        zone = _zone(words[1]) if len(words) > 1 else ZoneInfo("UTC")
        times = tuple(sorted({_time(each, text) for each in words[0].split(",")}))
        return cls(" ".join(text.split()), days, times, zone, is_open)

    def due_after(self, moment: datetime) -> datetime:
        """Return the first time after this moment. Raises ConfigError where there is none within a year."""
        for due in self._from(moment, 1):
            if due > moment:
                return due
        raise ConfigError(f"the schedule {self.text!r} is not due within a year: its days are closed")

    def due_before(self, moment: datetime) -> datetime | None:
        """Return the last time up to this moment, itself included; None where there was none for a year."""
        return next((due for due in self._from(moment, -1) if due <= moment), None)

    def _from(self, moment: datetime, step: int) -> Iterator[datetime]:
        """Give the times of a year, onwards or backwards, beginning a day on the other side of the moment."""
        day = moment.astimezone(self.zone).date() - timedelta(days=step)
        for _ in range(FURTHEST_DAYS):
            if day.weekday() in self.days and self.is_open(day):
                local = [datetime.combine(day, each, self.zone).astimezone(UTC) for each in self.times]
                yield from sorted(local, reverse=step < 0)
            day += timedelta(days=step)


def _days(word: str) -> frozenset[int] | None:
    """Read days of the week; None where the word is about something else."""
    chosen: set[int] = set()
    for part in word.lower().split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            return None
        begin, end = DAYS.index(first), DAYS.index(last or first)
        chosen.update(day % 7 for day in range(begin, end + 1 if end >= begin else end + 8))
    return frozenset(chosen)


def _time(word: str, text: str) -> time:
    if not re.fullmatch(r"([01]?[0-9]|2[0-3]):[0-5][0-9]", word):
        raise ConfigError(f"the schedule {text!r} has no time of day {word!r}; {EXAMPLE}")
    hour, _, minute = word.partition(":")
    return time(int(hour), int(minute))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, malformed, a folder of the database
        raise ConfigError(f"there is no time zone {name!r}; {EXAMPLE}") from None
