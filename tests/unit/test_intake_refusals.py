"""Refused messages: whole, with the reason, and fit to be replayed."""

import json

import pytest

from models.errors import DecodeError
from services.intake.messages import Message, Place
from services.intake.refusals import LARGEST_ORIGINAL, Refusal

PLACE = Place("discovered-strategies", 3, "42")


def refused(payload: bytes) -> Refusal:
    message = Message(place=PLACE, payload=payload, key="AAPL")
    return Refusal.decode(Refusal.of(message, "metadata", "symbol is missing").encode())


@pytest.mark.parametrize("payload", [b'{"a": "\xc3\xbc"}', b"", b"\xff\x00\x0a", b"x" * LARGEST_ORIGINAL])
def test_a_refused_message_comes_back_byte_for_byte(payload: bytes) -> None:
    refusal = refused(payload)
    assert refusal.payload() == payload
    assert (refusal.topic, refusal.key, refusal.reason) == ("discovered-strategies", "AAPL", "metadata")


def test_what_is_written_has_the_fields_of_the_contract() -> None:
    written = json.loads(Refusal.of(Message(place=PLACE, payload=b"{"), "format", "not JSON").encode())
    assert written["original_message"] == "{"
    assert written["error"] == "not JSON"
    assert written["source"] == "discovered-strategies/3@42"
    assert written["timestamp"].endswith("+00:00")


def test_of_a_huge_message_the_beginning_is_kept_and_it_is_never_replayed() -> None:
    refusal = refused(b"y" * (LARGEST_ORIGINAL + 1))
    assert len(refusal.original_message) == LARGEST_ORIGINAL
    with pytest.raises(DecodeError, match="only the beginning"):
        refusal.payload()


@pytest.mark.parametrize("stored", [b"", b"[]", b'{"error": "no original"}'])
def test_what_is_no_refusal_is_not_read_as_one(stored: bytes) -> None:
    with pytest.raises(DecodeError, match="not_a_refusal"):
        Refusal.decode(stored)


def test_the_topic_of_a_redis_stream_is_before_the_id() -> None:
    message = Message(place=Place("strategy.approved", None, "1-0"), payload=b"")
    assert Refusal.of(message, "format", "").topic == "strategy.approved"
