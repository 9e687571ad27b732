"""Whether the worker lives, and whether it is ready: values, and what they are made from."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class Heartbeat:
    """The sign of life of one thread, which calls `beat` at every turn of its loop."""

    __slots__ = ("_beaten_at",)

    def __init__(self) -> None:
        self._beaten_at = time.monotonic()

    def beat(self) -> None:
        """Note that the thread is alive now."""
        self._beaten_at = time.monotonic()

    def age(self, now: float) -> float:
        """Return the seconds from the last beat to `now` (of time.monotonic)."""
        return max(0.0, now - self._beaten_at)


@dataclass(frozen=True, slots=True)
class Health:
    """How long ago each thread beat, in seconds, and which have not for too long."""

    ages: Mapping[str, float]
    stuck: tuple[str, ...]

    @classmethod
    def of(cls, heartbeats: Mapping[str, Heartbeat], limit: float, now: float) -> "Health":
        """Judge threads by their heartbeats: those older than `limit` seconds are stuck."""
        ages = {name: heartbeat.age(now) for name, heartbeat in heartbeats.items()}
        return cls(ages, tuple(name for name, age in ages.items() if age > limit))

    @property
    def ok(self) -> bool:
        """Whether every thread beats."""
        return not self.stuck


@dataclass(frozen=True, slots=True)
class Readiness:
    """Why the worker is not ready: what is missing and the reason. Empty when it is ready."""

    missing: Mapping[str, str]

    @property
    def ready(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing


class Conditions:
    """What must hold before the worker is ready.

    Example: `conditions.add("control", lambda: None if listener.subscribed else "not subscribed")`.
    """

    def __init__(self) -> None:
        self._checks: dict[str, Callable[[], str | None]] = {}

    def add(self, name: str, check: Callable[[], str | None]) -> None:
        """Require that `check` returns None; else it returns the reason, in words. It must not wait."""
        self._checks[name] = check

    def readiness(self) -> Readiness:
        """Ask every check now."""
        reasons = {name: check() for name, check in dict(self._checks).items()}
        return Readiness({name: reason for name, reason in reasons.items() if reason is not None})


class WorkerView(Protocol):
    """What the HTTP server shows of a worker. Called in the server's thread; nothing here may wait."""

    @property
    def registry(self) -> "CollectorRegistry":
        """The metrics."""

    def health(self) -> Health:
        """Whether the threads live."""

    def readiness(self) -> Readiness:
        """Whether the worker does its work."""

    def sessions(self) -> list[dict[str, Any]]:
        """Every session, as values that JSON can hold."""

    def authorised(self, token: str) -> bool:
        """Whether this token may give orders; never, where none is configured."""

    def resume(self, key: str) -> bool:
        """Have a session that was halted or quarantined run again; false when there is none with this key."""

    def reload(self, strategy_id: str) -> list[str]:
        """Have the sessions of stored code go on with the code of now; return their keys."""

    def executions(self) -> list[dict[str, Any]]:
        """Every portfolio execution that has not ended, as values that JSON can hold."""

    def command_execution(
        self, execution_id: str, command: Literal["stop", "pause", "resume"]
    ) -> Future[bool] | None:
        """Have an execution stopped, paused or resumed; None where there is none with this id.

        Done once that is written down: true, or false where it is in no state for that.
        """
