"""A zygote and its sealed hosts, without attacks: what an honest author's code meets there."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from models.execution import ExecutionReport
from models.position import Position
from models.session import Lifecycle
from models.signal import derive_signal_id
from services.sandbox.canary import prove_the_seal
from services.sandbox.client import SandboxUnavailable, Zygote
from services.sandbox.ending import Cause
from services.sandbox.protocol import (
    BarEvent,
    Decided,
    Failed,
    GetState,
    LifecycleEvent,
    Loaded,
    LogLine,
    NotLoaded,
    Reduced,
    ReportEvent,
    SetPosition,
    SetState,
    State,
)
from tests.sealed_hosts import MEMORY_BYTES, NOON, SealedHost, bar, host_of, running
from tests.support import eventually

DESCRIPTORS_TO_SPAWN = 4
START = LifecycleEvent(Lifecycle("start", NOON))
ECHO = """
seen = {}
def on_start():
    log.info("started", held=position.quantity)
def on_bar(bar):
    send_signal("BUY", bar.close, 2, metadata={"expected": position.expected})
def on_execution(report):
    print(f"{report.status} {position.quantity} {position.expected}")
def get_state():
    return seen
def set_state(state):
    seen.update(state)
"""


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with running(Zygote(MEMORY_BYTES)) as started:
        yield started


def test_the_seal_is_proven_by_hosts_that_try_to_break_it(zygote: Zygote) -> None:
    assert {"seccomp", "limits"} <= prove_the_seal(zygote)


def test_the_canary_sees_that_there_is_no_seal() -> None:
    with (
        running(Zygote(MEMORY_BYTES, sealed=False)) as unsealed,
        pytest.raises(SandboxUnavailable, match="could"),
    ):
        prove_the_seal(unsealed)


def test_decisions_have_the_ids_that_the_worker_gives_them(zygote: Zygote) -> None:
    with host_of(zygote) as host:
        assert isinstance(host.load(ECHO), Loaded)
        started, first, second = host.answers(START, BarEvent(bar(0)), BarEvent(bar(0)))
    assert started == LogLine(seq=1, level="info", text="started held=0.0")
    assert isinstance(first, Decided)
    assert isinstance(second, Decided)
    assert [(each.seq, each.ordinal, each.signal_id) for each in (first, second)] == [
        (number, ordinal, derive_signal_id("session-1", bar(0).identity, ordinal))
        for number, ordinal in ((2, 0), (3, 1))
    ]
    assert [first.metadata, second.metadata] == [{"expected": 0.0}, {"expected": 2.0}]


def test_the_position_in_the_host_is_the_worker_s(zygote: Zygote) -> None:
    report = ExecutionReport(
        signal_id="s",
        symbol="AAPL",
        action="BUY",
        quantity=1.5,
        status="filled",
        filled_quantity=1.5,
        filled_price=9.0,
    )
    with host_of(zygote) as host:
        host.load(ECHO)
        said = host.answers(
            SetPosition(Position(quantity=4.0, average_price=9.0)),
            BarEvent(bar(0)),
            Reduced("BUY", 0.5),
            ReportEvent(report),
        )
    assert [each.text for each in said if isinstance(each, LogLine)] == ["filled 5.5 5.5"]


def test_a_warm_up_books_nothing(zygote: Zygote) -> None:
    with host_of(zygote) as host:
        host.load(ECHO)
        host.answers(BarEvent(bar(0)), warm_up=True)
        (decided,) = host.answers(BarEvent(bar(1)))
    assert isinstance(decided, Decided)
    assert decided.metadata == {"expected": 0.0}


def test_state_goes_in_and_out_as_json(zygote: Zygote) -> None:
    with host_of(zygote) as host:
        host.load(ECHO)
        assert host.answers(SetState('{"a":[1,"é"]}'), GetState()) == [State(seq=2, state='{"a":[1,"é"]}')]
        failed, _ = host.answers(SetState("{"), GetState())
    assert isinstance(failed, Failed)
    assert failed.hook == "set_state"


def test_an_error_is_told_with_the_author_s_lines_and_none_of_ours(zygote: Zygote) -> None:
    with host_of(zygote) as host:
        host.load("def on_bar(bar):\n    return 1 / 0")
        (failed,) = host.answers(BarEvent(bar(0)))
        assert isinstance(failed, Failed)
        assert (failed.hook, failed.error, failed.timed_out) == ("on_bar", "ZeroDivisionError", False)
        assert (failed.line, failed.column) == (2, 12)
        assert 'File "strategy.py", line 2, in on_bar\n    return 1 / 0' in failed.traceback
        assert "services" not in failed.traceback
        host.round_trip()


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("import requests", "no module 'requests' in a sealed process"),
        ("import statistics.no", "'statistics' is not a package"),
        ("import statistic", "did you mean 'statistics'?"),
        ("open('/etc/passwd')", "a sealed process has no files"),
        ("import time; time.sleep(1)", "does not sleep"),
        ("input()", "no terminal"),
        ("import os; os.stat('/')", "has no files"),
        ("import zoneinfo; zoneinfo.ZoneInfo('Pacific/Chatham')", "No time zone found"),
    ],
)
def test_what_a_sealed_process_lacks_is_said_and_is_not_its_end(
    zygote: Zygote, statement: str, told: str
) -> None:
    with host_of(zygote) as host:
        host.load(f"def on_bar(bar):\n    if bar.close:\n        {statement}")
        (failed,) = host.answers(BarEvent(bar(0)))
        assert isinstance(failed, Failed)
        assert told in failed.message
        host.round_trip()


def test_an_import_that_will_fail_keeps_a_script_from_being_loaded(zygote: Zygote) -> None:
    with host_of(zygote) as host:
        answer = host.load("import json, os, numpy.no\nimport requests\n")
    assert isinstance(answer, NotLoaded)
    assert (answer.line, answer.column) == (1, 1)
    assert answer.reason.startswith("no module 'numpy.no' in a sealed process")
    assert "; line 2, column 1: no module 'requests' in a sealed process" in answer.reason


def test_control_characters_and_half_characters_are_spelled_out(zygote: Zygote) -> None:
    with host_of(zygote) as host:
        host.load("def on_bar(bar):\n    print('a\\x1b[2J\\x00\\ud800é')\n    raise ValueError('\\x07')")
        said, failed = host.answers(BarEvent(bar(0)))
    assert said == LogLine(seq=1, level="info", text="a\\x1b[2J\\x00\\ud800é")
    assert isinstance(failed, Failed)
    assert failed.message == "\\x07"


HONEST = """
import collections, dataclasses, datetime, decimal, json, logging, math, random, statistics, time
import uuid, warnings
from zoneinfo import ZoneInfo
@dataclasses.dataclass
class Point:
    at: datetime.datetime
