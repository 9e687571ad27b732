"""`intake`, `strategies list|inspect` and `dead-letters show|replay`, as a shell runs them."""

import sys
from collections.abc import Iterator
from threading import Event
from typing import Any

import psycopg2
import pytest
import redis
import requests

from config import Settings
from models.errors import ConfigError
from services.commands.dead_letters import newest_refusals
from services.intake.pace import Ending, Pace
from services.intake.refusals import STRATEGY_DEAD_LETTERS
from services.intake.service import Intake
from services.intake.transport import make_browser
from tests.discoveries import payload
from tests.integration.command_line import Ended, command
from tests.kafka_mock import MockKafka
from tests.streaming import TOPIC, KafkaBroker
from tests.support import REPOSITORY, eventually, free_port, running_process

JOB = ("intake", "--until-idle", "0.3", "--json")
QUIET = {"LOG_LEVEL": "CRITICAL"}


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def run(redis_url: str, database_url: str, *words: str, **settings: str) -> Ended:
    return command(*words, **QUIET, REDIS_URL=redis_url, DATABASE_URL=database_url, **settings)


def publish(client: Any, *payloads: bytes) -> None:
    for each in payloads:
        client.xadd(TOPIC, {"data": each})


def test_a_job_takes_in_what_is_there_and_what_was_refused_can_be_replayed(
    client: Any, redis_url: str, database_url: str
) -> None:
    publish(
        client, payload(), payload(strategy_type="sma_cross", parameters={"fast": 5}), payload(symbol=None)
    )
    ended = run(redis_url, database_url, *JOB)
    assert ended.code == 0, ended.output
    assert ended.json["ending"] == "idle"
    assert (ended.json["inserted"], ended.json["refusals"]) == (2, {"metadata": 1})

    (letter,) = newest_refusals(Settings(redis_url=redis_url), STRATEGY_DEAD_LETTERS, 10)
    assert letter["reason"] == "metadata: Object missing required field `symbol`"
    shown = run(redis_url, database_url, "dead-letters", "show", letter["id"], "--json")
    assert shown.json == letter
    replayed = run(redis_url, database_url, "dead-letters", "replay", "--all", "--json")
    assert (replayed.code, replayed.json) == (0, {"replayed": [letter["id"]], "kept": {}})
    assert client.xlen(STRATEGY_DEAD_LETTERS) == 0
    assert client.xrevrange(TOPIC, count=1)[0][1][b"data"] == payload(symbol=None)


def test_rows_are_listed_best_first_and_inspected(client: Any, redis_url: str, database_url: str) -> None:
    payloads = payload(current_score=0.2), payload(strategy_type="sma_cross", parameters={"fast": 5})
    publish(client, *payloads, payload(strategy_type="GENETIC", current_score=0.1))
    assert take_in(redis_url, database_url) is Ending.IDLE
    rows = run(redis_url, database_url, "strategies", "list", "--symbol", "BTC/USD", "--json").json
    assert [(each["strategy_type"], each["runnable"]) for each in rows] == [
        ("sma_cross", True),
        ("SMA_RSI", True),
        ("GENETIC", False),
    ]
    inspected = run(redis_url, database_url, "strategies", "inspect", rows[2]["strategy_id"], "--json")
    assert inspected.json["problems"] == ["no strategy class or rule is called 'GENETIC', so it cannot run"]
    assert inspected.json["performance"]["win_rate"] == 0.55
    assert inspected.json["evaluated_days"] == 365


def test_the_options_of_the_earlier_service_still_work(database_url: str, redis_url: str) -> None:
    connection = psycopg2.extensions.parse_dsn(database_url)
    with MockKafka() as cluster:
        publisher = KafkaBroker(cluster.servers).publisher(Event())
        publisher.publish("another-topic", "", payload())
        publisher.flush(20)
        publisher.close(1)
        words = [f"--kafka_bootstrap_servers={cluster.servers}", "--kafka_topic=another-topic"]
        words += ["--kafka_group_id=g", "--batch_size=5", "--batch_timeout_seconds=0.2", "--max_retries=1"]
        words += [
            f"--postgres_{name}={connection[key]}" for name, key in (("host", "host"), ("port", "port"))
        ]
        words += [f"--postgres_database={connection['dbname']}", f"--postgres_user={connection['user']}"]
        words += [f"--postgres_password={connection['password']}", "--verbosity=-3"]
        ended = run(redis_url, "postgresql://nobody@127.0.0.1:1/none", *JOB, *words)
    assert ended.code == 0, ended.output
    assert ended.json["inserted"] == 1


def test_exit_codes_tell_failure_from_wrong_use(client: Any, redis_url: str) -> None:
    publish(client, payload())
    away = f"postgresql://x@127.0.0.1:{free_port()}/x"
    failed = run(redis_url, away, *JOB, "--max-retries", "0")
    assert (failed.code, failed.json["ending"]) == (1, "failed")
    wrong = command(*JOB, "--batch_size", "no number", REDIS_URL=redis_url)
    assert wrong.code == 2
    assert "BATCH_SIZE (from the command line) must be a whole number" in wrong.output


