"""Proves at the start that the seal holds: hosts that try to break it must be ended for that."""

import signal
import socket
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from services.sandbox.client import HostProcess, SandboxUnavailable, Zygote
from services.sandbox.protocol import (
    FrameReader,
    Load,
    NotSealed,
    ProtocolViolation,
    Sealed,
    decode_from_host,
    frame,
)

if TYPE_CHECKING:
    from services.sandbox.orders import Ended

WAIT_SECONDS = 10.0
READ_BYTES = 4096
# Each alone at the top of a module, so that it happens when that is loaded.
ATTEMPTS = {
    "look for a file": "posix.stat('/etc')",
    "open a socket": "sys.modules['_socket'].socket()",
    "start a process": "os.fork()",
    "see another process": "os.getppid()",
    "make memory executable": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
}
SOURCE = """
import sys
os, posix, mmap = (sys.modules[name] for name in ("os", "posix", "mmap"))
{}
def on_bar(bar): pass
"""


def prove_the_seal(zygote: Zygote) -> frozenset[str]:
    """Have each attempt made in a host of its own; return the layers that hold all of them.

    Raises SandboxUnavailable when a host cannot be sealed, or when one of the attempts was not its end.
    """
    held: list[frozenset[str]] = []
    for attempt, statement in ATTEMPTS.items():
        ends: SimpleQueue[Ended] = SimpleQueue()
        host = zygote.spawn(ends.put)
        try:
            held.append(_provoke(host, SOURCE.format(statement)))
            broken = (
                bool(host.channel.recv(READ_BYTES)) or ends.get(timeout=WAIT_SECONDS).signal != signal.SIGSYS
            )
        except (OSError, Empty, ProtocolViolation) as error:
            raise SandboxUnavailable(f"stored code cannot run: a host did not answer ({error!r})") from None
        finally:
            host.kill()
            host.close()
        if broken:
            raise SandboxUnavailable(f"stored code cannot run: the seal fails here, a host could {attempt}")
    return frozenset.intersection(*held)


def _provoke(host: HostProcess, source: str) -> frozenset[str]:
    """Load a source into a host, and return what that says of its seal."""
    host.channel.settimeout(WAIT_SECONDS)
    sealed = _hear(host.channel)
    if isinstance(sealed, NotSealed):
        raise SandboxUnavailable(f"stored code cannot run: {sealed.reason}")
    if not isinstance(sealed, Sealed):
        raise ProtocolViolation("the first word of a host was not about its seal")
    load = Load(
        source=source,
        session_key="canary",
        strategy_id="canary",
        symbol="CANARY",
        session_id=None,
        parameters={},
    )
    host.channel.sendall(frame(load))
    return frozenset(sealed.layers)


def _hear(channel: socket.socket) -> object:
    reader = FrameReader()
    while received := channel.recv(READ_BYTES):
        for body in reader.feed(received):
            return decode_from_host(body)
    raise ProtocolViolation("it ended before it said anything")
