"""Programs of the demo: they see only what they are given, hand on their exit code, and never outlive us."""

import os
import signal
import sys
from pathlib import Path

import pytest

from services.demo.child import Child, Program
from services.demo.failure import DemoFailed
from tests.support import REPOSITORY, eventually, running_process

WAITING = "import os, signal, sys; print(os.getpid(), flush=True); "
POLITE = WAITING + "signal.sigwait([signal.SIGTERM]); sys.exit(7)"
DEAF = WAITING + "signal.signal(signal.SIGTERM, signal.SIG_IGN); [signal.pause() for _ in iter(int, 1)]"


def _program(tmp_path: Path, code: str, **environment: str) -> Program:
    return Program(
        name="program",
        command=[sys.executable, "-c", code],
        environment=environment,
        log=tmp_path / "program.log",
        ending_seconds=0.5,
    )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return _stat(pid)[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):  # the second where it ends between the two
        return False


def _stat(pid: int) -> list[str]:
    """State, parent and more of a process, as Linux tells it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _pid(log: Path) -> int:
    return int(eventually(lambda: log.read_text().strip() if log.exists() else ""))


def test_a_program_is_asked_to_end_and_its_exit_code_is_known(tmp_path: Path) -> None:
    blocked = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); " + POLITE
    program = _program(tmp_path, blocked)
    with Child(program) as child:
        pid = _pid(program.log)
        child.check()
        assert child.stop() == 7
    assert not _is_alive(pid)


def test_a_program_that_does_not_listen_is_killed_in_time(tmp_path: Path) -> None:
    program = _program(tmp_path, DEAF)
    with Child(program) as child:
        pid = _pid(program.log)
        assert child.stop() == 128 + signal.SIGKILL
    assert not _is_alive(pid)


def test_a_program_sees_only_the_environment_it_is_given(tmp_path: Path) -> None:
    program = _program(tmp_path, "import os; print(*os.environ)", REDIS_URL="redis://there")
    with Child(program):
        seen = eventually(lambda: program.log.exists() and program.log.read_text())
    assert set(str(seen).split()) - {"LC_CTYPE"} == {"REDIS_URL"}  # Python itself adds LC_CTYPE


def test_a_program_that_ends_early_fails_with_the_end_of_its_log(tmp_path: Path) -> None:
    program = _program(tmp_path, "import sys; print('the port is taken'); sys.exit(2)")
    with Child(program) as child:

        def has_failed() -> DemoFailed | None:
            try:
                child.check()
            except DemoFailed as error:
                return error
            return None

        error = eventually(has_failed)
    assert error is not None
    assert str(error) == "the program ended with exit code 2"
    assert error.tail == "the port is taken"
    assert error.log == program.log


def test_a_program_that_cannot_be_run_fails_with_the_reason(tmp_path: Path) -> None:
    program = Program(name="program", command=["/nowhere"], environment={}, log=tmp_path / "program.log")
    with Child(program) as child:
        assert child.stop() == 1
        assert "/nowhere" in child.failure("did not start").tail


def test_a_program_ends_when_its_keeper_is_killed(tmp_path: Path) -> None:
    program = _program(tmp_path, DEAF)
    with Child(program) as child:
        pid = _pid(program.log)
        os.kill(int(_stat(pid)[1]), signal.SIGKILL)
        eventually(lambda: not _is_alive(pid))
        assert child.stop() == -signal.SIGKILL


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_program_ends_when_the_demo_is_killed(tmp_path: Path, ending: signal.Signals) -> None:
    log = tmp_path / "program.log"
    demo = (
        "import pathlib, signal, sys; from services.demo.child import Child, Program\n"
        f"program = Program(name='p', command=[sys.executable, '-c', {DEAF!r}], environment={{}},"
        f" log=pathlib.Path({str(log)!r}), ending_seconds=0.2)\n"
        "with Child(program): signal.pause()"
    )
    with running_process([sys.executable, "-c", demo], env={"PYTHONPATH": str(REPOSITORY)}) as process:
        pid = _pid(log)
        os.kill(process.pid, ending)
        eventually(lambda: not _is_alive(pid))
