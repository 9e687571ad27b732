import math
import os
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import msgspec
import pytest

from models.gap import Gap
from models.market_data import Bar, Trade
from models.session import Lifecycle
from services.sandbox.page import CallPage, map_page
from services.sandbox.protocol import (
    LONGEST_FRAME,
    BarEvent,
    Batch,
    Decided,
    Done,
    Event,
    Failed,
    FrameReader,
    FromHost,
    GapEvent,
    GetState,
    LifecycleEvent,
    LogLine,
    ProtocolViolation,
    TradeEvent,
    batch_frame,
    decode_from_host,
    decode_to_host,
    encode_event,
    frame,
)
from services.sandbox.seal import why_unsealable

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)
BAR = Bar("AAPL", "1m", 99.5, 101.0, 99.0, 100.5, 1200.0, NOON)
DECIDED = Decided(
    seq=7,
    ordinal=0,
    signal_id="6f0c",
    action="BUY",
    price=100.5,
    quantity=3.0,
    confidence=1.0,
    metadata={"why": [1, {"deep": None}]},
)
EVENTS: list[Event] = [
    BarEvent(BAR),
    TradeEvent(Trade("AAPL", 100.0, 2.0, NOON)),
    GapEvent(Gap(stream="bars", symbol="AAPL", since=NOON, until=NOON, reason="seq")),
    LifecycleEvent(Lifecycle("start", NOON)),
    GetState(),
]


def body(message: FromHost) -> bytes:
    return frame(message)[4:]


def altered(**fields: object) -> bytes:
    return msgspec.msgpack.encode({"type": "Decided", **msgspec.structs.asdict(DECIDED), **fields})


def test_a_batch_of_events_that_were_encoded_once_arrives_as_it_was() -> None:
    encoded = [encode_event(event) for event in EVENTS]
    (received,) = FrameReader(1 << 20).feed(batch_frame(40, encoded, warm_up=True))
    assert decode_to_host(received) == Batch(first=40, events=EVENTS, warm_up=True)


def test_frames_arrive_whole_however_they_are_cut() -> None:
    said: list[FromHost] = [DECIDED, LogLine(seq=7, level="info", text="crossed"), Done(seq=7)]
    stream = b"".join(frame(message) for message in said)
    for piece in (1, 3, 64, len(stream)):
        reader = FrameReader()
        heard = [
            decode_from_host(each)
            for start in range(0, len(stream), piece)
            for each in reader.feed(stream[start : start + piece])
        ]
        assert heard == said


def test_a_frame_that_is_too_long_is_refused_by_its_length_alone() -> None:
    with pytest.raises(ProtocolViolation, match="at most"):
        list(FrameReader().feed((LONGEST_FRAME + 1).to_bytes(4, "little")))


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(altered(price=math.nan), id="a price that is no number"),
        pytest.param(altered(price=math.inf), id="a price without end"),
        pytest.param(altered(quantity=-1.0), id="a negative quantity"),
        pytest.param(altered(confidence=1.5), id="more than sure"),
        pytest.param(altered(action="HOLD"), id="an action that there is not"),
        pytest.param(altered(seq=-1), id="a negative number"),
        pytest.param(altered(price="100"), id="text for a number"),
        pytest.param(altered(signal_id="a\0b"), id="a text that no database takes"),
        pytest.param(
            msgspec.msgpack.encode({"type": "LogLine", "seq": 1, "level": "info", "text": "\x1b[2J"}),
            id="a text that clears a terminal",
        ),
        pytest.param(msgspec.msgpack.encode({"type": "Load"}), id="what only a worker says"),
        pytest.param(msgspec.msgpack.encode({"type": "Done", "seq": 2**63}), id="a number too large"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x91" * 60_000, id="lists within lists"),
        pytest.param(b"\xdd\xff\xff\xff\xff", id="a list of four thousand million"),
        pytest.param(b"\xc1", id="what is no msgpack"),
        pytest.param(body(DECIDED) + b"\x00", id="more than one value"),
    ],
)
def test_what_is_not_in_the_protocol_is_refused(said: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode_from_host(said)


def test_a_failure_fits_a_frame_at_its_longest() -> None:
    failed = Failed(
        seq=1, hook="on_bar", error="E" * 128, message="é" * 500, traceback="é" * 4000, timed_out=True
    )
    assert decode_from_host(body(failed)) == failed


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_the_call_under_way_is_seen_through_the_page(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    page = CallPage()
    noted = map_page(page.descriptor)
    assert page.under_way() is None
    noted[1], noted[0] = 5_000, 7
    assert page.under_way() == (7, 5_000)
    noted[0] = 0
    assert page.under_way() is None
    page.close()


def test_a_page_cannot_be_made_smaller_under_its_reader() -> None:
    page = CallPage()
    with pytest.raises(PermissionError):
        os.ftruncate(page.descriptor, 0)
    page.close()


@pytest.mark.parametrize(("system", "machine"), [("darwin", "arm64"), ("linux", "riscv64")])
def test_where_nothing_can_be_sealed_the_reason_is_known(
    system: str, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))
    assert f"and this is {machine if system == 'linux' else system}" in str(why_unsealable())