def test_without_a_database_or_its_tables_it_says_what_to_do(
    client: Any, redis_url: str, empty_database_url: str
) -> None:
    publish(client, payload())
    with pytest.raises(ConfigError, match=r"run python main\.py migrate"):
        take_in(redis_url, empty_database_url)
    with pytest.raises(ConfigError, match="DATABASE_URL is not set"):
        Intake(Settings(redis_url=redis_url), Pace(), Event())


def test_as_a_service_it_answers_like_the_worker_and_ends_in_order(
    client: Any, redis_url: str, database_url: str
) -> None:
    publish(client, payload(), b"nonsense")
    ports = {"HEALTH_PORT": str(free_port()), "METRICS_PORT": str(free_port())}
    settings = {"REDIS_URL": redis_url, "DATABASE_URL": database_url, "BATCH_TIMEOUT_SECONDS": "0.1", **ports}
    health = f"http://127.0.0.1:{ports['HEALTH_PORT']}"
    with running_process([sys.executable, str(REPOSITORY / "main.py"), "intake"], settings) as process:
        process.said("{", 60)

        def metrics() -> str:
            return requests.get(f"http://127.0.0.1:{ports['METRICS_PORT']}/metrics", timeout=10).text

        wanted = f'intake_messages_total{{outcome="inserted",topic="{TOPIC}"}} 1.0'
        eventually(lambda: process.running and wanted in metrics(), 60)
        assert f'intake_refusals_total{{reason="format",topic="{TOPIC}"}} 1.0' in metrics()
        assert requests.get(f"{health}/health", timeout=10).json()["status"] == "ok"
        assert requests.get(f"{health}/ready", timeout=10).json() == {"status": "ready"}
        eventually(lambda: f'intake_lag{{topic="{TOPIC}"}} 0.0' in metrics(), 30)
        process.terminate()
        assert process.wait() == 0
        assert "stopped: 2 messages" in process.output


def test_of_many_kills_nothing_is_lost_or_overwritten(client: Any, redis_url: str, database_url: str) -> None:
    pipeline = client.pipeline(transaction=False)
    for number in range(3_000):
        month = number % 3 * 7 % 12 + 1  # out of order: 1, 8, 3
        given = payload(
            strategy_type="GENETIC",
            parameters={"n": number // 3},
            current_score=month / 100,
            discovery_start_time=None,
            discovery_end_time=f"2025-{month:02}-01T00:00:00Z",
        )
        pipeline.xadd(TOPIC, {"data": given if number % 100 else b"poison %d" % number})
    pipeline.execute()
    settings = {
        "REDIS_URL": redis_url,
        "DATABASE_URL": database_url,
        "BATCH_SIZE": "50",
        "INTAKE_CONSUMER": "one",
    }
    words = [sys.executable, str(REPOSITORY / "main.py"), "intake", "--until-idle", "1"]
    for taken in (300, 600):
        with running_process(words, settings) as process:
            _wait_for_rows(database_url, taken)
            process.kill()
            process.wait()
    assert take_in(redis_url, database_url, intake_consumer="one") is Ending.IDLE
    assert len(newest_refusals(Settings(redis_url=redis_url), STRATEGY_DEAD_LETTERS, 1_000)) == 30
    assert rows(database_url) == (1_000, 1_000 - len(range(100, 3_000, 300)))


def _wait_for_rows(database_url: str, count: int) -> None:
    eventually(lambda: rows(database_url)[0] >= count, 60)


def rows(database_url: str) -> tuple[int, int]:
    """How many strategies there are, and how many of them have the score of their newest evaluation."""
    connection = psycopg2.connect(database_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*), count(*) FILTER (WHERE current_score = 0.08) FROM strategies")
            found = cursor.fetchone()
            assert found is not None
            return found[0], found[1]
    finally:
        connection.close()


def take_in(redis_url: str, database_url: str, **changes: Any) -> Ending:
    """Run a job in this process."""
    settings = Settings(redis_url=redis_url, database_url=database_url, **changes)
    return Intake(settings, Pace(batch_seconds=0.1, until_idle=0.2), Event()).run(serve=False)


def test_dead_letters_in_kafka_are_listed_and_replayed_too(redis_url: str, database_url: str) -> None:
    with MockKafka() as cluster:
        publisher = KafkaBroker(cluster.servers).publisher(Event())
        for each in (b"first", b"second"):
            publisher.publish(TOPIC, "key", each)
        publisher.flush(20)
        publisher.close(1)
        kafka: dict[str, Any] = {"intake_transport": "kafka", "kafka_bootstrap_servers": cluster.servers}
        assert take_in(redis_url, database_url, **kafka) is Ending.IDLE
        found = newest_refusals(Settings(**kafka), STRATEGY_DEAD_LETTERS, 10)
        assert {each["payload"] for each in found} == {"first", "second"}
        (first,) = [each["id"] for each in found if each["payload"] == "first"]
        shell = {name.upper(): value for name, value in kafka.items()}
        assert run(redis_url, database_url, "dead-letters", "replay", first, **shell).code == 0
        browser = make_browser(Settings(**kafka))
        assert sorted(each.payload for each in browser.newest(TOPIC, 10)) == [b"first", b"first", b"second"]
        browser.close()
