"""Recordings: what is written down is read again, whatever became of the writer, and files rotate."""

import errno
import os
from pathlib import Path
from typing import Literal

import pytest

from models.errors import ConfigError, StorageUnavailable
from services.history.feed import Window, open_feed
from services.history.recording import RecordingWriter, is_recording, read_recording
from services.history.replay import Message

AT = 1_769_594_400.25
MESSAGES = [
    Message(AT, "market_data:BTC/USD", b'{"symbol":"BTC/USD","close":1e-7}'),
    Message(AT, "market_trades:IBM", b'a "quoted", torn\nline and \xff\xfe no text'),
    Message(AT + 0.000001, "system:subscription_updates", "ünïcode \u2028".encode()),
]
FORMS: list[Literal["csv", "parquet"]] = ["csv", "parquet"]


@pytest.mark.parametrize("form", FORMS)
def test_a_recording_gives_back_what_was_published_byte_by_byte(
    tmp_path: Path, form: Literal["csv", "parquet"]
) -> None:
    writer = RecordingWriter(tmp_path / "new", form)
    for each in MESSAGES:
        writer.add(each)
        writer.flush(each.at)
    writer.close()

    (file,) = (tmp_path / "new").iterdir()
    assert file.name.endswith(".parquet" if form == "parquet" else ".csv.gz")
    assert is_recording(file)
    assert list(read_recording(file)) == MESSAGES
    assert list(read_recording(tmp_path / "new")) == MESSAGES


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_what_was_flushed_is_read_though_the_last_group_is_torn(tmp_path: Path, cut: int) -> None:
    writer = RecordingWriter(tmp_path)
    writer.add(MESSAGES[0])
    writer.flush(AT)
    writer.add(MESSAGES[1])
    writer.flush(AT)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])

    assert list(read_recording(file)) == MESSAGES[:1]


def test_a_message_is_on_disk_after_a_second_though_nothing_follows(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path)
    writer.add(MESSAGES[0])
    writer.flush_due(AT + 0.9)
    assert list(tmp_path.iterdir()) == []
    writer.flush_due(AT + 1.0)
    assert list(read_recording(tmp_path)) == MESSAGES[:1]


def test_what_waits_is_bounded_by_its_size(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path)
    for _ in range(30):
        writer.add(Message(AT, "market_data:IBM", b"x" * 60_000))
    assert 0 < writer.messages - writer.written <= 18


def test_files_are_rotated_by_size_and_by_time_and_read_in_their_order(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path, rotate_bytes=1, rotate_seconds=60)
    for number in range(3):
        writer.add(Message(AT + number, "market_data:IBM", str(number).encode()))
        writer.flush(AT + number)
    assert len(list(tmp_path.iterdir())) == 3

    writer = RecordingWriter(tmp_path, rotate_seconds=60)
    for number in (3, 4):
        writer.add(Message(AT + 100 * number, "market_data:IBM", str(number).encode()))
        writer.flush_due(AT + 100 * number + 1)
        writer.flush_due(AT + 100 * number + 61)
    writer.close()
    assert len(list(tmp_path.iterdir())) == 5
    assert [each.payload for each in read_recording(tmp_path)] == [b"0", b"1", b"2", b"3", b"4"]


def test_what_a_killed_recorder_left_becomes_parquet_with_the_next_one(tmp_path: Path) -> None:
    killed = RecordingWriter(tmp_path)
    killed.add(MESSAGES[0])
    killed.flush(AT)

    RecordingWriter(tmp_path, "parquet").close()

    (file,) = tmp_path.iterdir()
    assert (file.suffix, list(read_recording(file))) == (".parquet", MESSAGES[:1])


def test_a_full_disk_is_said_with_the_name_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = RecordingWriter(tmp_path)
    writer.add(MESSAGES[0])
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageUnavailable, match=r"recording-.* cannot be written: No space left"):
        writer.flush(AT)


def test_files_that_begin_at_one_moment_have_names_of_their_own(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path, rotate_bytes=1)
    for each in MESSAGES:
        writer.add(each)
        writer.flush(AT)
    assert list(read_recording(tmp_path)) == MESSAGES


def test_a_folder_without_recordings_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no recordings"):
        list(open_feed(tmp_path, Window()).messages)


def test_a_file_of_something_else_is_no_recording(tmp_path: Path) -> None:
    bars = tmp_path / "bars.csv"
    bars.write_text("symbol,timestamp,open,high,low,close,volume\n")
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(b"\x1f\x8bnothing")
    assert not is_recording(bars)
    assert not is_recording(broken)
