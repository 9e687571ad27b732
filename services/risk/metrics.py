"""How often which rule spoke."""

from prometheus_client import CollectorRegistry, Counter

from models.risk import Rule
from models.risk_event import RiskEvent


class RiskMetrics:
    """Counts warnings and violations by their rule. Safe from every thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._violations = Counter(
            "risk_violations", "Orders refused or reduced, halts, stop losses.", ["type"], registry=registry
        )
        self._warnings = Counter(
            "risk_warnings", "Orders and days near a limit.", ["type"], registry=registry
        )
        self._events = Counter("risk_events", "Risk events.", ["outcome"], registry=registry)
        for rule in Rule:
            self._violations.labels(rule.value)
            self._warnings.labels(rule.value)
        for outcome in ("written", "lost"):
            self._events.labels(outcome)

    def count(self, event: RiskEvent) -> None:
        """Note an event, unless it only tells what a person did."""
        if event.action_taken == "warned":
            self._warnings.labels(event.event_type.value).inc()
        elif event.action_taken != "resumed":
            self._violations.labels(event.event_type.value).inc()

    def recorded(self, written: int, lost: int) -> None:
        """Note how many events were written, and how many were lost."""
        self._events.labels("written").inc(written)
        self._events.labels("lost").inc(lost)
