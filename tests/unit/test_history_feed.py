"""What a file has to say over Redis: bars, trades and the script of the sessions, in a window of time."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.errors import ConfigError
from models.market_data import Bar, Trade
from services.history.feed import Window, open_feed
from services.history.recording import RecordingWriter
from services.history.replay import Message
from services.history.session_script import with_script

BARS = """symbol,timestamp,open,high,low,close,volume
IBM,2026-01-28T10:00:00Z,1,1,1,1,10
IBM,2026-01-28T10:01:00Z,2,2,2,2,20
MSFT,2026-01-28T10:00:00Z,3,3,3,3,30
MSFT,2026-01-28T10:01:00Z,4,4,4,4,40
"""
TRADES = """symbol,timestamp,price,size
IBM,2026-01-28T10:00:00.500Z,10.5,3
IBM,2026-01-28T10:00:00.250Z,10.25,7
"""
SUBSCRIBE = {"at": "2026-01-28T10:00:30Z", "action": "subscribe", "symbol": "IBM", "type": "stock"}


def _written(folder: Path, text: str) -> Path:
    file = folder / "data.csv"
    file.write_text(text)
    return file


def test_bars_come_in_times_order_each_on_its_channel(tmp_path: Path) -> None:
    feed = open_feed(_written(tmp_path, f"{BARS}MSFT,2026-01-28T09:00:00Z,5,5,5,5,50\n"), Window())
    assert (feed.kind, feed.total, feed.left_out) == ("bars", 4, 1)  # one comes after a later one
    assert [(each.channel, Bar.decode(each.payload).close) for each in feed.messages] == [
        ("market_data:IBM", 1.0),
        ("market_data:MSFT", 3.0),
        ("market_data:IBM", 2.0),
        ("market_data:MSFT", 4.0),
    ]


def test_a_window_holds_its_start_and_not_its_end(tmp_path: Path) -> None:
    file = _written(tmp_path, BARS)
    middle = datetime(2026, 1, 28, 10, 1, tzinfo=UTC)
    before = [Bar.decode(each.payload) for each in open_feed(file, Window(end=middle)).messages]
    after = [
        Bar.decode(each.payload) for each in open_feed(file, Window(middle.replace(tzinfo=None))).messages
    ]
    assert [bar.close for bar in before] == [1.0, 3.0]
    assert [(bar.close, bar.timeframe) for bar in after] == [(2.0, "1m"), (4.0, "1m")]


def test_trades_are_told_from_bars_by_their_columns(tmp_path: Path) -> None:
    feed = open_feed(_written(tmp_path, TRADES), Window())
    first, second = feed.messages
    assert feed.kind == "trades"
    assert first.channel == "market_trades:IBM"
    assert Trade.decode(first.payload) == Trade(
        "IBM", 10.25, 7.0, datetime(2026, 1, 28, 10, 0, 0, 250_000, tzinfo=UTC)
    )
    assert second.at - first.at == 0.25


@pytest.mark.parametrize("row", ["IBM,yesterday,1,1", "IBM,2026-01-28,0,1", "IBM,2026-01-28,1,nan", "IBM"])
def test_a_row_that_is_no_trade_is_named_by_its_line(tmp_path: Path, row: str) -> None:
    with pytest.raises(ConfigError, match="line 4 is no trade"):
        open_feed(_written(tmp_path, f"{TRADES}{row}\n"), Window())


def test_a_script_of_lines_starts_sessions_between_the_bars(tmp_path: Path) -> None:
    feed = open_feed(_written(tmp_path, TRADES + "IBM,2026-01-28T10:01:00Z,11,1\n"), Window())
    script = tmp_path / "script.jsonl"
    script.write_text(json.dumps(SUBSCRIBE) + "\n\n")
    channels = [each.channel for each in with_script(feed.messages, script, Window())]
    assert channels == ["market_trades:IBM"] * 2 + ["system:subscription_updates", "market_trades:IBM"]


def test_control_events_of_a_recording_are_replayed_where_it_is_the_script(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path)
    recorded = [
        Message(1.0, "system:subscription_updates", json.dumps(SUBSCRIBE).encode()),
        Message(2.0, "market_data:IBM", b"{}"),
    ]
    for each in recorded:
        writer.add(each)
    writer.close()
    feed = open_feed(tmp_path, Window())
    assert list(with_script(feed.messages, tmp_path, Window())) == recorded
    assert list(open_feed(tmp_path, Window()).messages) == recorded[1:]


def _script(folder: Path, *events: tuple[str, str, dict[str, str]]) -> Path:
    """Write a script of (time of day, action, further fields)."""
    lines = [
        json.dumps(SUBSCRIBE | {"at": f"2026-01-28T{at}Z", "action": action} | fields)
        for at, action, fields in events
    ]
    script = folder / "script.jsonl"
    script.write_text("\n".join(lines))
    return script


def _told(script: Path, window: Window) -> list[tuple[str, str, str]]:
    """Give what is told in this window: the time of day, and what of which session."""
    told = []
    for each in with_script([], script, window):
        event = json.loads(each.payload)
        at = datetime.fromtimestamp(each.at, UTC)
        told.append(
            (f"{at:%H:%M}", event["action"], event.get("sessionId") or event.get("strategyId") or "-")
        )
    return told


def test_a_window_begins_with_the_sessions_that_were_running_then(tmp_path: Path) -> None:
    script = _script(
        tmp_path,
        ("09:00:00", "subscribe", {"sessionId": "stays"}),
        ("09:01:00", "subscribe", {"sessionId": "ended"}),
        ("09:02:00", "subscribe", {"sessionId": "stays"}),
        ("09:03:00", "unsubscribe", {"sessionId": "ended"}),
        ("10:00:00", "subscribe", {"sessionId": "at the start"}),
        ("10:30:00", "unsubscribe", {"sessionId": "stays"}),
        ("11:00:00", "subscribe", {"sessionId": "too late"}),
    )
    window = Window(datetime(2026, 1, 28, 10), datetime(2026, 1, 28, 11, tzinfo=UTC))  # noqa: DTZ001 — UTC
    assert _told(script, window) == [
        ("10:00", "subscribe", "stays"),
        ("10:00", "subscribe", "at the start"),
        ("10:30", "unsubscribe", "stays"),
    ]


@pytest.mark.parametrize(
    ("stopped", "left"),
    [
        ({"sessionId": "one"}, ["two", "mock", "other"]),
        ({"strategyId": "mock"}, ["other"]),
        ({}, []),
        ({"symbol": "MSFT"}, ["one", "two", "mock", "other"]),
    ],
)
def test_what_was_stopped_before_a_window_is_stopped_as_a_worker_does(
    tmp_path: Path, stopped: dict[str, str], left: list[str]
) -> None:
    script = _script(
        tmp_path,
        ("09:00:00", "subscribe", {"sessionId": "one", "strategyId": "mock"}),
        ("09:00:00", "subscribe", {"sessionId": "two", "strategyId": "mock"}),
        ("09:00:00", "subscribe", {"strategyId": "mock"}),
        ("09:00:00", "subscribe", {"strategyId": "other"}),
        ("09:01:00", "unsubscribe", stopped),
    )
    window = Window(datetime(2026, 1, 28, 10, tzinfo=UTC))
    assert [name for _, _, name in _told(script, window)] == left


@pytest.mark.parametrize(
    "line",
    ["{}", "no json", json.dumps(SUBSCRIBE | {"action": "start"}), json.dumps(SUBSCRIBE | {"at": "x"})],
)
def test_a_line_that_is_no_event_is_named(tmp_path: Path, line: str) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text(f"{json.dumps(SUBSCRIBE)}\n{line}\n")
    with pytest.raises(ConfigError, match="line 2"):
        list(with_script([], script, Window()))
