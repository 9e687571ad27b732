"""Whether a worker is surely dead: only where the kernel of this machine says so."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from services.leases.process import ProcessIdentity, is_surely_dead, this_process
from tests.support import eventually

# Elsewhere no process can be told from a later one, so nobody is ever surely dead.
IS_LINUX = sys.platform == "linux"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def identity(process: subprocess.Popen[bytes]) -> ProcessIdentity:
    """Who a child is, as it would say of itself."""
    if not IS_LINUX:
        return replace(this_process(), pid=process.pid)
    stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii")
    return replace(this_process(), pid=process.pid, started=int(stat.rpartition(")")[2].split()[19]))


def test_a_worker_knows_itself_and_counts_itself_as_alive() -> None:
    mine = this_process()
    assert mine.pid == os.getpid()
    assert mine == this_process()
    assert (mine.machine is not None) == IS_LINUX
    assert not is_surely_dead(mine)


def test_a_killed_process_is_dead_even_while_nobody_has_waited_for_it(child: subprocess.Popen[bytes]) -> None:
    other = identity(child)
    assert not is_surely_dead(other)
    child.kill()
    if IS_LINUX:
        eventually(lambda: is_surely_dead(other))
    child.wait()
    assert is_surely_dead(other) == IS_LINUX


def test_a_number_that_another_process_has_by_now_is_no_sign_of_life(child: subprocess.Popen[bytes]) -> None:
    other = identity(child)
    assert is_surely_dead(replace(other, started=(other.started or 0) + 1)) == IS_LINUX


@pytest.mark.parametrize("machine", ["elsewhere", None])
def test_nobody_of_another_or_an_unknown_machine_is_surely_dead(
    machine: str | None, child: subprocess.Popen[bytes]
) -> None:
    other = identity(child)
    child.kill()
    child.wait()
    assert not is_surely_dead(replace(other, machine=machine))


def test_without_a_proc_of_its_own_nothing_is_known(tmp_path: Path, child: subprocess.Popen[bytes]) -> None:
    other = identity(child)
    child.kill()
    child.wait()
    assert this_process(tmp_path).machine is None
    assert not is_surely_dead(other, tmp_path)


def test_a_proc_that_shows_the_processes_of_others_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "self").symlink_to("1")
    assert this_process(tmp_path).machine is None


@pytest.mark.parametrize("pid", [2**70, -(2**70)])
def test_what_is_no_number_of_a_process_is_not_surely_dead(pid: int) -> None:
    assert not is_surely_dead(replace(this_process(), pid=pid))
