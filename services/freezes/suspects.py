"""Which strategies froze or crashed a worker, as far as the stacks that it left say so."""

import inspect
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import structlog

from models.errors import StrategyTimedOut
from services.freezes.records import Left, Records
from strategies.base_strategy import BaseStrategy

LONGEST_NAME = 500
SHOWN = 20

_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$')

log = structlog.get_logger(__name__)

StrategyClass = type[BaseStrategy]


class Frame(NamedTuple):
    """One call of a stack: the file and the function it was in, and at which line."""

    file: str
    line: int
    function: str


class Ending(NamedTuple):
    """How a run ended: when, in one word, and what the thread that was at it did, outermost call first."""

    at: str
    how: str
    stack: tuple[Frame, ...]


class Suspicion(NamedTuple):
    """Why a strategy may not start, and the file that says so: without it nothing is held against it."""

    reason: str
    path: Path


class Suspects:
    """The strategy classes whose sessions are held until a person has one of them resumed."""

    def __init__(self, records: Records | None = None) -> None:
        self._records = records
        self._held: dict[StrategyClass, Suspicion] = {}
        self._pardoned: set[str] = set()

    def look(self, classes: Iterable[StrategyClass]) -> None:
        """Find those among `classes` that ended an earlier run, and log what is known of each such end."""
        known = tuple(classes)
        for left in self._records.left_behind() if self._records else ():
            ending = read(left)
            frame, suspects = culprits(ending.stack, known)
            log.error(
                "worker_froze" if ending.how == "froze" else "worker_crashed",
                at=ending.at,
                strategies=[each.name for each in suspects],
                calls=[f"{each.file} line {each.line} in {each.function}" for each in ending.stack][-SHOWN:],
            )
            if frame is None:
                left.path.unlink(missing_ok=True)  # it says nothing that could be acted on
                continue
            where = f"in {frame.function}, {Path(frame.file).name} line {frame.line}"
            reason = f"{ending.how} the worker at {ending.at} {where}; session resume brings it back"
            self._held |= dict.fromkeys(suspects, Suspicion(reason, left.path))

    def pardon(self, strategy_id: str) -> None:
        """Let a strategy start, and all of its class from then on: a person says so. Safe from any thread."""
        self._pardoned.add(strategy_id)

    def check(self, strategy_class: StrategyClass, strategy_id: str) -> None:
        """Raise StrategyTimedOut when this strategy is of a suspect class, unless it was pardoned."""
        held = self._held.get(strategy_class)
        if held is None:
            return
        if strategy_id in self._pardoned:
            held.path.unlink(missing_ok=True)
        if held.path.exists():
            raise StrategyTimedOut(held.reason)
        del self._held[strategy_class]


def read(left: Left) -> Ending:
    """Return how a run ended that did not end in order; where nothing tells when, as its file was written."""
    at = datetime.fromtimestamp(left.written_at, UTC).isoformat(timespec="seconds")
    how = "crashed"
    stack: list[Frame] = []
    is_current = False
    for line in left.text.splitlines():
        if line.startswith("{"):
            with suppress(ValueError, KeyError):
                at, how = json.loads(line)["at"], "froze"
        elif line.startswith(("Thread ", "Current thread ")):
            is_current = line.startswith("Current")
        elif is_current and (frame := _FRAME.match(line)):
            stack.insert(0, Frame(frame[1], int(frame[2]), frame[3]))
    return Ending(at, how, tuple(stack))


def culprits(
    stack: Iterable[Frame], classes: tuple[StrategyClass, ...]
) -> tuple[Frame | None, tuple[StrategyClass, ...]]:
    """Return the outermost call into a strategy, and the classes that it may have been a method of.

    Those with this function at this line. Where there are none, because the file has changed since or it is a
    function outside of classes, those with any code in that file.
    """
    parts = {each: list(_functions(each)) for each in classes}
    for frame in stack:
        in_file = [each for each in classes if any(file == frame.file for file, *_ in parts[each])]
        if not in_file:
            continue
        exact = [
            each
            for each in in_file
            if any(
                (file, name) == (frame.file, frame.function) and first <= frame.line <= last
                for file, name, first, last in parts[each]
            )
        ]
        return frame, tuple(exact or in_file)
    return None, ()


def _functions(strategy_class: StrategyClass) -> Iterator[tuple[str, str, int, int]]:
    """Give file, name, first and last line of every method of an author's, as stacks show them."""
    for each in strategy_class.__mro__:
        if each in BaseStrategy.__mro__:
            continue
        for found in vars(each).values():
            function = inspect.unwrap(found) if callable(found) else getattr(found, "__func__", found)
            code = getattr(function, "__code__", None)
            if code is not None:
                lines = [line for _, _, line in code.co_lines() if line is not None]
                yield _shown(code.co_filename), _shown(code.co_name), code.co_firstlineno, max(lines)


def _shown(name: str) -> str:
    """Return a name as the stacks that are written in C show it."""
    return name.encode("ascii", "backslashreplace").decode()[:LONGEST_NAME]
