"""What an idle session weighs, and whether the worker grows with the events it has seen."""

import redis

from benchmarks.effort import Effort
from benchmarks.feed import Publisher, bars, symbols
from benchmarks.processes import WorkerProcess, running_worker, wait_for
from benchmarks.rows import Floor, Goal, Row, compare

ALLOWED_KIB = 20.0
SYMBOLS = 200
BUSY_SYMBOLS = 10
CHUNK = 50_000
UNREAD_BYTES = 16 * 1024 * 1024
GROWTH_ALLOWED = 1.02
NO_GATEWAY = "http://127.0.0.1:9"  # nothing is sent


def idle_and_lasting(url: str, effort: Effort) -> list[Row]:
    """Weigh a real worker before and after it starts sessions, then while it is told of bars, once."""
    idle = [f"IDLE{number:03}" for number in range(SYMBOLS)]
    count = effort.idle_sessions
    with running_worker(url, NO_GATEWAY) as worker:
        worker.start_sessions("mock", idle, count // 10)  # what is only needed once, is there afterwards
        before = worker.resident_kib()
        worker.start_sessions("mock", idle, count)
        weight = (worker.resident_kib() - before) / count
        worker.start_sessions("count_bars", symbols(BUSY_SYMBOLS), BUSY_SYMBOLS)
        early, late = _weigh_while_told(worker, url, effort.lasting_events)
    return [
        compare(
            f"memory of 1 of {count} idle sessions",
            "KiB",
            [weight],
            Floor("allowed", [ALLOWED_KIB]),
            Goal(1.0, less_is_better=True),
        ),
        compare(
            f"memory after {effort.lasting_events:,} bars",
            "KiB",
            [late],
            Floor("after the first tenth", [early]),
            Goal(GROWTH_ALLOWED, less_is_better=True),
        ),
    ]


def _weigh_while_told(worker: WorkerProcess, url: str, count: int) -> tuple[float, float]:
    """Publish bars; return the worker's memory in KiB after a tenth of them and after all."""
    first = count // 10
    with redis.Redis.from_url(url) as client:
        _tell(worker, client, url, 0, first)
        early = worker.resident_kib()
        _tell(worker, client, url, first, count)
    return early, worker.resident_kib()


def _tell(worker: WorkerProcess, client: redis.Redis, url: str, begin: int, end: int) -> None:
    """Publish bars number `begin` to `end`, never far ahead of the reader; wait until all were told."""
    names = symbols(BUSY_SYMBOLS)
    with Publisher(url) as publisher:
        for number in range(begin, end, CHUNK):
            chunk = min(CHUNK, end - number)
            publisher.publish(bars(names, chunk, first_minute=number // BUSY_SYMBOLS))
            wait_for(lambda: _unread(client) < UNREAD_BYTES, "the worker does not read what is published")
    worker.expect("worker_events_total", end, kind="bar")


def _unread(client: redis.Redis) -> int:
    """Return how many bytes wait in the server for the subscriber that is furthest behind."""
    subscribers: list[dict[str, str]] = client.client_list(_type="pubsub")
    return max((int(each["omem"]) for each in subscribers), default=0)
