"""What the intake shows of itself over HTTP, by the same paths as the worker."""

import time
from typing import Any, Literal

from prometheus_client import CollectorRegistry

from services.intake.consumer import IntakeConsumer
from services.telemetry.health import Conditions, Health, Readiness


class IntakeView:
    """Answers from what the consumer keeps anyway: nothing here waits.

    The consumer is stuck when it has not beaten for `patience` seconds: longer than a batch may be gathered,
    and stored.
    """

    def __init__(self, registry: CollectorRegistry, consumer: IntakeConsumer, patience: float) -> None:
        self._registry = registry
        self._consumer = consumer
        self._patience = patience
        self._conditions = Conditions()
        self._conditions.add("source", lambda: consumer.source_reason)
        self._conditions.add("database", lambda: consumer.trouble)

    @property
    def registry(self) -> CollectorRegistry:
        """The metrics."""
        return self._registry

    def health(self) -> Health:
        """Whether the consumer goes round."""
        return Health.of({"intake": self._consumer.heartbeat}, self._patience, time.monotonic())

    def readiness(self) -> Readiness:
        """Whether messages come in and go on into the database."""
        return self._conditions.readiness()

    def sessions(self) -> list[dict[str, Any]]:
        """None: they are the worker's."""
        return []

    def authorised(self, token: str) -> bool:  # noqa: ARG002 — whatever it is
        """Never: there is nothing to order here."""
        return False

    def resume(self, key: str) -> bool:  # noqa: ARG002 — whatever it is
        """Never; see `sessions`."""
        return False

    def reload(self, strategy_id: str) -> list[str]:  # noqa: ARG002 — whatever it is
        """None; see `sessions`."""
        return []

    def executions(self) -> list[dict[str, Any]]:
        """None: they are the worker's."""
        return []

    def command_execution(self, execution_id: str, command: Literal["stop", "pause", "resume"]) -> None:
        """None; see `executions`."""
