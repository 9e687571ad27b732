"""Which source code a strategy class came from, as a hash: state is given back to the same code only."""

import sys
from functools import cache
from hashlib import sha256
from pathlib import Path

from strategies.base_strategy import BaseStrategy
from strategies.dynamic_strategy import DynamicStrategy

UNKNOWN_SOURCE = "unknown"


def code_hash(strategy: BaseStrategy) -> str:
    """Return the hash of the code that an instance runs: of its stored source, else of its class."""
    if isinstance(strategy, DynamicStrategy):
        return strategy.port.code_hash
    return source_hash(type(strategy))


@cache
def source_hash(strategy_class: type[BaseStrategy]) -> str:
    """Return the SHA-256, in hex, of the class's file and of those of the classes that it builds on.

    Read once, at the first call: call it when the class was just loaded. `unknown` where a file cannot be
    read; no state of such a class is given back. Other files that it imports do not count.
    """
    digest = sha256()
    for each in strategy_class.__mro__:
        if each in BaseStrategy.__mro__:
            continue
        digest.update(
            str(vars(each).get("source_text", "")).encode()
        )  # of rules, which are no file of Python
        file = getattr(sys.modules.get(each.__module__), "__file__", None)
        try:
            digest.update(Path(file or "").read_bytes() + b"\0")
        except OSError:
            return UNKNOWN_SOURCE
    return digest.hexdigest()
