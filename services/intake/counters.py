"""What the intake counts, and the names under which Prometheus sees it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

OUTCOMES = ("inserted", "updated", "unchanged", "refused")
KINDS = ("format", "metadata", "parameters", "performance", "database", "poison")


@dataclass(slots=True)
class IntakeCounters:
    """Written by the consumer's thread alone."""

    outcomes: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    batches: int = 0
    retries: int = 0
    lost: int = 0
    lag: int | None = None

    @property
    def messages(self) -> int:
        """How many messages were finished."""
        return self.outcomes.total()


class IntakeCollector(Collector):
    """Gives the counters of one topic their names."""

    def __init__(self, topic: str, counters: IntakeCounters, registry: CollectorRegistry) -> None:
        self._topic = topic
        self._counters = counters
        self.database_seconds = Histogram(
            "intake_database_seconds", "Time to store one batch.", registry=registry
        )
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Return every metric with its value now."""
        counters = self._counters
        messages = CounterMetricFamily(
            "intake_messages", "Messages by what became of them.", labels=["topic", "outcome"]
        )
        for outcome in OUTCOMES:
            messages.add_metric([self._topic, outcome], counters.outcomes[outcome])
        yield messages
        refusals = CounterMetricFamily(
            "intake_refusals", "Refused messages by the kind of check.", labels=["topic", "reason"]
        )
        for kind in KINDS:
            refusals.add_metric([self._topic, kind], counters.refusals[kind])
        yield refusals
        yield self._count("intake_batches", "Batches finished.", counters.batches)
        yield self._count("intake_retries", "Batches that were tried again.", counters.retries)
        yield self._count("intake_lost", "Messages trimmed before they were read.", counters.lost)
        lag = GaugeMetricFamily("intake_lag", "Messages that are not finished yet.", labels=["topic"])
        if counters.lag is not None:
            lag.add_metric([self._topic], counters.lag)
        yield lag

    def _count(self, name: str, meaning: str, number: int) -> Metric:
        family = CounterMetricFamily(name, meaning, labels=["topic"])
        family.add_metric([self._topic], number)
        return family
