"""What an author finds in a sealed host in place of files, modules and a terminal: words that say what to do.

This is courtesy, and seals nothing: who goes around it meets the filter of system calls, which ends the
process. Without it a plain `import requests` would do that, too.
"""

import builtins
import io
import linecache
import os
import sys
import time
from collections.abc import Callable, MutableMapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn, get_args

import structlog

from models.errors import StrategyRejected
from services.sandbox.preload import STANDARD_LIBRARY
from services.sandbox.protocol import Level
from strategies.parameters import suggest

Write = Callable[[str, str], None]
LEVELS = set(get_args(Level))


def seclude(log: Write) -> None:
    """Put all of it in place; `log` takes a level and a line."""
    sys.meta_path[:] = [Shelf()]
    sys.stdin = None
    sys.stdout, sys.stderr = Printed(log, "info"), Printed(log, "warning")
    sys.excepthook = sys.__excepthook__
    sys.addaudithook(_refuse_files)
    os.stat = os.lstat = _no_files  # of a time zone that is not loaded it is asked where its file is
    builtins.input = builtins.breakpoint = _no_files
    setattr(time, "sleep", _no_rest)  # noqa: B010 — its type has another error
    # Both would look whether a source file has changed.
    linecache.checkcache = lambda filename=None: None  # noqa: ARG005 — called by its name
    linecache.updatecache = lambda filename, module_globals=None: []  # noqa: ARG005 — same
    structlog.reset_defaults()
    structlog.configure(
        processors=[structlog.processors.format_exc_info, _in_one_line],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=lambda *_: Lines(log),
    )


class Lines:
    """Takes what structlog has made of an author's log calls."""

    def __init__(self, log: Write) -> None:
        self._log = log

    def __getattr__(self, level: str) -> Callable[[str], None]:
        level = {"warn": "warning", "fatal": "critical", "exception": "error"}.get(level, level)
        if level not in LEVELS:
            raise AttributeError(f"no level {level!r}")
        return lambda line: self._log(level, line)


class Printed(io.TextIOBase):
    """Makes a log line of every line that is printed."""

    def __init__(self, log: Write, level: str) -> None:
        self._log = log
        self._level = level
        self._line = ""

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, text: str) -> int:
        """Keep the text until its line ends."""
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._log(self._level, line)
        return len(text)


class Shelf:
    """Refuses to import what was not imported before the host was sealed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise ImportError that says what there is."""
        del path, target
        raise ModuleNotFoundError(_no_module(name), name=name)


def why_absent(name: str) -> str | None:
    """Return why a module cannot be imported once nothing is loaded any more; None for one that can."""
    if name.startswith("."):
        return "a stored file stands alone: it can import nothing that lies beside it"
    return None if sys.modules.get(name) is not None else _no_module(name)


def _no_module(name: str) -> str:
    known = dict.fromkeys((*STANDARD_LIBRARY, "strategies", "models", "numpy", "pandas"))
    here = {
        module: None for module in known if module in sys.modules and module[0] != "_" and "." not in module
    }
    return f"no module {name!r} in a sealed process{suggest(name, here)}"


def _in_one_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    said = str(event.pop("event", ""))
    for name in ("strategy_id", "symbol", "session_id"):
        event.pop(name, None)  # the worker knows, and from a better source
    return " ".join([said, *(f"{name}={value!s}" for name, value in event.items())])


def _refuse_files(event: str, _: object) -> None:
    """Keep from the kernel what is asked for also by a SyntaxError: it would show the line from its file."""
    if event == "open":
        _no_files()


def _no_files(*_: object, **__: object) -> NoReturn:
    raise PermissionError("a sealed process has no files and no terminal; keep what you need by get_state")


def _no_rest(_: float) -> NoReturn:
    raise StrategyRejected(
        "a sealed strategy answers events and does not sleep; return, and wait for the next"
    )
