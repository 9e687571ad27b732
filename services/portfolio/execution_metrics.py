"""What Prometheus sees of portfolio executions; asked when someone reads /metrics."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True)
class ExecutionNumbers:
    """Where the numbers come from. `pnl` is in the quote currency."""

    active: Callable[[], int]
    submitted: Callable[[], int]
    filled: Callable[[], int]
    pnl: Callable[[], float]


class ExecutionCollector(Collector):
    """Gives the numbers their Prometheus names."""

    def __init__(self, numbers: ExecutionNumbers) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        """Return every metric with its value now."""
        numbers = self._numbers
        yield GaugeMetricFamily(
            "strategy_executions_active", "Portfolio executions that have not ended.", numbers.active()
        )
        yield CounterMetricFamily(
            "strategy_orders_submitted", "Orders of executions given to the outbox.", numbers.submitted()
        )
        yield CounterMetricFamily(
            "strategy_orders_filled", "Orders of executions filled, in whole or in part.", numbers.filled()
        )
        yield GaugeMetricFamily(
            "strategy_pnl_total", "P&L of the executions under way, after fees.", numbers.pnl()
        )
