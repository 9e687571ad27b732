"""What a frozen or crashed worker leaves behind, and whom it is laid to at the next start."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.errors import StrategyTimedOut
from models.market_data import Bar, Trade
from services.freezes import guard
from services.freezes.records import Records, private_folder
from services.freezes.suspects import Suspects
from strategies.base_strategy import BaseStrategy
from tests.support import eventually

REDIS = "redis://:secret@localhost:6379/0"
FROZE = '{"at": "2026-11-21T04:39:30+00:00", "seconds": 10.4}\nFatal Python error: Aborted\n\n'


class Freezing(BaseStrategy):
    def on_bar(self, bar: Bar) -> None:
        pass

    def on_trade(self, trade: Trade) -> None:
        pass


class Heir(Freezing):
    def on_trade(self, trade: Trade) -> None:
        pass


class Innocent(BaseStrategy):
    def on_bar(self, bar: Bar) -> None:
        pass

    def on_trade(self, trade: Trade) -> None:
        pass


CLASSES = (Freezing, Heir, Innocent)
LINE = Freezing.on_bar.__code__.co_firstlineno + 1


def stack(*frames: str, current: bool = True) -> str:
    called = "Current thread" if current else "Thread"
    lines = "\n".join(f"  File {frame}" for frame in frames)
    return f"{called} 0x00007fdb62ffd6c0 (most recent call first):\n{lines}\n\n"


def in_handler(line: int = LINE, function: str = "on_bar") -> str:
    return stack(
        '"/usr/lib/python3.11/re/__init__.py", line 166 in match',
        f'"{__file__}", line {line} in {function}',
        '"/srv/services/session.py", line 271 in deliver_bar',
    )


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path, REDIS)


def suspects_after(records: Records, tmp_path: Path, text: str) -> Suspects:
    """Leave a file as an ended run does, and look at it as the next one does."""
    own = records.begin()
    assert own is not None
    own.path.write_text(text)
    own.file.close()
    suspects = Suspects(Records(tmp_path, REDIS.replace("secret", "changed")))
    suspects.look(CLASSES)
    return suspects


def held(suspects: Suspects) -> dict[str, str]:
    reasons = {}
    for each in CLASSES:
        try:
            suspects.check(each, "s1")
        except StrategyTimedOut as error:
            reasons[each.__name__] = str(error)
    return reasons


def test_a_freeze_is_laid_to_the_classes_that_have_the_method_it_was_in(
    records: Records, tmp_path: Path
) -> None:
    reasons = held(suspects_after(records, tmp_path, FROZE + in_handler()))
    told = f"froze the worker at 2026-11-21T04:39:30+00:00 in on_bar, test_freezes.py line {LINE}; "
    assert reasons == dict.fromkeys(["Freezing", "Heir"], told + "session resume brings it back")


def test_a_freeze_in_a_file_that_changed_since_is_laid_to_every_class_of_it(
    records: Records, tmp_path: Path
) -> None:
    reasons = held(suspects_after(records, tmp_path, FROZE + in_handler(line=10_000)))
    assert set(reasons) == {"Freezing", "Heir", "Innocent"}


def test_a_crash_is_laid_to_the_strategy_of_the_thread_that_crashed(records: Records, tmp_path: Path) -> None:
    sleeping = stack(f'"{__file__}", line {Innocent.on_bar.__code__.co_firstlineno} in on_bar', current=False)
    reasons = held(
        suspects_after(
            records, tmp_path, "Fatal Python error: Segmentation fault\n\n" + sleeping + in_handler()
        )
    )
    assert set(reasons) == {"Freezing", "Heir"}
    assert reasons["Heir"].startswith("crashed the worker at 20")


@pytest.mark.parametrize(
    "text", [FROZE + stack('"/srv/main.py", line 3 in main'), FROZE, "{", "{}\nCurrent thread"]
)
def test_what_tells_of_no_strategy_holds_none_and_is_removed(
    records: Records, tmp_path: Path, text: str
) -> None:
    assert held(suspects_after(records, tmp_path, text)) == {}
    assert list(tmp_path.rglob("*.stacks")) == []


def test_a_class_is_held_until_a_person_has_one_of_its_sessions_resumed(
    records: Records, tmp_path: Path
) -> None:
    suspects = suspects_after(records, tmp_path, FROZE + in_handler())
    again = Suspects(Records(tmp_path, REDIS))
    again.look(CLASSES)
    suspects.pardon("s2")
    assert set(held(suspects)) == set(held(again)) == {"Freezing", "Heir"}
    suspects.check(Heir, "s2")
    assert held(suspects) == held(again) == {}  # for every worker that shares the folder
    suspects.check(Freezing, "s1")


def test_a_run_that_goes_on_has_left_nothing_behind(records: Records, tmp_path: Path) -> None:
    own = records.begin()
    assert own is not None
    own.file.write(b"text")
    assert Records(tmp_path, REDIS).left_behind() == []
    records.end()
    assert list(tmp_path.rglob("*.stacks")) == []


def test_workers_on_another_redis_have_records_of_their_own(records: Records, tmp_path: Path) -> None:
    own = records.begin()
    assert own is not None
    own.file.write(b"text")
    own.file.close()
    assert Records(tmp_path, "redis://elsewhere").left_behind() == []
    assert [left.text for left in Records(tmp_path, REDIS).left_behind()] == ["text"]


def test_a_run_that_was_killed_leaves_nothing_to_be_remembered(records: Records, tmp_path: Path) -> None:
    own = records.begin()
    assert own is not None
    own.file.close()
    assert Records(tmp_path, REDIS).left_behind() == []
    assert not own.path.exists()


def test_the_folder_is_for_this_user_alone(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "run")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert private_folder(tmp_path / "run") == folder


def test_a_folder_that_others_can_open_or_that_is_a_link_is_not_used(tmp_path: Path) -> None:
    folder = private_folder(tmp_path)
    folder.chmod(0o755)
    assert Records(tmp_path, REDIS).begin() is None
    folder.rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)
    assert Records(tmp_path, REDIS).begin() is None
    assert Records(tmp_path, REDIS).left_behind() == []
    assert list(elsewhere.iterdir()) == []


def computed_since(before: dict[int, float], process: int) -> tuple[int, float]:
    return guard.busiest(before, guard.processor_seconds(process))


def test_a_process_that_is_stopped_does_not_compute() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        eventually(lambda: computed_since({}, process.pid)[1] > 0.05)
        process.send_signal(signal.SIGSTOP)
        eventually(lambda: Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "T")
        before = guard.processor_seconds(process.pid)
        since = time.monotonic()
        eventually(lambda: time.monotonic() - since > 0.1)
        assert computed_since(before, process.pid)[1] == 0
        process.send_signal(signal.SIGCONT)
        eventually(lambda: computed_since(before, process.pid)[1] > 0.05)
        assert computed_since(before, process.pid)[0] == process.pid
        process.kill()


def test_a_guard_ends_nobody_but_the_worker_that_started_it() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as stranger:
        order = json.dumps({"worker": stranger.pid, "seconds": 0.1, "record": None})
        command = [sys.executable, "-I", "-S", guard.__file__, order]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:  # noqa: S603 — our own program
            before = guard.processor_seconds(stranger.pid)
            eventually(lambda: computed_since(before, stranger.pid)[1] > 0.5)
            assert stranger.poll() is None
            process.communicate(timeout=10)
            assert process.returncode == 0
        stranger.kill()
