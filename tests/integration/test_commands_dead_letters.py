"""`dead-letters list`: what was refused, as it came, and harmless to look at."""

import pytest

from config import Settings
from models.errors import StorageUnavailable
from services.commands.dead_letters import newest
from services.dead_letters import PAYLOAD_BYTES, DeadLetters
from tests.integration.command_line import command, program
from tests.support import eventually, free_port


def keep(redis_url: str, *payloads: bytes) -> None:
    """Have the worker's own writer keep these messages."""
    letters = DeadLetters(redis_url)
    letters.start()
    for payload in payloads:
        letters.add("market_data:AAPL", "not_json", payload)
    eventually(lambda: letters.written == len(payloads))
    letters.stop(5)


def test_the_newest_come_first_and_no_more_than_the_limit(redis_url: str) -> None:
    keep(redis_url, *(b"letter %d" % number for number in range(5)))
    letters = newest(Settings(redis_url=redis_url), 3)
    assert [letter["payload"] for letter in letters] == ["letter 4", "letter 3", "letter 2"]
    assert letters[0]["source"] == "market_data:AAPL"
    assert letters[0]["reason"] == "not_json"
    assert letters[0]["at"] >= letters[1]["at"]
    assert letters[0]["id"] > letters[1]["id"]


def test_a_hostile_payload_is_shown_but_cannot_drive_the_terminal(redis_url: str) -> None:
    keep(redis_url, "\x1b]0;owned\x07\x1b[2J\r\n[bold]\u202egnp\x9b1m".encode() + b"\xff\x00")
    ended = program("dead-letters", "list", REDIS_URL=redis_url)
    assert ended.code == 0
    assert r"\x1b]0;owned\x07\x1b[2J\r\n[bold]\u202egnp\x9b1m\xff\x00" in ended.output
    assert all(letter.isprintable() or letter == "\n" for letter in ended.output)


def test_json_holds_payloads_whole_and_is_plain_ascii(redis_url: str) -> None:
    keep(redis_url, b"\x1b[2J" + b"x" * PAYLOAD_BYTES)
    ended = command("dead-letters", "list", "--json", REDIS_URL=redis_url)
    assert ended.code == 0
    assert ended.output.isascii()
    assert "\x1b" not in ended.output
    assert ended.json[0]["payload"] == "\x1b[2J" + "x" * (PAYLOAD_BYTES - 4)


def test_the_table_cuts_a_long_payload_and_shows_that_it_did(redis_url: str) -> None:
    keep(redis_url, b"x" * 1000)
    output = command("dead-letters", "list", REDIS_URL=redis_url).output
    assert output.count("x") == 200
    assert "…" in output


def test_without_dead_letters_it_says_so(redis_url: str) -> None:
    ended = command("dead-letters", "list", REDIS_URL=redis_url)
    assert (ended.code, ended.output.strip()) == (0, "no dead letters")
    assert command("dead-letters", "list", "--json", REDIS_URL=redis_url).json == []


def test_a_limit_that_makes_no_sense_is_wrong_use(redis_url: str) -> None:
    assert command("dead-letters", "list", "--limit", "0", REDIS_URL=redis_url).code == 2


def test_without_redis_it_says_what_to_do() -> None:
    with pytest.raises(StorageUnavailable, match="start it, or correct REDIS_URL"):
        newest(Settings(redis_url=f"redis://127.0.0.1:{free_port()}"), 1)
