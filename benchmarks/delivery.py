"""From PUBLISH to POST: one signal at a time while all is quiet, and a thousand at once."""

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from statistics import median, quantiles

from benchmarks.databases import durable_database
from benchmarks.effort import Effort
from benchmarks.feed import Publisher, bars, command
from benchmarks.gateway_stub import Arrival, GatewayStub
from benchmarks.processes import running_poster, running_worker
from benchmarks.rows import Floor, Goal, MeasurementError, Row, compare

SYMBOL = "SYM000"
WORKER, POSTER, RECORDER = "worker", "poster", "recorder"
FLOORS = {POSTER: "listen() + requests", RECORDER: "listen() + bare INSERT + requests"}
STRATEGY = "signal_every_bar"
THREADS = 4
QUIET_SECONDS = 0.002
SETTLE_SECONDS = 0.3
WARM_UPS = 10
Shot = Callable[[], tuple[float, list[Arrival]]]
"""Publishes one message; returns when (monotonic seconds), and every request that came of it."""


def publish_to_post(url: str, effort: Effort) -> list[Row]:
    """Compare the worker with a loop of redis-py that posts with requests in the same thread."""
    return _publish_to_post(url, effort, None)


def publish_to_post_recorded(url: str, effort: Effort) -> list[Row]:
    """The same with every signal a row on disk, written and synchronised, before it is a request."""
    with durable_database() as database_url:
        return _publish_to_post(url, effort, database_url)


def _publish_to_post(url: str, effort: Effort, database_url: str | None) -> list[Row]:
    posters = {POSTER: None} if database_url is None else {POSTER: None, RECORDER: database_url}
    delays: dict[str, list[list[float]]] = {side: [] for side in (WORKER, *posters)}
    with (
        GatewayStub() as gateway,
        Publisher(url) as publisher,
        running_worker(url, gateway.url, database_url) as worker,
        ExitStack() as stack,
    ):
        worker.start_sessions(STRATEGY, [SYMBOL], 1)
        for name, records in posters.items():
            stack.enter_context(
                running_poster(url, gateway.url, name, threads=1, posts=1, database_url=records)
            )
        shots = _shots(publisher, gateway, 1, posters)
        for shot in shots.values():
            _delays(shot, gateway, WARM_UPS)
        for turn in range(effort.rounds):
            for side in sorted(shots, reverse=turn % 2 == 0):
                delays[side].append(_delays(shots[side], gateway, effort.samples))
        worker.expect("worker_signals_total", WARM_UPS + effort.rounds * effort.samples, status="executed")
    return [
        compare(
            f"PUBLISH to POST{_where(database_url)}, {name}",
            "µs",
            [of(each) * 1e6 for each in delays[WORKER]],
            Floor(FLOORS[poster], [of(each) * 1e6 for each in delays[poster]]),
            Goal(limit, less_is_better=True) if poster == POSTER else None,
        )
        for name, limit, of in (("p50", 1.5, median), ("p99", 2.0, _percentile_99))
        for poster in posters
    ]


def burst(url: str, effort: Effort) -> list[Row]:
    """Compare many sessions that signal on one bar with bare threads that post as many requests."""
    return _burst(url, effort, None)


def burst_recorded(url: str, effort: Effort) -> list[Row]:
    """The same with every signal a row on disk, written and synchronised, before it is a request."""
    with durable_database() as database_url:
        return _burst(url, effort, database_url)


def _burst(url: str, effort: Effort, database_url: str | None) -> list[Row]:
    count = effort.sessions // THREADS * THREADS
    seconds: dict[str, list[float]] = {WORKER: [], POSTER: []}
    with (
        GatewayStub() as gateway,
        Publisher(url) as publisher,
        running_worker(url, gateway.url, database_url) as worker,
    ):
        worker.start_sessions(STRATEGY, [SYMBOL], count)
        with running_poster(url, gateway.url, POSTER, threads=THREADS, posts=count):
            shots = _shots(publisher, gateway, count, [POSTER])
            for turn in range(1 + effort.rounds):  # the first opens the connections
                for side in sorted(shots, reverse=turn % 2 == 0):
                    published_at, arrivals = shots[side]()
                    seconds[side].append(arrivals[-1].answered_at - published_at)
                    if side == WORKER and len({each.key for each in arrivals}) != count:
                        raise MeasurementError("two signals had the same id")
                    gateway.serve(1, SETTLE_SECONDS)
        worker.expect("worker_signals_total", (1 + effort.rounds) * count, status="executed")
    floor = Floor(f"{THREADS} threads of requests", [each * 1e3 for each in seconds[POSTER][1:]])
    values = [each * 1e3 for each in seconds[WORKER][1:]]
    return [
        compare(
            f"burst of {count}{_where(database_url)}, last 201",
            "ms",
            values,
            floor,
            Goal(1.5, less_is_better=True),
        )
    ]


def _shots(publisher: Publisher, gateway: GatewayStub, count: int, posters: Iterable[str]) -> dict[str, Shot]:
    minute = iter(range(1_000_000))

    def shoot(message: Callable[[], bytes]) -> tuple[float, list[Arrival]]:
        commands = message()
        published_at = time.monotonic()
        publisher.send(commands)
        return published_at, gateway.expect(count)

    def message_to(poster: str) -> Shot:
        return lambda: shoot(lambda: command("PUBLISH", poster, "post"))

    return {
        WORKER: lambda: shoot(lambda: bars([SYMBOL], 1, first_minute=next(minute))),
        **{poster: message_to(poster) for poster in posters},
    }


def _delays(shot: Shot, gateway: GatewayStub, samples: int) -> list[float]:
    """Return the seconds from PUBLISH to the arrival of the whole request, for so many messages."""
    delays = []
    for _ in range(samples):
        published_at, arrivals = shot()
        delays.append(arrivals[0].arrived_at - published_at)
        if gateway.serve(1, QUIET_SECONDS):
            raise MeasurementError("one message led to two requests")
    return delays


def _where(database_url: str | None) -> str:
    return "" if database_url is None else " by PostgreSQL"


def _percentile_99(values: list[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[98]
