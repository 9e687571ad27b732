"""The bars of symbols as a process of the engine needs them: read when asked for, the last few kept."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from models.errors import StrategyRejected
from models.market_data import SYMBOL_PATTERN, Bar
from services.history.bars import in_order
from services.history.data_checks import review
from services.history.engine.result import SymbolReport, report_of
from services.history.engine.universe import SymbolSlice
from services.history.repairs import repair

MOST_KEPT = 24


class Shelf(Struct, frozen=True):
    """The bars of a symbol, and what the data checks say of it."""

    bars: list[Bar]
    report: SymbolReport


class Library:
    """Reads symbols, mended by the rules of a batch. `others` are those that strategies may watch."""

    def __init__(self, rows: Path, repairs: Sequence[str], others: Mapping[str, SymbolSlice]) -> None:
        self._rows = rows
        self._repairs = repairs
        self._others = others
        self._kept: dict[str, Shelf] = {}

    def read(self, each: SymbolSlice) -> Shelf:
        """Return the bars of a symbol. Raises StrategyRejected for a symbol that no session could have."""
        if (kept := self._kept.get(each.symbol)) is not None:
            return kept
        if not re.fullmatch(SYMBOL_PATTERN, each.symbol):
            raise StrategyRejected("the file has a symbol that no session could have")
        rows, repaired = repair(each.read(self._rows), self._repairs)
        found = review(rows)
        shelf = Shelf(list(rows.chosen(found.usable).bars()), report_of(each.symbol, found, repaired))
        while len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[each.symbol] = shelf
        return shelf

    def together(self, bars: Sequence[Bar], watched: Sequence[str]) -> Sequence[Bar]:
        """Return bars with those of the symbols watched beside them, in time's order."""
        slices = [self._others[symbol] for symbol in watched if symbol in self._others]
        return in_order([bars, *(self.read(each).bars for each in slices)])

    def missing(self, watched: Sequence[str]) -> list[str]:
        """Return which of these symbols there are no bars of."""
        return [symbol for symbol in watched if symbol not in self._others]
