"""Rules that mend the rows of a symbol: each has a name, and only those that somebody asked for are used."""

from collections.abc import Callable, Collection
from math import isnan, log

from models.errors import ConfigError
from services.history.data_checks import Kind, jumps, review, split_ratio
from services.history.rows import NO_TIME, SymbolRows
from strategies.parameters import suggest

Rule = Callable[[SymbolRows], tuple[SymbolRows, int]]
PRICES = ("open", "high", "low", "close")


def repair(rows: SymbolRows, rules: Collection[str]) -> tuple[SymbolRows, dict[str, int]]:
    """Return the rows as the named rules mend them, and how many rows each of them changed.

    They are used in the order of RULES, however they were named: a row is filled before it is widened.
    """
    changed: dict[str, int] = {}
    for name, rule in RULES.items():
        if name in rules:
            rows, count = rule(rows)
            if count:
                changed[name] = count
    return rows, changed


def check_rules(names: Collection[str]) -> None:
    """Raise ConfigError for a rule that there is none of."""
    for name in names:
        if name not in RULES:
            raise ConfigError(f"no repair {name!r}{suggest(name, RULES)}")


def _sort(rows: SymbolRows) -> tuple[SymbolRows, int]:
    """Put the rows into time's order; those of one time stay as they are."""
    order = sorted(range(len(rows)), key=rows.times.__getitem__)
    moved = sum(1 for number, place in enumerate(order) if number != place)
    return rows.chosen(order), moved


def _keep_last(rows: SymbolRows) -> tuple[SymbolRows, int]:
    """Keep the last of several rows of one time, not the first."""
    last = {time: number for number, time in enumerate(rows.times) if time != NO_TIME}
    kept = [number for number, time in enumerate(rows.times) if time == NO_TIME or last[time] == number]
    return rows.chosen(kept), len(rows) - len(kept)


def _fill_open(rows: SymbolRows) -> tuple[SymbolRows, int]:
    """Take the close before for an open that is blank, within the bar's own range where it has one."""
    rows = rows.chosen(range(len(rows)))
    filled = 0
    opens, closes = rows.columns["open"], rows.columns["close"]
    for number in range(1, len(rows)):
        if isnan(opens[number]) and not isnan(closes[number - 1]):
            opens[number] = _within(
                closes[number - 1], rows.columns["low"][number], rows.columns["high"][number]
            )
            filled += 1
    return rows, filled


def _within(price: float, low: float, high: float) -> float:
    return min(max(price, low), high) if low <= high else price


def _fill_range(rows: SymbolRows) -> tuple[SymbolRows, int]:
    """Take the outer ones of open and close for a high or low that is blank."""
    rows = rows.chosen(range(len(rows)))
    filled = 0
    opens, closes = rows.columns["open"], rows.columns["close"]
    for number, (opened, close) in enumerate(zip(opens, closes, strict=True)):
        if isnan(opened) or isnan(close):
            continue
        blanks = 0
        for name, outer in (("high", max), ("low", min)):
            if isnan(rows.columns[name][number]):
                rows.columns[name][number] = outer(opened, close)
                blanks = 1
        filled += blanks
    return rows, filled


def _fill_volume(rows: SymbolRows) -> tuple[SymbolRows, int]:
    """Take 0 for a volume that is blank."""
    rows = rows.chosen(range(len(rows)))
    volumes = rows.columns["volume"]
    blanks = [number for number, volume in enumerate(volumes) if isnan(volume)]
    for number in blanks:
        volumes[number] = 0.0
    return rows, len(blanks)


def _widen(rows: SymbolRows) -> tuple[SymbolRows, int]:
    """Widen a bar's range so that it holds its open and close."""
    rows = rows.chosen(range(len(rows)))
    widened = 0
    highs, lows = rows.columns["high"], rows.columns["low"]
    for number, prices in enumerate(zip(*(rows.columns[name] for name in PRICES), strict=True)):
        if any(map(isnan, prices)) or (min(prices) == lows[number] and max(prices) == highs[number]):
            continue
        highs[number], lows[number] = max(prices), min(prices)
        widened += 1
    return rows, widened


def _adjust_splits(rows: SymbolRows) -> tuple[SymbolRows, int]:
    """Scale what was before each split, so that its prices compare with those after it."""
    rows = rows.chosen(range(len(rows)))
    splits = [jump for jump in jumps(rows, review(rows).usable) if jump.kind is Kind.SPLIT]
    for jump in splits:
        factor = split_ratio(log(jump.ratio))
        if factor is None:
            continue
        for number in range(jump.row):
            for name in PRICES:
                rows.columns[name][number] *= factor
            rows.columns["volume"][number] /= factor
    return rows, len(splits)


RULES: dict[str, Rule] = {
    "sort": _sort,
    "keep-last": _keep_last,
    "fill-open": _fill_open,
    "fill-range": _fill_range,
    "fill-volume": _fill_volume,
    "widen": _widen,
    "adjust-splits": _adjust_splits,
}
"""The rules by name, in the order in which they are used."""
