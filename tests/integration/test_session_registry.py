"""The registry of sessions against a real Valkey: what it gives is never older than what the worker knows."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from threading import Event
from typing import Any

import pytest
import redis

from services.session_registry import REGISTRY, SessionRegistry
from tests.support import eventually

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)
PATIENCE = 10.0


def entry(key: str, **changed: Any) -> dict[str, Any]:
    """A session as the worker describes it."""
    described = {
        "key": key,
        "symbol": "AAPL",
        "type": "stock",
        "strategyId": "mock",
        "sessionId": key,
        "state": "RUNNING",
        "reason": None,
        "startedAt": NOON.isoformat(),
    }
    return described | changed


class Registered:
    """A registry whose writer can be held in the middle of its work."""

    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url, protocol=2)
        self.registry = SessionRegistry(url, "worker-1")
        self.held: dict[str, dict[str, Any]] = {}
        self.may_write = Event()
        self.may_write.set()
        self.is_writing = Event()
        self.registry.start(self._describe)

    def change(self, *sessions: dict[str, Any], gone: str | None = None) -> None:
        """Have sessions written, and one removed."""
        for session in sessions:
            self.held[session["key"]] = session
        if gone is not None:
            del self.held[gone]
        for key in (*(session["key"] for session in sessions), *([gone] if gone else [])):
            self.registry.changed(key)

    def written(self) -> set[str]:
        entries: Any = self.client.hgetall(REGISTRY)
        return {key.decode() for key in entries}

    def _describe(self) -> list[dict[str, Any]]:
        self.is_writing.set()
        self.may_write.wait(PATIENCE)
        return list(self.held.values())


@pytest.fixture
def registered(redis_url: str) -> Iterator[Registered]:
    made = Registered(redis_url)
    yield made
    made.may_write.set()
    made.registry.stop(PATIENCE)
    made.client.close()


def test_what_was_written_is_given(registered: Registered) -> None:
    registered.change(entry("s1"), entry("s2", state="HALTED", reason="why"))
    records = eventually(lambda: read if len(read := registered.registry.load()) == 2 else None)
    assert records["s1"].identity.started_at == NOON
    assert (records["s2"].state, records["s2"].reason) == ("HALTED", "why")


def test_a_session_whose_end_is_still_to_be_written_is_not_given(registered: Registered) -> None:
    registered.change(entry("s1"), entry("s2"))
    eventually(lambda: registered.written() == {"s1", "s2"})
    registered.is_writing.clear()
    registered.may_write.clear()
    registered.change(gone="s1")
    assert registered.is_writing.wait(PATIENCE)
    assert registered.written() == {"s1", "s2"}  # Redis is behind
    assert registered.registry.load().keys() == {"s2"}
    registered.change(gone="s2")  # not even begun to be written
    assert registered.registry.load().keys() == set()
    registered.may_write.set()
    eventually(lambda: registered.written() == set())


def test_a_change_that_is_written_while_the_registry_is_read_is_not_given_as_it_was(redis_url: str) -> None:
    """The reply to the reading is from before the writing, and comes after it."""
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        client.hset(REGISTRY, "s1", json.dumps(entry("s1")))

    class Slow(redis.Redis):
        def hgetall(self, name: str) -> Any:  # type: ignore[override]  # as the worker calls it
            reply = super().hgetall(name)
            registry.changed("s1")
            eventually(lambda: not self.exists(name))
            return reply

    registry = SessionRegistry(redis_url, "worker-1")
    registry._client = Slow.from_url(redis_url, protocol=2)  # noqa: SLF001 — a client that is held up
    registry.start(list)
    try:
        assert registry.load().keys() == set()
    finally:
        registry.stop(PATIENCE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"symbol": "AAPL\n"},
        {"symbol": ""},
        {"symbol": "A A"},
        {"symbol": "x" * 33},
        {"startedAt": "2026-01-28T12:00:00"},
        {"state": "RUNS"},
        {"type": "bond"},
        {"strategyId": None},
    ],
)
def test_an_entry_that_a_worker_would_not_have_written_is_left_out(
    registered: Registered, wrong: dict[str, Any]
) -> None:
    registered.client.hset(REGISTRY, "bad", json.dumps(entry("bad", **wrong)))
    registered.client.hset(REGISTRY, "good", json.dumps(entry("good")))
    assert registered.registry.load().keys() == {"good"}
