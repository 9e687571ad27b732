"""The kill switch against a real Valkey that goes away, comes back and forgets."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from services.embedded import EmbeddedValkey
from services.risk.kill_switch import HALT, Halt, KillSwitch, SwitchBoard
from tests.integration.command_line import command
from tests.support import eventually, free_port


class Watched:
    """A kill switch, what it told, and a board to set it with."""

    def __init__(self, url: str) -> None:
        self.told: list[Halt | None] = []
        self.client = redis.Redis.from_url(url, protocol=2)
        self.board = SwitchBoard(self.client)
        self.switch = KillSwitch(url, self.told.append)

    def says(self, reason: str | None) -> None:
        eventually(lambda: self.switch.reason == reason, message=f"the reason is {reason}")


@contextmanager
def watched(url: str) -> Iterator[Watched]:
    made = Watched(url)
    made.switch.start()
    try:
        yield made
    finally:
        made.switch.stop(5.0)
        made.client.close()


def test_a_halt_is_known_when_start_returns_and_ends_with_a_resume(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        SwitchBoard(client).halt("fire drill", "ann")
    with watched(redis_url) as made:
        assert made.switch.is_known
        assert made.switch.reason == "fire drill (by ann)"
        was = made.board.resume("bob")
        assert was is not None
        assert was.reason == "fire drill"
        made.says(None)
        made.board.halt("another", "")
        made.says("another")
    assert [each if each is None else each.reason for each in made.told] == ["fire drill", None, "another"]


def test_whatever_is_in_the_key_is_a_halt(redis_url: str) -> None:
    with watched(redis_url) as made:
        made.client.set(HALT, b"\xff not JSON")
        made.says("the key strategy_worker:halt is set, but cannot be read")
        made.client.set(HALT, json.dumps({"reason": "by hand", "more": 1}))
        made.says("by hand")
        made.client.delete(HALT)
        made.says(None)


def test_nothing_may_be_sent_before_redis_has_answered(own_valkey: EmbeddedValkey) -> None:
    url = own_valkey.url
    own_valkey.kill()
    with watched(url) as made:
        assert not made.switch.is_known
        assert made.switch.reason is not None
        own_valkey.restart()
        made.says(None)


def test_what_was_known_last_holds_while_redis_is_away(own_valkey: EmbeddedValkey) -> None:
    with watched(own_valkey.url) as made:
        made.board.halt("fire drill", "")
        made.says("fire drill")
        own_valkey.kill()
        with pytest.raises(redis.RedisError):
            made.client.ping()
        assert made.switch.reason == "fire drill"
        assert made.switch.is_known


def test_a_server_that_forgot_the_halt_is_told_of_it_again(own_valkey: EmbeddedValkey) -> None:
    with watched(own_valkey.url) as made:
        made.board.halt("fire drill", "ann")
        made.says("fire drill (by ann)")
        own_valkey.kill()
        own_valkey.restart()
        eventually(lambda: made.client.exists(HALT), message="the halt is back")
        assert made.switch.reason == "fire drill (by ann)"
        made.board.resume("ann")
        made.says(None)
        assert not made.client.exists(HALT)


def test_a_word_to_resume_counts_also_where_the_server_was_restarted(own_valkey: EmbeddedValkey) -> None:
    with watched(own_valkey.url) as made:
        made.board.halt("fire drill", "")
        made.says("fire drill")
        own_valkey.pause()
        own_valkey.resume()
        own_valkey.kill()
        own_valkey.restart()
        made.board.resume("ann")
        made.says(None)


def test_a_word_to_resume_counts_also_in_the_moment_in_which_the_halt_is_set_again(
    own_valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watched(own_valkey.url) as made:
        made.board.halt("fire drill", "")
        made.says("fire drill")
        ask = made.switch._run_id  # noqa: SLF001 — the moment between its two questions is short
        people = iter(["ann"])

        def resumed_meanwhile() -> str:
            for name in people:
                made.board.resume(name)
            return ask()

        own_valkey.kill()
        monkeypatch.setattr(made.switch, "_run_id", resumed_meanwhile)
        own_valkey.restart()
        made.says(None)


def test_the_commands_say_what_they_did(redis_url: str) -> None:
    halted = command("halt", "--reason", "fire drill", "--by", "ann", "--json", REDIS_URL=redis_url)
    assert {**halted.json, "at": None} == {"halted": True, "reason": "fire drill", "at": None, "by": "ann"}
    forgiven = command("resume", "--account", "sessions", REDIS_URL=redis_url)
    assert forgiven.output == (
        "the daily loss of sessions is forgiven\ntrading is still halted: fire drill (by ann)\n"
    )
    assert command("resume", "--json", REDIS_URL=redis_url).json == {"halted": False, "account": None}
    assert command("resume", REDIS_URL=redis_url) == (0, "trading is resumed\n")
    away = command("halt", REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    assert away.code == 1
    assert "cannot be reached" in away.output
