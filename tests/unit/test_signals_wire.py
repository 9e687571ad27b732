"""The bytes of a signal, and their signature worked out a second time by hand."""

import hashlib
import json
from datetime import datetime, timedelta, timezone

import pytest

from models.errors import Refused
from services.signals.wire import encode, sign
from tests.sample_signals import make_signal


def test_a_body_is_the_signal_in_the_names_of_the_contract() -> None:
    signal = make_signal(
        signal_id="id-1", confidence=0.75, metadata={"why": "crossed", "levels": [1, 2.5, None]}
    )
    assert encode(signal) == (
        b'{"signalId":"id-1","sessionId":"session-1","strategyId":"mock","symbol":"AAPL","action":"BUY",'
        b'"price":100.5,"quantity":10.0,"qty":10.0,"confidence":0.75,"timestamp":"2026-01-28T10:00:00Z",'
        b'"metadata":{"why":"crossed","levels":[1,2.5,null]}}'
    )


def test_the_same_signal_always_has_the_same_body() -> None:
    signal = make_signal(metadata={"b": 1, "a": {"z": 1, "y": 2}})
    assert encode(signal) == encode(signal)


def test_a_timestamp_is_told_in_utc_down_to_the_microsecond() -> None:
    tokyo = timezone(timedelta(hours=9))
    signal = make_signal(timestamp=datetime(2026, 1, 28, 19, 0, 0, 250, tzinfo=tokyo))
    assert json.loads(encode(signal))["timestamp"] == "2026-01-28T10:00:00.000250Z"


def test_a_session_without_an_id_is_known_by_its_key() -> None:
    signal = make_signal("strat_AAPL", session_id=None)
    assert json.loads(encode(signal))["sessionId"] == "strat_AAPL"


@pytest.mark.parametrize("metadata", [{"n": 2**70}, {"half": "\ud800"}, {"both": [-(2**64), "é"]}])
def test_whatever_a_strategy_may_put_into_metadata_can_be_sent(metadata: dict[str, object]) -> None:
    assert json.loads(encode(make_signal(metadata=metadata)))["metadata"] == metadata


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(Refused, match="signal_not_encodable"):
        encode(make_signal(metadata={"object": object()}))


def test_a_signature_is_an_hmac_over_time_method_path_and_body() -> None:
    secret, message = b"s3cret", b"1800000000\nPOST\n/api/internal/execute\n" + b'{"a":1}'
    # RFC 2104, spelt out: the wire module uses the library's hmac, this does not.
    padded = secret.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + message).digest()
    expected = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).hexdigest()
    assert sign("s3cret", "1800000000", "POST", "/api/internal/execute", b'{"a":1}') == expected
