"""Systems that lack something, had by refusing it beforehand: is it missed, and is it told?"""

import errno
import sys
import textwrap
from pathlib import Path

import pytest

from config import Settings
from models.errors import ConfigError
from services.sandbox.opening import open_sandbox
from tests.support import eventually, running_process

START = """
import ctypes, os, struct, sys
from config import Settings
from services.sandbox import kernel
from services.sandbox.filter import ALLOW, IF_EQUAL, LOAD, NUMBER, RETURN, Instruction, assemble
from services.sandbox.opening import open_sandbox

def refuse(number, error):
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.install_filter(os.uname().machine, assemble([
        Instruction(LOAD, NUMBER),
        Instruction(IF_EQUAL, number, otherwise="go on"),
        Instruction(RETURN, 0x5_0000 | error),
        "go on",
        Instruction(RETURN, ALLOW),
    ]))
"""
OPEN = """
try:
    open_sandbox(Settings()).stop()
    print("it opened")
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


def told(before: str) -> str:
    """Open a sandbox in a process of its own, after something else; return what it wrote."""
    script = START + textwrap.dedent(before) + OPEN
    with running_process([sys.executable, "-c", script], env={"PYTHONPATH": "."}) as process:
        process.wait()
        return process.output


def test_without_seccomp_no_code_runs_and_the_reason_is_given() -> None:
    said = told(f"refuse(kernel.SECCOMP_CALLS[os.uname().machine], {errno.EINVAL})")
    assert "SandboxUnavailable: stored code cannot run: this kernel or container allows no seccomp" in said


def test_without_landlock_code_runs_sealed_and_one_warning_says_so() -> None:
    said = told(f"refuse(kernel.LANDLOCK_CREATE_RULESET, {errno.ENOSYS})")
    assert said.count("sandbox_without_landlock") == 1
    assert "it opened" in said


def test_root_that_may_not_become_another_user_is_sealed_as_root() -> None:
    without_setuid = """
    try:
        for capability in (6, 7):
            kernel.prctl(24, capability)
    except OSError:
        pass  # no root, and so nothing to drop
    """
    assert "it opened" in told(without_setuid)


def test_a_module_that_cannot_be_loaded_is_named() -> None:
    with pytest.raises(ConfigError, match="SANDBOX_MODULES: no_such_module cannot be loaded"):
        open_sandbox(Settings(sandbox_modules="no_such_module"))


def test_insecure_dev_is_refused_where_orders_leave_this_machine() -> None:
    with pytest.raises(ConfigError, match="is not on this machine"):
        open_sandbox(Settings(sandbox="insecure-dev", gateway_url="http://gateway.example.com"))


@pytest.mark.parametrize("url", ["http://localhost:3000", "http://127.0.0.2:1", "http://[::1]:3000"])
def test_insecure_dev_runs_beside_a_gateway_of_this_machine(url: str) -> None:
    open_sandbox(Settings(sandbox="insecure-dev", gateway_url=url)).stop()


def test_hidden_memory_cannot_be_read_by_the_same_user() -> None:
    script = """
    import os, subprocess
    from services.sandbox.kernel import hide_memory
    from services.sandbox.seal import drop_root
    drop_root()
    for hide in (lambda: None, hide_memory):
        hide()
        read = ["/bin/cat", f"/proc/{os.getpid()}/environ"]
        print(subprocess.run(read, capture_output=True, check=False).returncode)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with running_process(command, env={"PYTHONPATH": "."}) as process:
        process.wait()
        assert process.output.split() == ["0", "1"]


def test_zygote_and_hosts_end_with_a_worker_that_is_killed() -> None:
    script = """
    import os, threading
    from services.sandbox.client import Zygote
    zygote = Zygote(64 << 20)
    zygote.start()
    host = zygote.spawn(lambda ended: None)
    print("pids", zygote.pid, host.pid, flush=True)
    threading.Event().wait()
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with running_process(command, env={"PYTHONPATH": "."}) as process:
        pids = process.said("pids ").split()[1:]
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
        process.kill()
        eventually(lambda: not any(is_running(pid) for pid in pids))


def is_running(pid: str) -> bool:
    """Tell whether a process runs; one that nobody has waited for yet does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
