"""Approvals from a stream into the table, and what is told about executions back to the streams."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import redis

from models.execution_plan import Approval
from services.db_client import Database
from services.embedded import EmbeddedValkey
from services.intake.messages import Message, Place
from services.intake.redis_publisher import RedisPublisher
from services.intake.refusals import Refusal
from services.portfolio import approval_desk
from services.portfolio.approval import read_approval
from services.portfolio.event_publisher import EventPublisher
from services.portfolio.events import refused
from services.portfolio.execution_table import write_events
from tests.integration.portfolio_stage import events, execution, table, take_approval
from tests.sample_approvals import approval_message
from tests.support import eventually


def encoded(message: object) -> bytes:
    return json.dumps(message).encode()


def test_an_approval_is_a_row_and_the_same_one_again_is_the_same_row(database_url: str) -> None:
    payload = encoded(approval_message())
    outcomes, dead = take_approval(database_url, payload, payload)
    again, _ = take_approval(database_url, payload)
    assert (outcomes, again, dead) == (["started", "duplicate"], ["duplicate"], [])
    row = execution(database_url)
    assert row["status"] == "active"
    assert row["config"] == approval_message()["config"]


def test_the_same_approvals_in_two_workers_at_once_are_one_execution_each(database_url: str) -> None:
    payloads = [
        encoded({**approval_message(), "timestamp": f"2026-01-28T10:00:{second:02}Z"}) for second in range(60)
    ]
    with ThreadPoolExecutor(4) as workers:
        results = list(workers.map(lambda _: take_approval(database_url, *payloads), range(4)))
    assert Counter(each for outcomes, _ in results for each in outcomes) == {"started": 60, "duplicate": 180}
    assert len(table(database_url, "strategy_executions")) == 60
    assert events(database_url) == []


def test_a_later_approval_of_the_same_strategy_is_another_execution(database_url: str) -> None:
    later = {**approval_message(), "timestamp": "2026-01-29T10:00:00Z"}
    take_approval(database_url, encoded(approval_message()), encoded(later))
    assert len(table(database_url, "strategy_executions")) == 2


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{", "not_json"),
        (encoded(approval_message(allocation={"AAPL": 0.9, "MSFT": 0.9})), "invalid_approval"),
        (encoded(approval_message(name="a\x00b")), "not_recorded"),
        (encoded(approval_message(nobody_reads_it=float("nan"))), "not_json"),
    ],
)
def test_what_is_refused_is_told_with_its_reason_and_kept_in_the_dead_letters(
    database_url: str, payload: bytes, reason: str
) -> None:
    outcomes, dead = take_approval(database_url, payload)
    assert outcomes == ["refused"]
    assert dead == [("strategy.approved", reason, payload)]
    assert table(database_url, "strategy_executions") == []
    [told] = events(database_url)
    assert told["reason"] == reason
    assert told["problems"]
    assert Refusal.decode(json.dumps(told).encode()).original_message.encode() == payload


def test_what_nobody_expected_of_one_approval_does_not_hold_up_the_next(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(payload: bytes) -> Approval:
        if payload == b"strange":
            raise RuntimeError
        return read_approval(payload)

    monkeypatch.setattr(approval_desk, "read_approval", read)
    outcomes, dead = take_approval(database_url, b"strange", encoded(approval_message()))
    assert outcomes == ["refused", "started"]
    assert dead == [("strategy.approved", "internal_error", b"strange")]


def message(number: int) -> Message:
    return Message(place=Place("strategy.approved", None, f"{number}-0"), payload=str(number).encode())


def write(url: str, *numbers: int) -> None:
    database = Database(url)
    with database.transaction() as cursor:
        write_events(cursor, [refused(message(each), "wrong", ["wrong"]) for each in numbers])
    database.close()


def published(url: str) -> list[int]:
    with redis.Redis.from_url(url) as client:
        return [
            int(json.loads(fields[b"data"])["original_message"])
            for _, fields in client.xrange("strategy.errors")
        ]


def test_events_are_published_in_their_order_and_marked(database_url: str, redis_url: str) -> None:
    write(database_url, *range(500))
    stop, database = Event(), Database(database_url)
    publisher = EventPublisher(database, RedisPublisher(redis_url, stop))
    publisher.start()
    eventually(lambda: publisher.published == 500)
    write(database_url, 500)
    publisher.wake()
    eventually(lambda: publisher.published == 501)
    assert publisher.stop(10)
    database.close()
    assert published(redis_url) == list(range(501))
    assert all(row["published_at"] for row in table(database_url, "execution_events"))


def test_events_wait_for_a_broker_that_is_away(database_url: str, own_valkey: EmbeddedValkey) -> None:
    own_valkey.kill()
    stop, database = Event(), Database(database_url)
    publisher = EventPublisher(database, RedisPublisher(own_valkey.url, stop))
    publisher.start()
    write(database_url, 1, 2)
    publisher.wake()
    own_valkey.restart()
    eventually(lambda: publisher.published == 2, 30)
    assert publisher.stop(10)
    database.close()
    assert published(own_valkey.url) == [1, 2]
