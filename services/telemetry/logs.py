"""Logs: one JSON line per event on stderr, the records of libraries among them, secrets masked."""

import logging
import math
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Literal, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from config import masked

_SECRET_NAME = re.compile(
    r"token|secret|password|passwd|authorization|cookie|api_?key|credential|signature", re.IGNORECASE
)
_DEEPEST = 6
_LONGEST = 8 * 1024
_CHATTY_LIBRARIES = ("asyncio", "urllib3", "uvicorn")


def configure_logging(level: str, log_format: Literal["json", "console"]) -> None:
    """Send the events of structlog and the records of logging to stderr, also when called again.

    A line holds timestamp (UTC), level, logger, action and the bound fields; `exception` is a traceback.
    """
    number = logging.getLevelNamesMapping()[level]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Loggers are not cached: a module's logger must follow when this is called again.
    structlog.configure(
        processors=[*shared, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(number),
    )
    handler = _StderrHandler()
    handler.setFormatter(ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(log_format)))
    root = logging.getLogger()
    for earlier in [each for each in root.handlers if isinstance(each, _StderrHandler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(number)
    for name in _CHATTY_LIBRARIES:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    logging.captureWarnings(capture=True)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask fields named like secrets and credentials inside all other values (a structlog processor)."""
    return {key: _safe(key, value) for key, value in event.items()}


class Throttle:
    """Logs an event that repeats at most once in so many seconds, then with the count of those kept back.

    One instance may be shared by threads. Example: `throttle.log(log.warning, "bar_refused", reason=reason)`.
    """

    _LARGEST = 1000

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[tuple[str, str], tuple[float, int]] = {}

    def log(self, write: Callable[..., object], action: str, /, *, key: str = "", **fields: object) -> bool:
        """Call `write(action, suppressed=…, **fields)` unless the same action and key was logged just now."""
        now = self._clock()
        with self._lock:
            written_at, suppressed = self._last.get((action, key), (-math.inf, 0))
            due = now - written_at >= self._seconds
            self._last[action, key] = (now, 0) if due else (written_at, suppressed + 1)
            if len(self._last) > self._LARGEST:
                del self._last[next(iter(self._last))]
        if due:
            write(action, suppressed=suppressed, **fields)
        return due


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what sys.stderr is now, which may have been replaced since."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)

    # A handler of a strategy may be interrupted anywhere. The standard library takes its lock just before a
    # `try`, where an interruption would leave it taken for ever; `with` leaves no such moment.

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a record under the lock."""
        with self.lock or nullcontext():
            self.emit(record)
        return True

    def flush(self) -> None:
        """Hand what was written to the system, under the lock."""
        with self.lock or nullcontext():
            self.stream.flush()


def _rendering(log_format: Literal["json", "console"]) -> list[Processor]:
    renderer: Processor = structlog.processors.JSONRenderer()
    if log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            event_key="action",
            exception_formatter=structlog.dev.plain_traceback,
        )
    return [
        ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact,
        _with_action,
        renderer,
    ]


def _with_action(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Call the event `action` and put the common fields first; a field of that name becomes `action_`."""
    if "action" in event:
        event["action_"] = event.pop("action")
    first = {name: event.pop(name, None) for name in ("timestamp", "level", "logger")}
    return {**first, "action": event.pop("event"), **event}


def _safe(name: str, value: object, depth: int = 0) -> object:
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if _SECRET_NAME.search(name):
        return "***"
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return {str(key): _safe(str(key), each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
        return [_safe("", each, depth + 1) for each in value]
    return _masked_start(_text(value))


def _masked_start(text: str) -> str:
    """Mask a text, of a long one only the start, and say how much is left out."""
    if len(text) <= _LONGEST:
        return masked(text)
    # The cut may go through a URL's credentials: the @ that would have followed them has them masked too.
    start = masked(f"{text[:_LONGEST]}@").removesuffix("@")
    return f"{start}… ({len(text) - _LONGEST} more characters)"


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return repr(value) if isinstance(value, BaseException) else str(value)
