"""Inside the zygote: loads what strategies may use, then forks a host for every order and says how it ended.

It has one thread, which lives as long as the process, so that hosts can be ended with their parent; and it
alone sends signals to hosts, because it alone knows that a process id still means the host.
"""

import gc
import os
import resource
import select
import signal
import socket
from array import array
from typing import NamedTuple, NoReturn

import msgspec

from services.sandbox.host.program import run_host
from services.sandbox.orders import (
    LONGEST_ORDER,
    Demote,
    Ended,
    Notice,
    NotSpawned,
    Order,
    Ready,
    Refused,
    Spawn,
    Spawned,
    Start,
    control_frame,
    decode_order,
)
from services.sandbox.preload import preload, why_unforkable
from services.sandbox.protocol import FrameReader, ProtocolViolation
from services.sandbox.seal import drop_root, why_unsealable

CONTROL = 0
MOST_DESCRIPTORS = 256
LEAST_PRIORITY = 19
READ_BYTES = 64 * 1024
MOST_PASSED = 64


class Birth(NamedTuple):
    """What a new host begins with: its channel, its page, and the process that it ends with."""

    channel: int
    page: int
    parent: int


def serve(start: bytes) -> None:
    """Serve the worker until it ends; return in no process but a host that is done."""
    order = msgspec.json.decode(start, type=Start)
    # Few, so that all of them can be closed quickly by their numbers.
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_DESCRIPTORS, MOST_DESCRIPTORS))
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))  # the worker's own; a host has SANDBOX_MEMORY_MB
    nursery = Nursery(socket.socket(fileno=os.dup(CONTROL)), _wake_up_on_child_exit())
    birth = nursery.prepare(order) and nursery.look_after()
    if not birth:
        return
    del nursery
    _run(order, birth)


def _run(order: Start, birth: Birth) -> NoReturn:
    """Turn this newly forked process into a host: one descriptor, the default signals, and no way back."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    run_host(order, birth.channel, birth.page, birth.parent)


class Nursery:
    """The hosts that live, by their processes; `ended` is readable when one may have ended."""

    def __init__(self, control: socket.socket, ended: int) -> None:
        self._control = control
        self._ended = ended
        self._hosts: dict[int, int] = {}  # numbers by process
        self._orders = FrameReader(LONGEST_ORDER)
        self._descriptors: list[int] = []

    def prepare(self, start: Start) -> bool:
        """Load everything that hosts share; where there can be none, tell why and return False."""
        problem = why_unsealable() if start.sealed else None
        if problem is None:
            problem = preload(start.modules) or why_unforkable()
        if problem is not None:
            self._say(Refused(problem))
            return False
        if start.sealed:
            drop_root()
        gc.collect()
        gc.freeze()  # what is here now stays shared with every host
        self._say(Ready(start.modules))
        return True

    def look_after(self) -> Birth | None:
        """Carry out orders until the worker ends; in a host, forked here, return what it begins with."""
        control = self._control.fileno()
        while True:
            ready, _, _ = select.select([control, self._ended], [], [])
            if self._ended in ready:
                os.read(self._ended, READ_BYTES)
                self._bury()
            if control not in ready:
                continue
            received = self._receive()
            if not received:
                self._end_all()
                return None
            for body in self._orders.feed(received):
                if birth := self._obey(decode_order(body)):
                    return birth

    def _receive(self) -> bytes:
        """Return what the worker says and keep the descriptors with it; nothing when it has ended."""
        try:
            received, passed, _, _ = self._control.recvmsg(READ_BYTES, socket.CMSG_SPACE(MOST_PASSED * 4))
        except ConnectionError:
            return b""
        for level, kind, payload in passed:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors = array("i")
                descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
                self._descriptors += descriptors
        return received

    def _obey(self, order: Order) -> Birth | None:
        if isinstance(order, Spawn):
            return self._fork(order)
        for pid, number in self._hosts.items():
            if number != order.number:
                continue
            if isinstance(order, Demote):  # not waited for yet: the id is still its own
                os.setpriority(os.PRIO_PROCESS, pid, LEAST_PRIORITY)
            else:
                os.kill(pid, order.signal)
        return None

    def _fork(self, order: Spawn) -> Birth | None:
        if len(self._descriptors) < 2:  # noqa: PLR2004 — a channel and a page
            raise ProtocolViolation("a spawn without its channel and page")
        channel, page = self._descriptors[:2]
        parent, number = os.getpid(), order.number
        try:
            pid = os.fork()
        except OSError as error:  # too many processes, or no memory for one more
            answer: Notice = NotSpawned(number, str(error.strerror))
        else:
            if not pid:
                self._hosts.clear()
                os.nice(LEAST_PRIORITY if order.last else 0)
                return Birth(channel, page, parent)
            self._hosts[pid] = number
            answer = Spawned(number, pid)
        del self._descriptors[:2]
        os.close(channel)
        os.close(page)
        self._say(answer)
        return None

    def _bury(self) -> None:
        while self._hosts:
            pid, status, used = os.wait4(-1, os.WNOHANG)
            if not pid:
                return
            number = self._hosts.pop(pid, None)
            if number is None:
                continue  # a module had a child of its own when it was loaded
            self._say(
                Ended(
                    number=number,
                    pid=pid,
                    code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
                    signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
                    cpu_seconds=used.ru_utime + used.ru_stime,
                    max_rss_kib=used.ru_maxrss,
                )
            )

    def _end_all(self) -> None:
        for pid in self._hosts:
            os.kill(pid, signal.SIGKILL)
        for pid in self._hosts:
            os.waitpid(pid, 0)

    def _say(self, notice: Notice) -> None:
        try:
            self._control.sendall(control_frame(notice))
        except ConnectionError:
            return  # the worker has ended; the end of its orders will say so


def _wake_up_on_child_exit() -> int:
    """Return a descriptor that becomes readable when a child ends; other signals are nothing to us."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writer)
    return reader
