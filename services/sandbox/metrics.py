"""What sealed hosts do, as metrics: read when they are asked for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from services.sandbox.ward import Ward


class SandboxCollector(Collector):
    """Counts hosts, their ends by cause, and those that fall behind."""

    def __init__(self, ward: "Ward") -> None:
        self._ward = ward

    def collect(self) -> Iterator[Metric]:
        """Yield every metric of the sandbox."""
        ward = self._ward
        links = list(ward.links().values())
        yield GaugeMetricFamily("sandbox_hosts", "Sessions of stored code.", len(links))
        yield GaugeMetricFamily(
            "sandbox_hosts_lagging", "Those whose process falls behind.", sum(link.lagging for link in links)
        )
        yield CounterMetricFamily(
            "sandbox_trades_conflated", "Trades left out for newer ones.", ward.conflated
        )
        ended = CounterMetricFamily("sandbox_hosts_ended", "Processes that ended unasked.", labels=["cause"])
        for cause, count in list(ward.ends.items()):
            ended.add_metric([cause], count)
        yield ended
        yield SummaryMetricFamily(
            "sandbox_start_seconds",
            "From asking for a process until its strategy is loaded.",
            count_value=ward.spawns,
            sum_value=ward.spawn_seconds,
        )
