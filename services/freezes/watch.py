"""The worker's side of the guard: starts it, and tells it every second that Python still runs here."""

import ctypes
import faulthandler
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import structlog

from services.freezes.records import Record, Records

GUARD = Path(__file__).with_name("guard.py")
LOADER_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
BEAT_SECONDS = 1.0
BEATS_PER_LIMIT = 4
ENDING_SECONDS = 2.0
FIRST_PROCESS = 1

log = structlog.get_logger(__name__)


class FreezeWatch:
    """Has this process ended when it computes for `seconds` without letting Python run; 0 for never.

    Every thread's stack is written into the record of this run then, and also when the process crashes.
    """

    def __init__(self, seconds: float, records: Records) -> None:
        self._seconds = seconds
        self._records = records
        self._record: Record | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._stop = Event()
        self._thread = Thread(target=self._run, name="freeze-beat", daemon=True)

    def start(self) -> None:
        """Begin to beat, in the sight of a guard. Without /proc there is none, which the log says."""
        if self._seconds == 0:
            return
        if not Path("/proc/self/task").is_dir():
            log.warning("freezes_not_noticed", reason="this system has no /proc to read processor times from")
            return
        self._record = self._records.begin()
        if os.getpid() == FIRST_PROCESS:
            _end_by_sigabrt()
        faulthandler.enable(self._record.file if self._record else sys.__stderr__ or 2)
        self._start_guard()
        self._thread.start()

    def stop(self) -> None:
        """End the guard and remove the record: this run ends in order."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(ENDING_SECONDS)
            faulthandler.disable()
        self._end_guard()
        self._records.end()

    def _run(self) -> None:
        pause = min(BEAT_SECONDS, self._seconds / BEATS_PER_LIMIT)
        while not self._stop.wait(pause):
            try:
                self._beat()
            except BrokenPipeError:
                log.warning("freeze_guard_ended", advice="another one is started")
                self._end_guard()
                self._start_guard()
            except Exception:  # without beats the guard would take the worker for frozen
                log.exception("freeze_beat_failed")

    def _beat(self) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            with suppress(BlockingIOError):  # the guard was stopped for long; it finds enough when it goes on
                os.write(self._guard.stdin.fileno(), b".")

    def _start_guard(self) -> None:
        order = {
            "worker": os.getpid(),
            "seconds": self._seconds,
            "record": str(self._record.path) if self._record else None,
        }
        try:
            self._guard = subprocess.Popen(  # noqa: S603 — this interpreter, a file of ours
                [sys.executable, "-I", "-S", str(GUARD), json.dumps(order)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env={name: os.environ[name] for name in LOADER_VARIABLES if name in os.environ},
                cwd="/",
                bufsize=0,
                start_new_session=True,  # a Ctrl-C in the terminal is none of its business
            )
        except OSError as error:
            log.warning("freezes_not_noticed", reason=f"no guard can be started: {error}")
            return
        if self._guard.stdin is not None:
            os.set_blocking(self._guard.stdin.fileno(), False)

    def _end_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is None:
            return
        if guard.stdin is not None:
            guard.stdin.close()  # it ends by that
        try:
            guard.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            guard.kill()
            guard.wait()


def _end_by_sigabrt() -> None:
    """Have SIGABRT end the process where the kernel would not: the first one of a container is spared.

    faulthandler calls this handler, which it finds in place, when it has written the stacks.
    """
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    libc.signal(signal.SIGABRT, ctypes.cast(libc._exit, ctypes.c_void_p))  # noqa: SLF001 — of the C library
