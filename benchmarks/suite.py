"""Which comparisons there are, and the server that they share."""

from collections.abc import Callable, Mapping, Sequence

from benchmarks import (
    backtests,
    delivery,
    intake,
    memory,
    risk,
    rules,
    sandbox,
    sealed_sessions,
    throughput,
    universe,
)
from benchmarks.effort import Effort
from benchmarks.report import Report, machine_facts, now
from benchmarks.rows import Row
from services.embedded import EmbeddedValkey
from services.redis_client import make_client

Benchmark = Callable[[str, Effort], list[Row]]

BENCHMARKS: Mapping[str, Benchmark] = {
    "bars": throughput.bars_to_on_bar,
    "routing": throughput.bars_of_one_symbol,
    "sessions": throughput.bars_to_many_sessions,
    "latency": delivery.publish_to_post,
    "burst": delivery.burst,
    "latency-recorded": delivery.publish_to_post_recorded,
    "burst-recorded": delivery.burst_recorded,
    "intake": intake.streams_to_rows,
    "risk": risk.checks,
    "rules": rules.on_bar,
    "universe": universe.universe,
    "sandbox": sandbox.sealed_hosts,
    "sealed-sessions": sealed_sessions.sealed_and_not,
    "backtest": backtests.ema_cross,
    "memory": memory.idle_and_lasting,
}


def measure(names: Sequence[str], effort: Effort, started: Callable[[str], None]) -> Report:
    """Run the named benchmarks one after the other on a Valkey of their own; `started` is told of each.

    The server keeps everything for a subscriber that does not read: it has to hold what is published
    before the reading is timed.
    """
    began_at = now()
    rows: list[Row] = []
    with EmbeddedValkey() as server:
        client = make_client(server.url)
        client.config_set("client-output-buffer-limit", "pubsub 0 0 0")
        machine = machine_facts(client)
        for name in names:
            started(name)
            client.flushall()  # sessions of an earlier worker are not to be found again
            rows += BENCHMARKS[name](server.url, effort)
        client.close()
    return Report(began_at, effort, machine, rows)
