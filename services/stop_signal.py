"""SIGTERM, SIGHUP and SIGINT as an event: the first asks for a stop, the second ends the process at once."""

import faulthandler
import os
import signal
from threading import Event, Thread
from types import FrameType

KILLED = 128
READ_BYTES = 512
HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)  # where the platform has it


class StopSignal:
    """Set once somebody asked the process to stop.

    Installed before anything else is imported, so that a signal in the first milliseconds is remembered
    rather than lost or fatal.
    """

    def __init__(self) -> None:
        self.requested = Event()
        self.number: int | None = None
        self._beside = False
        self._limit: float | None = None
        self._nowhere = -1

    def install(self) -> None:
        """Listen to SIGTERM, SIGHUP and SIGINT from now on. Call from the main thread.

        A SIGHUP that is ignored, as under nohup, stays ignored.
        """
        signal.signal(signal.SIGTERM, self._received)
        if HANGUP is not None and signal.getsignal(HANGUP) != signal.SIG_IGN:
            signal.signal(HANGUP, self._received)
        signal.signal(signal.SIGINT, self._received)

    def release(self) -> None:
        """Give SIGTERM, SIGHUP and SIGINT back: for commands that are simply ended by them."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if HANGUP is not None and signal.getsignal(HANGUP) != signal.SIG_IGN:
            signal.signal(HANGUP, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.number is not None:
            signal.raise_signal(self.number)

    def end_within(self, seconds: float) -> None:
        """Have the process end with 1 when it did not by itself so many seconds after it was asked to.

        The time is kept in C, for a process that waits for ever, as on logs that nobody reads, or is frozen.
        """
        self._limit = seconds
        self._nowhere = os.open(os.devnull, os.O_WRONLY)  # for as long as the process lives
        if self.requested.is_set():
            self._begin_to_end()

    def hear_beside(self) -> None:
        """Hear signals on a thread of their own: for a main thread that others' code may keep busy in C.

        Python tells the main thread alone of a signal, and only between two of its steps. Call from there.
        """
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        numbers = {signal.SIGTERM, signal.SIGINT} | ({HANGUP} if HANGUP is not None else set())
        before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)  # one that comes now is told of in one way
        self._beside = True
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        Thread(target=self._hear, args=(reader, numbers), name="stop-signal", daemon=True).start()

    def wait(self) -> None:
        """Wait until somebody asks to stop."""
        while not self.requested.wait(1.0):
            pass  # a wait without an end would keep Python from running signal handlers on some platforms

    def _hear(self, reader: int, numbers: set[signal.Signals]) -> None:
        while True:
            for number in os.read(reader, READ_BYTES):
                if number in numbers:
                    self._act(number)

    def _received(self, number: int, _frame: FrameType | None) -> None:
        if not self._beside:
            self._act(number)

    def _act(self, number: int) -> None:
        if self.requested.is_set():
            os._exit(KILLED + number)
        self.number = number
        self._begin_to_end()
        self.requested.set()

    def _begin_to_end(self) -> None:
        if self._limit is not None:
            faulthandler.dump_traceback_later(self._limit, exit=True, file=self._nowhere)
