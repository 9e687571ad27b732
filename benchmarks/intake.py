"""How fast discovered strategies become rows, beside a bare COPY, and which way of writing is the faster."""

import gc
import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from threading import Event, Thread
from typing import NamedTuple

import psycopg2
import psycopg2.extras

from benchmarks.databases import durable_database
from benchmarks.discoveries import discoveries, mock_kafka, rows_of
from benchmarks.effort import Effort
from benchmarks.rows import Floor, Goal, MeasurementError, Row, compare
from main import YOUNG_OBJECTS
from models.discovered import DiscoveredStrategy
from services.db_client import Cursor, Database
from services.intake.consumer import IntakeConsumer
from services.intake.discovered import DiscoveredReader
from services.intake.kafka_publisher import KafkaPublisher
from services.intake.kafka_source import KafkaSource
from services.intake.messages import Membership, MessagePublisher, MessageSource
from services.intake.pace import Pace
from services.intake.redis_publisher import RedisPublisher
from services.intake.redis_source import RedisSource
from services.intake.repository import COLUMNS, INCOMING, UPSERT, StrategyRepository, copy_line
from services.intake.service import SWITCH_SECONDS

BATCH = 1_000
GOAL = Goal(0.3)
FASTER = Goal(1.0)
KEYS = 97
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.001
JOIN_SECONDS = 0.1
BARE = f"CREATE TABLE IF NOT EXISTS bare_strategies AS SELECT {COLUMNS} FROM strategies WITH NO DATA"  # noqa: S608
COPY_BARE = f"COPY bare_strategies ({COLUMNS}) FROM STDIN"
CONFLICT = UPSERT[UPSERT.index("ON CONFLICT") :]
VALUES = f"INSERT INTO strategies ({COLUMNS}) VALUES %s {CONFLICT}"  # noqa: S608 — names of columns
TEMPLATE = "(%s, %s, %s, %s::jsonb, %s, %s, %s, %s, %s, %s::jsonb)"
Write = Callable[[Cursor, Sequence[DiscoveredStrategy]], None]


def streams_to_rows(url: str, effort: Effort) -> list[Row]:
    """Measure the intake from both transports and both ways of writing, by turns on one PostgreSQL."""
    count = effort.events // 5
    redis: list[float] = []
    kafka: list[float] = []
    bare: list[float] = []
    values: list[float] = []
    copied: list[float] = []
    with durable_database() as database_url, mock_kafka() as servers:
        for number in range(effort.rounds):
            payloads = discoveries(count, number)
            rows = rows_of(payloads)
            before = _written(database_url, rows, _copy_bare)
            values.append(count / _written(database_url, rows, _execute_values))
            copied.append(count / _through_repository(database_url, rows))
            topic = f"discovered-{number}"
            redis.append(count / _taken_in(database_url, payloads, _on_redis(url, topic)))
            between = _written(database_url, rows, _copy_bare)
            kafka.append(count / _taken_in(database_url, payloads, _on_kafka(servers, topic)))
            after = _written(database_url, rows, _copy_bare)
            bare.append(count / median((before, between, after)))
    floor = Floor("COPY into a table without indexes", bare)
    return [
        compare("discovered strategies from Redis to rows", "/s", redis, floor, GOAL),
        compare("discovered strategies from Kafka to rows", "/s", kafka, floor, GOAL),
        compare("rows through COPY and one upsert", "/s", copied, Floor("execute_values", values), FASTER),
    ]


class _Stream(NamedTuple):
    """One topic with its reader and its writer, both ended by `stop`."""

    topic: str
    source: MessageSource
    publisher: MessagePublisher
    stop: Event


def _on_redis(url: str, topic: str) -> _Stream:
    stop = Event()
    source = RedisSource(url, Membership(topic, "bench", "one"), stop)
    return _Stream(topic, source, RedisPublisher(url, stop, length=None), stop)


