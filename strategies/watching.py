"""Which symbols a strategy is told of beside its own."""

import re

from models.errors import StrategyRejected
from models.market_data import SYMBOL_PATTERN
from strategies.base_strategy import BaseStrategy

MOST_WATCHED = 100


def watched_by(strategy: BaseStrategy) -> tuple[str, ...]:
    """Return its `watched_symbols`, each once and without its own, in their order.

    Raises StrategyRejected where they are no symbols, or more than 100.
    """
    asked: object = strategy.watched_symbols
    if isinstance(asked, str) or not isinstance(asked, list | tuple | set | frozenset):
        raise StrategyRejected(f"watched_symbols is {asked!r}; it must be a list or tuple of symbols")
    watched = dict.fromkeys(sorted(asked, key=str) if isinstance(asked, set | frozenset) else asked)
    for symbol in watched:
        if not isinstance(symbol, str) or not re.fullmatch(SYMBOL_PATTERN, symbol):
            raise StrategyRejected(f"watched_symbols holds {symbol!r}, which is no symbol")
    watched.pop(strategy.symbol, None)
    if len(watched) > MOST_WATCHED:
        raise StrategyRejected(f"watched_symbols holds {len(watched)} symbols; at most {MOST_WATCHED}")
    return tuple(watched)
