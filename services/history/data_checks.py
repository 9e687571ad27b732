"""What is wrong with the rows of a symbol, and which of them are bars. Nothing is changed here.

Some rows are no bars: the live worker would refuse the same message, or drop it as a duplicate. They are left
out, and named. Others are bars that a person should look at, because what they say can hardly have happened.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, timedelta
from enum import StrEnum
from itertools import pairwise
from math import inf, isnan, log
from statistics import median

from msgspec import Struct

from services.history.rows import COLUMNS, MICROSECOND, NO_TIME, SymbolRows, moment_of

MOST_EXAMPLES = 3
JUMP = log(1.35)
LEVEL_BARS = 20
LEVEL_TOLERANCE = log(1.15)
SPLITS = {1.5: log(1.03), **{float(n): log(1.08) for n in (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 50)}}
LONGEST_WEEKEND = timedelta(days=5)
DAY = timedelta(days=1)
MISSED_STEPS = 3


class Kind(StrEnum):
    """What can be wrong. The first seven are no bars; the rest are bars to look at."""

    NO_SYMBOL = "no_symbol"
    NO_TIME = "no_time"
    BLANK = "blank"
    NOT_POSITIVE = "not_positive"
    INCONSISTENT = "inconsistent_bar"
    DUPLICATE = "duplicate"
    OUT_OF_ORDER = "out_of_order"
    GAP = "gap"
    SPLIT = "split"
    LEVEL_JUMP = "level_jump"
    PRICE_JUMP = "price_jump"


LEFT_OUT = frozenset(
    {
        Kind.NO_SYMBOL,
        Kind.NO_TIME,
        Kind.BLANK,
        Kind.NOT_POSITIVE,
        Kind.INCONSISTENT,
        Kind.DUPLICATE,
        Kind.OUT_OF_ORDER,
    }
)


class Finding(Struct, frozen=True):
    """One kind of trouble in a symbol's rows: how often, and the first few of it in words."""

    kind: Kind
    count: int
    examples: tuple[str, ...]

    @property
    def leaves_out(self) -> bool:
        """Whether the rows that it counts are left out."""
        return self.kind in LEFT_OUT

    def __str__(self) -> str:
        more = ", …" if self.count > len(self.examples) else ""
        return f"{self.count} × {self.kind} ({', '.join(self.examples)}{more})"


class Review(Struct, frozen=True):
    """What a check found: the numbers of the rows that are bars, in time's order, and the trouble."""

    usable: Sequence[int]
    findings: tuple[Finding, ...]

    @property
    def left_out(self) -> int:
        """How many rows are no bars."""
        return sum(finding.count for finding in self.findings if finding.leaves_out)


class Jump(Struct, frozen=True):
    """A price that moved too far from one bar to the next: the row after it, and the ratio of the closes."""

    row: int
    ratio: float
    kind: Kind


def review(rows: SymbolRows, sessions: Collection[date] | None = None) -> Review:
    """Look at every row. `sessions` are the days on which an exchange is open, where that is known."""
    found: dict[Kind, list[str]] = defaultdict(list)
    usable = []
    last = NO_TIME
    for number, time in enumerate(rows.times):
        if (trouble := trouble_of(rows, number, last)) is not None:
            kind, words = trouble
            found[kind].append(f"{rows.day(number)}{words}")
            continue
        last = time
        usable.append(number)
    for jump in jumps(rows, usable):
        found[jump.kind].append(f"{rows.day(jump.row)}: × {jump.ratio:.3g}")
    found[Kind.GAP].extend(_gaps(rows, usable) if sessions is None else _absences(rows, usable, sessions))
    findings = (
        Finding(kind, len(found[kind]), tuple(found[kind][:MOST_EXAMPLES])) for kind in Kind if found[kind]
    )
    return Review(usable, tuple(findings))


def trouble_of(rows: SymbolRows, number: int, last: int) -> tuple[Kind, str] | None:
    """Say why a row is no bar, by the rules of a live one; None where it is one."""
    time = rows.times[number]
    if time == NO_TIME:
        return Kind.NO_TIME, ""
    values = [column[number] for column in rows.columns.values()]
    opened, high, low, close, volume = values
    if low <= opened <= high and low <= close <= high and low > 0 and high < inf and 0 <= volume < inf:
        if time > last:
            return None
        return (Kind.DUPLICATE if time == last else Kind.OUT_OF_ORDER), ""
    if blanks := [name for name, value in zip(COLUMNS, values, strict=True) if isnan(value)]:
        return Kind.BLANK, f" {' '.join(blanks)}"
    if min(values[:-1]) <= 0 or volume < 0 or max(values) == inf:
        return Kind.NOT_POSITIVE, ""
    return Kind.INCONSISTENT, f" open {opened:g} high {high:g} low {low:g} close {close:g}"


def jumps(rows: SymbolRows, usable: Sequence[int]) -> Iterator[Jump]:
    """Give the moves of the close by more than 35 %, each named by what it looks like.

    A move that another one takes back within 20 bars is a change between two levels; one by about a ratio
    that shares are split by is a split that the prices were not adjusted for.
    """
    closes = rows.columns["close"]
    moves = [
        (place, log(closes[now] / closes[before]))
        for place, (before, now) in enumerate(pairwise(usable), 1)
        if abs(log(closes[now] / closes[before])) > JUMP
    ]
    levels = set(_level_jumps(moves))
    for place, move in moves:
        ratio = closes[usable[place]] / closes[usable[place - 1]]
        kind = Kind.LEVEL_JUMP if place in levels else Kind.SPLIT if split_ratio(move) else Kind.PRICE_JUMP
        yield Jump(usable[place], ratio, kind)


def _level_jumps(moves: Sequence[tuple[int, float]]) -> Iterator[int]:
    for (place, move), (later, back) in pairwise(moves):
        if later - place <= LEVEL_BARS and abs(move + back) < LEVEL_TOLERANCE:
            yield place
            yield later


def split_ratio(move: float) -> float | None:
    """Return by what prices before a split are to be multiplied, from the logarithm of a move; else None."""
    for shares, tolerance in SPLITS.items():
        if abs(abs(move) - log(shares)) < tolerance:
            return shares if move > 0 else 1 / shares
    return None


def _gaps(rows: SymbolRows, usable: Sequence[int]) -> Iterator[str]:
    """Find the pauses that no weekend explains: of days, or of bars within a day."""
    steps = [rows.times[now] - rows.times[before] for before, now in pairwise(usable)]
    if not steps:
        return
    usual = median(steps) * MICROSECOND
    for (before, now), step in zip(pairwise(usable), steps, strict=True):
        pause = step * MICROSECOND
        if usual < DAY and _same_day(rows, before, now):
            missing = pause > MISSED_STEPS * usual
        else:
            missing = pause > max(LONGEST_WEEKEND, MISSED_STEPS * usual)
        if missing:
            yield f"{rows.day(before)} to {rows.day(now)}"


def _same_day(rows: SymbolRows, one: int, other: int) -> bool:
    return moment_of(rows.times[one]).date() == moment_of(rows.times[other]).date()


def _absences(rows: SymbolRows, usable: Sequence[int], sessions: Collection[date]) -> Iterable[str]:
    """Find the days on which the exchange was open and the symbol has no bar, from its first to its last."""
    if not usable:
        return []
    days = {moment_of(rows.times[number]).date() for number in usable}
    first, last = min(days), max(days)
    return (day.isoformat() for day in sorted(sessions) if first <= day <= last and day not in days)