def _on_kafka(servers: str, topic: str) -> _Stream:
    stop = Event()
    config: dict[str, str | int | bool] = {"bootstrap.servers": servers, "log_level": 3}
    source = KafkaSource(config, Membership(topic, topic, "one"), stop)
    return _Stream(topic, source, KafkaPublisher(config, stop), stop)


def _taken_in(database_url: str, payloads: Sequence[bytes], stream: _Stream) -> float:
    """Return the seconds from the first batch to the last commit; what is read is in the stream by then."""
    topic, source, publisher, stop = stream
    for number, each in enumerate(payloads):  # over all partitions: the mock keeps 5 MB of each
        publisher.publish(topic, str(number % KEYS), each)
    publisher.flush(PATIENCE_SECONDS)
    while isinstance(source, KafkaSource) and source.reason is not None:
        source.hold([], JOIN_SECONDS)  # to be let into a group takes its time, whatever comes after
    with _emptied(database_url) as database, _as_its_own_process():
        consumer = IntakeConsumer(
            source,
            publisher,
            DiscoveredReader("json", lambda _: None),
            StrategyRepository(database),
            pace=Pace(batch_size=BATCH, batch_seconds=0.05),
            stop=stop,
        )
        thread = Thread(target=consumer.run)
        begin = time.perf_counter()
        thread.start()
        while consumer.counters.messages < len(payloads) and time.perf_counter() < begin + PATIENCE_SECONDS:
            stop.wait(LOOK_SECONDS)
        seconds = time.perf_counter() - begin
        stop.set()
        thread.join()
    if consumer.counters.outcomes["inserted"] != len(payloads):
        raise MeasurementError(f"of {len(payloads)} strategies came in: {dict(consumer.counters.outcomes)}")
    return seconds


@contextmanager
def _as_its_own_process() -> Iterator[None]:
    """Set the interpreter as `python main.py intake` does; its collector ignores what is held here."""
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(YOUNG_OBJECTS)
    gc.freeze()
    sys.setswitchinterval(SWITCH_SECONDS)
    yield
    sys.setswitchinterval(interval)
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def _through_repository(database_url: str, rows: Sequence[DiscoveredStrategy]) -> float:
    with _emptied(database_url) as database:
        repository = StrategyRepository(database)
        begin = time.perf_counter()
        for each in _batches(rows):
            repository.bulk_insert_strategies(each)
        return time.perf_counter() - begin


def _written(database_url: str, rows: Sequence[DiscoveredStrategy], write: Write) -> float:
    """Return the seconds to write everything, one transaction per batch."""
    with _emptied(database_url) as database:
        begin = time.perf_counter()
        for each in _batches(rows):
            with database.transaction() as cursor:
                write(cursor, each)
        return time.perf_counter() - begin


def _copy_bare(cursor: Cursor, rows: Sequence[DiscoveredStrategy]) -> None:
    lines = "".join(map(copy_line, rows)).encode()
    cursor.copy_expert(COPY_BARE, io.BytesIO(lines), len(lines) + 1)


def _execute_values(cursor: Cursor, rows: Sequence[DiscoveredStrategy]) -> None:
    fields = [[None if field == r"\N" else field for field in _fields(each)] for each in rows]
    psycopg2.extras.execute_values(cursor, VALUES, fields, TEMPLATE, page_size=len(fields), fetch=True)


def _fields(row: DiscoveredStrategy) -> list[str]:
    return copy_line(row).rstrip("\n").replace("\\\\", "\\").split("\t")


def _batches(rows: Sequence[DiscoveredStrategy]) -> Iterator[Sequence[DiscoveredStrategy]]:
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))


@contextmanager
def _emptied(database_url: str) -> Iterator[Database]:
    """Give the database with both tables empty, and everything before it on disk."""
    database = Database(database_url, statement_timeout=PATIENCE_SECONDS)
    with database.transaction() as cursor:
        cursor.execute(INCOMING)
        cursor.execute(BARE)
        cursor.execute("TRUNCATE strategies, bare_strategies")
    yield database
    database.close()
