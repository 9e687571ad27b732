"""What is read off the wire, and every reason for refusing it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.errors import DecodeError
from models.market_data import MAX_PAYLOAD_BYTES, Bar, ControlEvent, Trade

Decoder = Callable[[bytes], object]

BAR: dict[str, Any] = {
    "symbol": "AAPL",
    "timeframe": "1m",
    "open": 100.0,
    "high": 101.5,
    "low": 99.5,
    "close": 101.0,
    "volume": 1200.0,
    "timestamp": "2026-01-28T10:00:00Z",
}
TRADE: dict[str, Any] = {
    "symbol": "BTC/USD",
    "price": 60_000.5,
    "size": 0.25,
    "timestamp": "2026-01-28T10:00:00.123456Z",
    "tickType": "trade",
}
EVENT: dict[str, Any] = {
    "action": "subscribe",
    "symbol": "AAPL",
    "type": "stock",
    "strategyId": "sma_cross",
    "sessionId": "s-1",
}
DECODERS: list[tuple[Decoder, dict[str, Any]]] = [
    (Bar.decode, BAR),
    (Trade.decode, TRADE),
    (ControlEvent.decode, EVENT),
]
BAR_PRICES = ("open", "high", "low", "close")


def wire(message: object) -> bytes:
    return json.dumps(message).encode()


def reason(decode: Decoder, payload: bytes) -> str:
    with pytest.raises(DecodeError) as refused:
        decode(payload)
    assert refused.value.detail
    assert str(refused.value) == f"{refused.value.reason}: {refused.value.detail}"
    return refused.value.reason


def test_a_bar_is_read() -> None:
    assert Bar.decode(wire(BAR)) == Bar(
        "AAPL", "1m", 100.0, 101.5, 99.5, 101.0, 1200.0, datetime(2026, 1, 28, 10, tzinfo=UTC)
    )


def test_a_trade_is_read() -> None:
    at = datetime(2026, 1, 28, 10, 0, 0, 123456, tzinfo=UTC)
    assert Trade.decode(wire(TRADE)) == Trade("BTC/USD", 60_000.5, 0.25, at)


def test_a_control_event_is_read() -> None:
    event = ControlEvent.decode(wire(EVENT))
    assert (event.action, event.symbol, event.type) == ("subscribe", "AAPL", "stock")
    assert (event.strategy_id, event.session_id) == ("sma_cross", "s-1")


def test_the_ids_of_a_control_event_may_be_absent_or_null() -> None:
    short = {name: EVENT[name] for name in ("action", "symbol", "type")}
    absent, null = ControlEvent.decode(wire(short)), ControlEvent.decode(wire({**short, "strategyId": None}))
    assert absent == null
    assert (absent.strategy_id, absent.session_id) == (None, None)


@pytest.mark.parametrize(("decode", "message"), DECODERS)
def test_unknown_fields_are_ignored(decode: Decoder, message: dict[str, Any]) -> None:
    assert decode(wire({**message, "venue": {"deep": [1, None]}})) == decode(wire(message))


@pytest.mark.parametrize("change", [{"volume": 0}, {"volume": 0.5}, {"open": 100, "close": 101}])
def test_whole_numbers_no_volume_and_fractions_of_it_are_fine(change: dict[str, Any]) -> None:
    assert all(getattr(Bar.decode(wire({**BAR, **change})), name) == value for name, value in change.items())


def test_a_bar_that_stands_still_is_fine() -> None:
    bar = Bar.decode(wire({**BAR, **dict.fromkeys(BAR_PRICES, 7)}))
    assert (bar.low, bar.high) == (7.0, 7.0)


@pytest.mark.parametrize(("decode", "message"), DECODERS[:2])
def test_the_numbers_of_a_channel_are_kept(decode: Decoder, message: dict[str, Any]) -> None:
    numbered = decode(wire({**message, "seq": 9_007_199_254_740_993, "epoch": 3}))
    assert isinstance(numbered, Bar | Trade)
    assert (numbered.seq, numbered.epoch) == (9_007_199_254_740_993, 3)


@pytest.mark.parametrize(("decode", "message"), DECODERS[:2])
def test_a_timestamp_of_any_time_zone_comes_back_in_utc(decode: Decoder, message: dict[str, Any]) -> None:
    there = decode(wire({**message, "timestamp": "2026-01-28T12:30:00+02:30"}))
    here = decode(wire({**message, "timestamp": "2026-01-28T10:00:00Z"}))
    assert isinstance(there, Bar | Trade)
    assert isinstance(here, Bar | Trade)
    assert (there, there.identity, there.timestamp.tzinfo) == (here, here.identity, UTC)


# --- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("decode", "message"), DECODERS)
@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", "not_json"),
        (b"hello", "not_json"),
        (b'{"symbol": "AAPL"', "not_json"),
        (b"{'symbol': 'AAPL'}", "not_json"),
        (b'{"symbol": "\\ud800"}', "not_json"),
        (b"[" * 60_000, "not_json|invalid_value"),
        (b'{"x": ' + b"[" * 60_000, "not_json"),
        (b"\xff\xfe", "not_utf8"),
        (b'{"symbol": "\xc3("}', "not_utf8"),
        (b"[]", "invalid_value"),
        (b"null", "invalid_value"),
        (b"3", "invalid_value"),
        (b'"subscribe"', "invalid_value"),
        (b"{}", "missing_field"),
    ],
)
def test_what_is_no_message_at_all_is_refused(
    decode: Decoder, message: dict[str, Any], payload: bytes, expected: str
) -> None:
    assert message
    assert reason(decode, payload) in expected.split("|")


@pytest.mark.parametrize(("decode", "message"), DECODERS)
def test_a_payload_of_64_kib_is_read_and_one_byte_more_refused(
    decode: Decoder, message: dict[str, Any]
) -> None:
    fits = wire(message).ljust(MAX_PAYLOAD_BYTES)
    assert decode(fits) == decode(wire(message))
    assert reason(decode, fits + b" ") == "too_large"
    assert reason(decode, b"\xff" * (MAX_PAYLOAD_BYTES + 1)) == "too_large"


@pytest.mark.parametrize(
    ("decode", "message", "field"),
    [(Bar.decode, BAR, field) for field in BAR]
    + [(Trade.decode, TRADE, field) for field in TRADE if field != "tickType"]
    + [(ControlEvent.decode, EVENT, field) for field in ("action", "symbol", "type")],
)
def test_a_missing_field_is_refused(decode: Decoder, message: dict[str, Any], field: str) -> None:
    rest = {name: value for name, value in message.items() if name != field}
    assert reason(decode, wire(rest)) == "missing_field"


NUMBERS = [(Bar.decode, BAR, field) for field in (*BAR_PRICES, "volume")] + [
    (Trade.decode, TRADE, field) for field in ("price", "size")
]


@pytest.mark.parametrize(("decode", "message", "field"), NUMBERS)
@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ('"100.0"', "invalid_value"),
        ("true", "invalid_value"),
        ("null", "invalid_value"),
        ("[100.0]", "invalid_value"),
        ("-1", "invalid_value"),
        ("1e999", "invalid_value"),
        ("1" + "0" * 400, "invalid_value"),
        ("NaN", "not_json"),
        ("Infinity", "not_json"),
        ("-Infinity", "not_json"),
        ("+1", "not_json"),
    ],
)
def test_what_is_no_finite_positive_number_is_refused(
    decode: Decoder, message: dict[str, Any], field: str, literal: str, expected: str
) -> None:
    payload = wire({**message, field: "HERE"}).replace(b'"HERE"', literal.encode())
    assert reason(decode, payload) == expected


@pytest.mark.parametrize(("decode", "message", "field"), [case for case in NUMBERS if case[2] != "volume"])
@pytest.mark.parametrize("zero", [0, 0.0, -0.0])
def test_a_price_or_size_of_nothing_is_refused(
    decode: Decoder, message: dict[str, Any], field: str, zero: float
) -> None:
    assert reason(decode, wire({**message, field: zero})) == "invalid_value"


@pytest.mark.parametrize(
    "change",
    [
        {"low": 100.5},
        {"low": 101.2},
        {"high": 100.5},
        {"high": 99.0},
        {"open": 99.0},
        {"open": 102.0},
        {"close": 99.0},
        {"close": 102.0},
        {"low": 102.0, "high": 99.0},
    ],
)
def test_a_bar_whose_high_and_low_do_not_hold_the_rest_is_refused(change: dict[str, Any]) -> None:
    assert reason(Bar.decode, wire({**BAR, **change})) == "inconsistent_bar"


@pytest.mark.parametrize(("decode", "message"), DECODERS[:2])
@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": "2026-01-28T10:00:00"},
        {"timestamp": "2026-01-28"},
        {"timestamp": "yesterday"},
        {"timestamp": "2026-02-30T10:00:00Z"},
        {"timestamp": "0001-01-01T00:00:00+14:00"},
        {"timestamp": "9999-12-31T23:59:59-14:00"},
        {"timestamp": 1769594400},
        {"timestamp": None},
        {"symbol": 5},
        {"symbol": None},
        {"seq": "1"},
        {"seq": 1.5},
        {"seq": True},
        {"epoch": "now"},
    ],
)
def test_a_field_of_the_wrong_kind_is_refused(
    decode: Decoder, message: dict[str, Any], change: dict[str, Any]
) -> None:
    assert reason(decode, wire({**message, **change})) == "invalid_value"


@pytest.mark.parametrize("timeframe", ["", "x" * 17, 1, None])
def test_a_timeframe_is_1_to_16_characters(timeframe: object) -> None:
    assert reason(Bar.decode, wire({**BAR, "timeframe": timeframe})) == "invalid_value"


def test_a_tick_that_is_no_trade_is_refused() -> None:
    assert reason(Trade.decode, wire({**TRADE, "tickType": "quote"})) == "invalid_value"


@pytest.mark.parametrize("action", ["SUBSCRIBE", "start", "", " subscribe", 1, None, ["subscribe"]])
def test_an_unknown_action_is_refused_as_such(action: object) -> None:
    assert reason(ControlEvent.decode, wire({**EVENT, "action": action})) == "unknown_action"


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": ""},
        {"symbol": "A" * 33},
        {"symbol": "AA PL"},
        {"symbol": "AAPL\n"},
        {"symbol": "*"},
        {"symbol": "A?"},
        {"symbol": "Ä"},
        {"symbol": 1},
        {"symbol": None},
        {"type": "fx"},
        {"type": "Stock"},
        {"type": None},
        {"strategyId": ""},
        {"strategyId": "x" * 129},
        {"strategyId": "a\x00b"},
        {"strategyId": "a\nb"},
        {"strategyId": 7},
        {"sessionId": ""},
        {"sessionId": "x" * 129},
        {"sessionId": "a\x7f"},
        {"sessionId": {}},
    ],
)
def test_a_control_event_of_the_wrong_shape_is_refused(change: dict[str, Any]) -> None:
    assert reason(ControlEvent.decode, wire({**EVENT, **change})) == "invalid_value"


@pytest.mark.parametrize("symbol", ["A", "BRK.B", "BTC/USD", "X:EURUSD", "a_b-c", "9" * 32])
def test_symbols_of_stocks_and_crypto_are_taken(symbol: str) -> None:
    assert ControlEvent.decode(wire({**EVENT, "symbol": symbol})).symbol == symbol


# --- whatever comes -----------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
ALMOST = st.sampled_from([message for _, message in DECODERS]).flatmap(
    lambda message: st.dictionaries(st.sampled_from(sorted(message)), JSON, max_size=2).map(
        lambda change: wire({**message, **change})
    )
)


def cut_and_bent(payload: bytes, place: int, byte: int) -> bytes:
    place %= len(payload)
    return payload[:place] + bytes([byte]) + payload[place + 1 :]


REASONS = {
    "not_json",
    "not_utf8",
    "missing_field",
    "invalid_value",
    "inconsistent_bar",
    "unknown_action",
}
BENT = st.builds(
    cut_and_bent,
    st.sampled_from([wire(message) for _, message in DECODERS]),
    st.integers(0, 500),
    st.integers(0, 255),
)


@pytest.mark.parametrize(("decode", "message"), DECODERS)
@given(payload=st.one_of(st.binary(max_size=200), JSON.map(wire), ALMOST, BENT))
@example(payload=b"\xef\xbb\xbf{}")
@example(payload=b'{"symbol":' * 3_000)
@settings(max_examples=400, deadline=None)
def test_no_bytes_raise_anything_but_a_refusal(
    decode: Decoder, message: dict[str, Any], payload: bytes
) -> None:
    outcome: object
    try:
        outcome = decode(payload)
    except DecodeError as error:
        outcome = error.reason
    assert outcome in REASONS or type(outcome) is type(decode(wire(message)))


# --- identity -----------------------------------------------------------------------------------------------


def test_bars_differ_in_identity_by_symbol_timeframe_and_time_only() -> None:
    at = datetime(2026, 1, 28, 10, tzinfo=UTC)

    def bar(symbol: str = "A", timeframe: str = "1m", close: float = 1.0, minutes: int = 0) -> str:
        return Bar(symbol, timeframe, 1.0, 2.0, 0.5, close, 0.0, at + timedelta(minutes=minutes)).identity

    assert bar() == bar(close=2.0) == "bar|A|1m|2026-01-28T10:00:00+00:00"
    assert len({bar(), bar(symbol="B"), bar(timeframe="5m"), bar(minutes=1)}) == 4


def test_trades_of_one_instant_differ_by_their_number() -> None:
    at = datetime(2026, 1, 28, 10, tzinfo=UTC)
    first, second = (Trade("A", 1.0, 2.0, at, seq=seq, epoch=1) for seq in (7, 8))
    assert first.identity != second.identity
    assert Trade("A", 1.0, 2.0, at).identity == Trade("A", 1.0, 2.0, at).identity
