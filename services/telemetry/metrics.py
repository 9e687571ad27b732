"""Counters of the hot path and how Prometheus sees them.

The data thread only adds to plain integers; they get their names when someone asks for /metrics. What happens
seldom is counted by prometheus_client itself (`SignalMetrics`). No label has a value that users can multiply
without bound: no symbols, no ids.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client import Counter as PrometheusCounter
from prometheus_client import Histogram as PrometheusHistogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from models.signal import SignalStatus

HANDLER_BOUNDS = (1e-6, 2.5e-6, 1e-5, 2.5e-5, 1e-4, 2.5e-4, 1e-3, 2.5e-3, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0)
QUICK_SECONDS = HANDLER_BOUNDS[0]
LATENCY_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class HandlerSeconds:
    """A histogram of the time that handlers of strategies take, in seconds. Written by one thread."""

    __slots__ = ("counts", "quick", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(HANDLER_BOUNDS) + 1)
        self.quick = 0
        self.total = 0.0

    def observe(self, seconds: float, count: int = 1) -> None:
        """Add `count` calls that took `seconds` together, each as long as the others."""
        self.total += seconds
        if seconds <= QUICK_SECONDS * count:
            self.quick += count  # most of them, and no search
        else:
            self.counts[bisect_left(HANDLER_BOUNDS, seconds / count)] += count

    def cumulative(self) -> list[tuple[str, float]]:
        """Return how many calls took at most each bound, by the bound's text, ending with +Inf."""
        counted = list(self.counts)
        counted[0] += self.quick
        bounds = [*(f"{bound:g}" for bound in HANDLER_BOUNDS), "+Inf"]
        return [(bound, float(sum(counted[: index + 1]))) for index, bound in enumerate(bounds)]


@dataclass(slots=True)
class EventCounters:
    """What happened to market data since the start. Written by the data thread alone."""

    bars_delivered: int = 0
    trades_delivered: int = 0
    bar_calls: int = 0
    trade_calls: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    gaps: Counter[str] = field(default_factory=Counter)
    handler_seconds: HandlerSeconds = field(default_factory=HandlerSeconds)


class SignalMetrics:
    """Counts signals by the status that they reach, and times their way from event to reply."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._statuses = PrometheusCounter(
            "worker_signals", "Signals by the status they reached.", ["status"], registry=registry
        )
        self._latency = PrometheusHistogram(
            "worker_signal_latency_seconds",
            "From the receipt of an event to the gateway's reply to its signal.",
            buckets=LATENCY_BOUNDS,
            registry=registry,
        )
        for status in SignalStatus:
            self._statuses.labels(status.value)

    def count(self, status: SignalStatus) -> None:
        """Note that a signal reached `status`. Any thread."""
        self._statuses.labels(status.value).inc()

    def answered(self, seconds: float) -> None:
        """Note that the gateway replied `seconds` after the event was received. Any thread."""
        self._latency.observe(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSources:
    """Where the worker's numbers come from; each is asked when someone reads /metrics, and must not wait."""

    events: EventCounters
    control_gaps: Callable[[], int]
    control_rejected: Callable[[], Mapping[str, int]]  # by reason
    control_events: Callable[[], Mapping[str, int]]  # by outcome
    dead_letters: Callable[[], Mapping[str, int]]  # by outcome: written, lost
    sessions: Callable[[], Mapping[str, int]]  # by state
    handler_errors: Callable[[], Mapping[str, int]]  # by the name of a strategy class
    outbox_pending: Callable[[], int]
    feed_age_seconds: Callable[[], float | None]  # None before the first event


class WorkerCollector(Collector):
    """Gives the numbers of the sources their Prometheus names."""

    def __init__(self, sources: MetricSources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        """Return every metric with its value now."""
        sources, events = self._sources, self._sources.events
        delivered = {"bar": events.bars_delivered, "trade": events.trades_delivered}
        calls = {"bar": events.bar_calls, "trade": events.trade_calls}
        gaps = {"control": sources.control_gaps(), "bars": 0, "trades": 0} | dict(events.gaps)
        rejected = Counter(events.rejected) + Counter(sources.control_rejected())
        dead_letters = {"written": 0, "lost": 0} | dict(sources.dead_letters())
        yield _counts("worker_events", "Events delivered to at least one session.", "kind", delivered)
        yield _counts("worker_handler_calls", "Calls of on_bar and on_trade.", "kind", calls)
        yield _counts("worker_events_dropped", "Events that no session wanted.", "reason", events.dropped)
        yield _counts("worker_events_rejected", "Messages that were refused.", "reason", rejected)
        yield _counts("worker_gaps", "Interruptions after which events may be missing.", "stream", gaps)
        yield _counts("worker_control_events", "Control events.", "outcome", sources.control_events())
        yield _counts("worker_dead_letters", "Refused messages kept for a person.", "outcome", dead_letters)
        yield _counts("worker_handler_errors", "Failed calls.", "strategy", sources.handler_errors())
        yield _sessions(sources.sessions())
        yield _handler_seconds(events.handler_seconds)
        yield _gauge("worker_outbox_pending", "Signals on their way out.", sources.outbox_pending())
        yield _gauge(
            "worker_feed_age_seconds", "Since the last event of a session.", sources.feed_age_seconds()
        )


def make_registry() -> CollectorRegistry:
    """Return a registry that knows the process, its garbage collector and its Python."""
    disable_created_metrics()  # type: ignore[no-untyped-call] # a second series per counter, which nobody reads
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _counts(name: str, meaning: str, label: str, numbers: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, meaning, labels=[label])
    for value, number in dict(numbers).items():  # copied in one step: another thread may add a key
        family.add_metric([value], number)
    return family


def _sessions(numbers: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily("worker_sessions", "Sessions by state.", labels=["state"])
    for state, number in numbers.items():
        family.add_metric([state], number)
    return family


def _handler_seconds(histogram: HandlerSeconds) -> Metric:
    return HistogramMetricFamily(
        "worker_handler_seconds",
        "Time that one call of a strategy takes.",
        buckets=histogram.cumulative(),
        sum_value=histogram.total,
    )


def _gauge(name: str, meaning: str, number: float | None) -> Metric:
    family = GaugeMetricFamily(name, meaning)
    if number is not None:
        family.add_metric([], number)
    return family