def on_bar(bar):
    local = bar.timestamp.astimezone(ZoneInfo("America/New_York"))
    datetime.datetime.strptime("2026-01-28", "%Y-%m-%d").strftime("%A")
    datetime.datetime.now(); datetime.datetime.now(datetime.UTC); time.localtime(); time.process_time()
    decimal.Decimal("1.1") ** 2; statistics.stdev([1, 2, 3]); random.random(); uuid.uuid4()
    "ä".encode("utf-16")
    logging.getLogger("mine").warning("careful"); warnings.warn("odd")
    try:
        math.sqrt(-1)
    except ValueError:
        log.exception("no root")
    print(Point(local).at.hour, json.dumps({"a": 1}))
    big = [[0.0] * 1000 for _ in range(1000)]
"""


def test_what_an_honest_author_uses_works_sealed(zygote: Zygote) -> None:
    with host_of(zygote) as host:
        assert isinstance(host.load(HONEST), Loaded)
        said = host.answers(BarEvent(bar(0)))
        lines = [each.text for each in said if isinstance(each, LogLine)]
        assert [each for each in said if not isinstance(each, LogLine)] == []
        assert '7 {"a": 1}' in lines
        assert "careful" in lines
        assert any("no root" in line and "math domain error" in line for line in lines)


def test_a_compile_error_comes_back_with_line_and_column(zygote: Zygote) -> None:
    with host_of(zygote) as host:
        answer = host.load("def on_bar(bar):\n    x = = 1\n")
        assert answer == NotLoaded(reason="SyntaxError: invalid syntax", line=2, column=9)
        assert host.ending().cause is Cause.LEFT


def test_an_interruption_ends_a_loop_and_the_next_event_is_answered(zygote: Zygote) -> None:
    with host_of(zygote) as host:
        host.load("def on_bar(bar):\n    while bar.close > 100: pass")
        host.send(BarEvent(bar(0, 101.0)))
        eventually(host.process.page.under_way)
        host.process.interrupt()
        failed = host.hear()
        assert isinstance(failed, Failed)
        assert (failed.timed_out, failed.error, failed.seq) == (True, "StrategyTimedOut", 1)
        assert "line 2, in on_bar" in failed.traceback
        host.hear()
        host.process.interrupt()  # nothing is under way: nothing is raised
        assert host.answers(BarEvent(bar(1))) == []
        assert host.process.page.under_way() is None


def test_a_paused_host_stands_still_until_it_is_resumed(zygote: Zygote) -> None:
    with host_of(zygote) as host:
        host.load("def on_bar(bar): send_signal('BUY', 1.0, 1.0)")

        def stopped() -> bool:
            status = Path(f"/proc/{host.process.pid}/stat").read_text(encoding="ascii")
            return status.rpartition(")")[2].split()[0] == "T"

        host.process.pause()
        eventually(stopped)
        host.process.resume()
        eventually(lambda: not stopped())
        assert [type(each) for each in host.answers(BarEvent(bar(1)))] == [Decided]


@contextmanager
def descriptors_left(number: int) -> Iterator[None]:
    """Have this process open no more than so many."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(open_descriptors()) + number + 2, limits[1]))
    taken: list[int] = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        for _ in range(number):
            os.close(taken.pop())
        yield
    finally:
        for each in taken:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def open_descriptors() -> set[int]:
    return {int(each.name) for each in Path("/proc/self/fd").iterdir()}


