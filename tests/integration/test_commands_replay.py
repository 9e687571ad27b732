"""`record` and `replay`, as a shell runs them: what was published is published again."""

import json
import sys
from pathlib import Path

import pytest
import redis

from models.errors import StrategyWorkerError
from services.history import recording
from services.history.recording import RecordingWriter, read_recording
from tests.integration.command_line import command
from tests.support import REPOSITORY, eventually, running_process

BARS = "symbol,timestamp,open,high,low,close,volume\nIBM,2026-01-28,1,1,1,1,10\nIBM,2026-01-29,2,2,2,2,20\n"
PAYLOADS = [f'{{"number": {number}}}'.encode() for number in range(50)]


def test_what_a_recorder_that_is_killed_had_flushed_is_replayed(redis_url: str, tmp_path: Path) -> None:
    words = [sys.executable, str(REPOSITORY / "main.py"), "record", str(tmp_path / "kept")]
    with (
        redis.Redis.from_url(redis_url) as client,
        running_process(words, {"REDIS_URL": redis_url}) as recorder,
    ):
        eventually(lambda: client.publish("market_data:IBM", b"first") > 0)
        for payload in PAYLOADS:
            client.publish("market_trades:BTC/USD", payload)
        eventually(lambda: (tmp_path / "kept").exists() and len(_payloads(tmp_path)) == len(PAYLOADS))
        recorder.kill()
        recorder.wait()

    assert _payloads(tmp_path) == PAYLOADS
    replayed = command("replay", str(tmp_path / "kept"), "--speed", "max", "--json", REDIS_URL=redis_url)
    assert (replayed.code, replayed.json) == (0, {"kind": "recording", "published": 51, "unheard": 51})


def test_bars_of_a_file_are_replayed_with_a_script(redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "bars.csv").write_text(BARS)
    event = {"at": "2026-01-28T12:00:00Z", "action": "unsubscribe", "symbol": "IBM", "type": "stock"}
    (tmp_path / "script.jsonl").write_text(json.dumps(event))
    words = ["--data", str(tmp_path / "bars.csv"), "--script", str(tmp_path / "script.jsonl"), "--json"]
    with redis.Redis.from_url(redis_url) as client, client.pubsub() as heard:
        heard.psubscribe("*")
        assert heard.get_message(timeout=5) is not None
        replayed = command("replay", *words, "--speed", "1000000", REDIS_URL=redis_url)
        channels = [(heard.get_message(timeout=5) or {}).get("channel") for _ in range(3)]
    assert (replayed.code, replayed.json) == (0, {"kind": "bars", "published": 3, "unheard": 0})
    assert channels == [b"market_data:IBM", b"system:subscription_updates", b"market_data:IBM"]


@pytest.mark.parametrize(
    ("window", "published"),
    [
        ((), 2),
        (("--from", "2026-01-28T00:00:01"), 1),
        (("--to", "2026-01-29"), 1),
        (("--from", "2026-01-28", "--to", "2026-01-30"), 2),
    ],
)
def test_of_a_file_the_window_is_replayed_and_no_pause_is_longer_than_is_wanted(
    redis_url: str, tmp_path: Path, window: tuple[str, ...], published: int
) -> None:
    (tmp_path / "bars.csv").write_text(BARS)  # a day from one to the next
    words = ("replay", str(tmp_path / "bars.csv"), *window, "--longest-pause", "0.01", "--json")
    assert command(*words, REDIS_URL=redis_url).json["published"] == published


def test_a_recording_is_kept_in_the_form_and_the_files_that_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def writer(folder: Path, form: str, *, rotate_bytes: int, rotate_seconds: float) -> RecordingWriter:
        asked.append((folder, form, rotate_bytes, rotate_seconds))
        raise StrategyWorkerError("that is all")

    monkeypatch.setattr(recording, "RecordingWriter", writer)
    words = ("record", str(tmp_path), "--format", "parquet", "--rotate-mb", "3", "--rotate-minutes", "1.5")
    assert command(*words).code == 1
    assert asked == [(tmp_path, "parquet", 3 * 1024 * 1024, 90.0)]


def test_wrong_use_is_said_and_a_redis_that_is_away_too(tmp_path: Path) -> None:
    (tmp_path / "bars.csv").write_text(BARS)
    file = str(tmp_path / "bars.csv")
    assert command("replay").code == 2
    assert command("replay", file, "--speed", "0").code == 2
    assert command("replay", str(tmp_path / "missing.csv")).code == 2
    away = command("replay", file, "--speed", "max", REDIS_URL="redis://127.0.0.1:1")
    assert away.code == 1
    assert "Redis" in away.output


def _payloads(folder: Path) -> list[bytes]:
    kept = folder / "kept"
    if not any(kept.iterdir()):
        return []
    return [each.payload for each in read_recording(kept) if each.channel == "market_trades:BTC/USD"]
