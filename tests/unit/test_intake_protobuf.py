"""The protobuf message DiscoveredStrategy, as Google's own library writes it."""

import base64
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    struct_pb2,
    timestamp_pb2,
)

from models.errors import DecodeError
from services.intake.discovered import DiscoveredReader
from services.intake.discovered_protobuf import decode_protobuf
from tests.discoveries import NOW, message

FIELD = descriptor_pb2.FieldDescriptorProto
START = datetime(2025, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)
END = datetime(2026, 1, 1, tzinfo=UTC)


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="discovered_for_tests.proto",
        package="discovery",
        syntax="proto3",
        dependency=[any_pb2.DESCRIPTOR.name, timestamp_pb2.DESCRIPTOR.name],
    )
    inner = file.message_type.add(name="Strategy")
    inner.field.add(
        name="parameters", number=2, type=FIELD.TYPE_MESSAGE, type_name=".google.protobuf.Any", label=1
    )
    inner.field.add(name="strategy_name", number=3, type=FIELD.TYPE_STRING, label=1)
    outer = file.message_type.add(name="DiscoveredStrategy")
    outer.field.add(
        name="strategy", number=1, type=FIELD.TYPE_MESSAGE, type_name=".discovery.Strategy", label=1
    )
    outer.field.add(name="score", number=2, type=FIELD.TYPE_DOUBLE, label=1)
    outer.field.add(name="symbol", number=3, type=FIELD.TYPE_STRING, label=1)
    for number, name in ((4, "start_time"), (5, "end_time")):
        outer.field.add(
            name=name, number=number, type=FIELD.TYPE_MESSAGE, type_name=".google.protobuf.Timestamp", label=1
        )
    pool = descriptor_pool.DescriptorPool()
    for known in (any_pb2, timestamp_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    return dict(message_factory.GetMessages([file], pool=pool))


DISCOVERED = _classes()["discovery.DiscoveredStrategy"]


def written(parameters: dict[str, Any] | None = None, **fields: Any) -> bytes:
    found = DISCOVERED(score=0.75, symbol="ETH/USD", **fields)
    found.strategy.strategy_name = "SMA_RSI"
    if parameters is not None:
        structure = struct_pb2.Struct()
        structure.update(parameters)
        found.strategy.parameters.type_url = "type.googleapis.com/google.protobuf.Struct"
        found.strategy.parameters.value = structure.SerializeToString()
    found.start_time.FromDatetime(START)
    found.end_time.FromDatetime(END)
    serialized: bytes = found.SerializeToString()
    return serialized


def test_every_field_comes_through() -> None:
    parameters = {"period": 14.0, "name": "ü", "on": True, "none": None, "deep": {"list": [1.5, [], {}]}}
    strategy = DiscoveredReader("protobuf", lambda _: None).read(message(written(parameters)), NOW)
    assert strategy.parameters == parameters
    assert (strategy.symbol, strategy.strategy_type, strategy.current_score) == ("ETH/USD", "SMA_RSI", 0.75)
    assert (strategy.discovery_start_time, strategy.discovery_end_time) == (START, END)
    assert strategy.evaluated_at == END


def test_parameters_of_another_message_type_are_kept_as_bytes() -> None:
    found = DISCOVERED(score=1, symbol="A")
    found.strategy.strategy_name = "SMA_RSI"
    found.strategy.parameters.type_url = "type.googleapis.com/strategies.SmaRsiParameters"
    found.strategy.parameters.value = b"\x08\x14"
    assert decode_protobuf(found.SerializeToString())["parameters"] == {
        "@type": "type.googleapis.com/strategies.SmaRsiParameters",
        "value": base64.b64encode(b"\x08\x14").decode(),
    }


def test_times_before_1970_have_negative_seconds() -> None:
    found = DISCOVERED()
    found.start_time.FromDatetime(datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC))
    assert decode_protobuf(found.SerializeToString())["discovery_start_time"].second == 59


def test_fields_of_a_later_version_are_skipped() -> None:
    newer = b"\x30\x96\x01" + b"\x3d\x00\x00\x00\x00" + b"\x41" + b"\x00" * 8 + b"\x4a\x02ab"
    assert decode_protobuf(written({}) + newer) == decode_protobuf(written({}))


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff",
        b"\x0a\x7f",
        b"\x0b\x0c",
        b"\x11\x00",
        b"\x80" * 11,
        b"\x1a\x01\xff",
        b"\x02\x00",
        b'{"symbol":1}',
    ],
)
def test_what_is_malformed_fails_the_check_of_the_format(payload: bytes) -> None:
    with pytest.raises(DecodeError) as refused:
        decode_protobuf(payload)
    assert refused.value.reason == "format"


def test_every_beginning_of_a_message_is_read_or_refused() -> None:
    whole = written({"a": [1.0, {"b": "c"}]})
    reader = DiscoveredReader("protobuf", lambda _: None)
    for size in range(len(whole)):
        with suppress(DecodeError):
            reader.read(message(whole[:size]), NOW)


def test_a_message_without_a_name_fails_the_check_of_metadata() -> None:
    with pytest.raises(DecodeError) as refused:
        DiscoveredReader("protobuf", lambda _: None).read(message(b""), NOW)
    assert refused.value.reason == "metadata"


def test_a_score_that_is_no_number_fails_the_check_of_performance() -> None:
    found = DISCOVERED(score=float("nan"), symbol="A")
    found.strategy.strategy_name = "T"
    with pytest.raises(DecodeError) as refused:
        DiscoveredReader("protobuf", lambda _: None).read(message(found.SerializeToString()), NOW)
    assert refused.value.reason == "performance"