@pytest.mark.parametrize("left", range(DESCRIPTORS_TO_SPAWN))
def test_where_descriptors_run_out_there_is_no_host_and_nothing_stays_open(zygote: Zygote, left: int) -> None:
    before = open_descriptors()
    with descriptors_left(left), pytest.raises(SandboxUnavailable, match="Too many open files"):
        zygote.spawn(lambda _: None)
    assert open_descriptors() == before


def test_a_host_takes_two_descriptors_and_gives_them_back(zygote: Zygote) -> None:
    before = len(open_descriptors())
    with descriptors_left(DESCRIPTORS_TO_SPAWN):
        host = SealedHost(zygote)
    assert len(open_descriptors()) == before + 2
    host.load(ECHO)
    host.close()
    assert len(open_descriptors()) == before


def test_hosts_draw_random_numbers_of_their_own(zygote: Zygote) -> None:
    drawn = []
    for _ in range(2):
        with host_of(zygote) as host:
            host.load("import random\ndef on_bar(bar): print(random.random())")
            drawn += host.answers(BarEvent(bar(0)))
    assert drawn[0] != drawn[1]


def test_a_host_ends_with_its_channel(zygote: Zygote) -> None:
    with host_of(zygote) as host:
        host.load(ECHO)
        host.process.channel.close()
        assert host.end().code == 0


def test_the_kernel_knows_a_host_as_sealed(zygote: Zygote) -> None:
    with host_of(zygote) as host:
        host.load(ECHO)
        process = Path(f"/proc/{host.process.pid}")
        status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
        assert (status["NoNewPrivs"], status["Seccomp"], status["Threads"].strip()) == ("1", "2", "1")
        assert status["CapEff"].strip("0") == ""
        assert ("0" in status["Uid"].split()) is ("unprivileged" not in host.layers)
        assert (process / "oom_score_adj").read_text() == "1000\n"


def test_hosts_end_with_their_zygote_and_their_ends_are_told() -> None:
    lost: list[bool] = []
    with running(Zygote(MEMORY_BYTES, lost=lambda: lost.append(True))) as zygote, host_of(zygote) as host:
        host.load(ECHO)
        os.kill(zygote.pid, signal.SIGKILL)
        assert host.ending().cause is Cause.ZYGOTE_LOST
        eventually(lambda: lost)
        with pytest.raises(EOFError):
            host.hear()
        with pytest.raises(SandboxUnavailable, match="zygote has ended"):
            zygote.spawn(lambda _: None)


PANDAS = """
import numpy as np
import pandas as pd
closes = []
def on_bar(bar):
    closes.extend(bar.close + n % 7 for n in range(300))
    times = pd.date_range("2026-01-01", periods=len(closes), freq="min", tz="UTC")
    series = pd.Series(closes, index=times)
    frame = pd.DataFrame({"close": series, "odd": [n % 2 for n in range(len(closes))]})
    frame.groupby("odd").close.agg(["mean", "std"]).to_string()
    frame.to_csv(), frame.describe(), frame.rolling(5).corr(), pd.cut(frame.close, 4)
    series.resample("5min").ohlc().tz_convert("Asia/Tokyo").to_dict()
    square = np.random.default_rng(1).normal(size=(200, 200))
    np.linalg.eigvalsh(square @ square.T), np.fft.rfft(closes), np.polyfit(closes, closes, 2)
    log.info(f"mean {series.rolling(20).mean().iloc[-1]} at {times[0].tz_convert('Europe/Berlin')}")
"""


def test_numpy_and_pandas_work_sealed_where_they_are_allowed() -> None:
    with running(Zygote(MEMORY_BYTES, ("numpy", "pandas"))) as zygote, host_of(zygote) as host:
        assert isinstance(host.load(PANDAS), Loaded)
        assert host.answers(BarEvent(bar(0))) == [
            LogLine(seq=1, level="info", text="mean 102.85 at 2026-01-01 01:00:00+01:00")
        ]


def test_they_are_not_there_where_they_are_not_allowed(zygote: Zygote) -> None:
    with host_of(zygote) as host:
        refused = host.load(PANDAS)
        assert isinstance(refused, NotLoaded)
        assert refused.line == 2
        assert "no module 'numpy' in a sealed process" in refused.reason
