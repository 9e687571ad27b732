"""When the worker counts as alive, and when as ready."""

import time

from services.telemetry.health import Conditions, Health, Heartbeat


def test_a_heartbeat_ages_from_its_last_beat() -> None:
    before = time.monotonic()
    heartbeat = Heartbeat()
    assert 9.5 < heartbeat.age(before + 10) <= 10
    time_of_beat = time.monotonic()
    heartbeat.beat()
    assert heartbeat.age(time_of_beat) == 0


def test_health_names_the_threads_that_have_not_beaten_for_too_long() -> None:
    now = time.monotonic()
    heartbeats = {"control": Heartbeat(), "data": Heartbeat()}
    assert Health.of(heartbeats, limit=5, now=now).ok
    late = Health.of(heartbeats, limit=5, now=now + 6)
    assert not late.ok
    assert late.stuck == ("control", "data")
    assert late.ages["data"] > 5


def test_a_worker_is_ready_when_no_condition_gives_a_reason() -> None:
    reasons: dict[str, str | None] = {"control": "not subscribed", "database": None}
    conditions = Conditions()
    conditions.add("control", lambda: reasons["control"])
    conditions.add("database", lambda: reasons["database"])
    assert conditions.readiness().missing == {"control": "not subscribed"}
    assert not conditions.readiness().ready
    reasons["control"] = None
    assert conditions.readiness().ready


def test_without_conditions_a_worker_is_ready() -> None:
    assert Conditions().readiness().ready
