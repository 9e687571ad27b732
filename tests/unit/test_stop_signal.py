"""The signals that stop a process, sent to one: the first is remembered, the second ends it."""

import os
import signal
import sys
from contextlib import AbstractContextManager

import pytest

from tests.support import REPOSITORY, RunningProcess, running_process

INSTALLED = (
    "import signal; from services.stop_signal import StopSignal; stop = StopSignal(); stop.install(); "
)
WAITING = INSTALLED + "print('up', flush=True); stop.wait(); print('stopping', stop.number, flush=True); "
RELEASED = INSTALLED + "stop.release(); print('up', flush=True); signal.pause()"
REMEMBERED = INSTALLED + "signal.raise_signal(signal.SIGHUP); print('up', flush=True); stop.release()"
IGNORED = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
LIMITED = INSTALLED + "stop.end_within(0.2); print('up', flush=True); "
BLOCKED = LIMITED + "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()"
FROZEN = LIMITED + "import re; stop.wait(); re.match('(a+)+$', 'a' * 64 + 'b')"
STOPPING = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]


def _running(code: str) -> AbstractContextManager[RunningProcess]:
    return running_process([sys.executable, "-c", code], env={"PYTHONPATH": str(REPOSITORY)})


def _send(process: RunningProcess, number: signal.Signals) -> None:
    os.kill(process.pid, number)


@pytest.mark.parametrize("number", STOPPING)
def test_the_first_signal_asks_and_the_second_ends(number: signal.Signals) -> None:
    with _running(WAITING + "signal.pause()") as process:
        process.said("up")
        _send(process, number)
        assert process.said("stopping") == f"stopping {number.value}"
        assert process.running
        _send(process, number)
        assert process.wait() == 128 + number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_process_that_has_given_them_back_is_ended(number: signal.Signals) -> None:
    with _running(RELEASED) as process:
        process.said("up")
        _send(process, number)
        assert process.wait() == -number


def test_a_signal_before_they_are_given_back_is_not_lost() -> None:
    with _running(REMEMBERED) as process:
        assert process.wait() == -signal.SIGHUP
        assert process.output == "up\n"


@pytest.mark.parametrize(("code", "ending"), [(WAITING, 0), (RELEASED, -signal.SIGTERM)])
def test_a_hangup_that_is_ignored_stays_ignored(code: str, ending: int) -> None:
    with _running(IGNORED + code) as process:
        process.said("up")
        _send(process, signal.SIGHUP)
        _send(process, signal.SIGTERM)
        assert process.wait() == ending


@pytest.mark.parametrize("code", [BLOCKED, FROZEN])
def test_a_process_that_cannot_stop_in_order_ends_when_its_time_is_over(code: str) -> None:
    with _running(code) as process:
        process.said("up")
        _send(process, signal.SIGTERM)
        assert process.wait() == 1


def test_a_process_that_was_asked_before_its_time_was_known_ends_when_it_is_over() -> None:
    asked = INSTALLED + "signal.raise_signal(signal.SIGTERM); stop.end_within(0.2); signal.pause()"
    with _running(asked) as process:
        assert process.wait() == 1
