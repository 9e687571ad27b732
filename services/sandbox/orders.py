"""What a worker and its zygote say to each other, in frames like those of `protocol.py`.

A Spawn comes with two descriptors: the host's end of its channel, and its page. Both sides trust each other.
"""

from collections.abc import Callable

import msgspec
from msgspec import Struct

from services.sandbox.protocol import framed


class Start(Struct, frozen=True, kw_only=True):
    """How the zygote is started, as JSON on its command line: it holds nothing that is secret.

    `paths` are the folders that modules are imported from; `modules` are imported beside those that every
    strategy may use. A host may take `memory_bytes` more than it starts with; `sealed` is false in
    insecure-dev alone.
    """

    paths: list[str]
    modules: list[str]
    memory_bytes: int
    sealed: bool


class Spawn(Struct, frozen=True, tag=True):
    """Fork a host and call it by this number; one that comes `last` is demoted from the start."""

    number: int
    last: bool = False


class Send(Struct, frozen=True, tag=True):
    """Send a signal to a host, unless it has ended."""

    number: int
    signal: int


class Demote(Struct, frozen=True, tag=True):
    """Have a host run from now on when nobody else wants to, unless it has ended. There is no way back."""

    number: int


class Ready(Struct, frozen=True, tag=True):
    """The modules are loaded, hosts can be forked."""

    modules: list[str]


class Refused(Struct, frozen=True, tag=True):
    """Hosts cannot be sealed here, or a module cannot be loaded; the zygote has ended."""

    reason: str


class Spawned(Struct, frozen=True, tag=True):
    """A host of this number runs as this process."""

    number: int
    pid: int


class NotSpawned(Struct, frozen=True, tag=True):
    """No process could be forked now; those that run go on."""

    number: int
    reason: str


class Ended(Struct, frozen=True, kw_only=True, tag=True):
    """A host has ended: with an exit code, or by a signal. What it used in all its life.

    Neither, where nobody could wait for it, because its zygote ended first.
    """

    number: int
    pid: int
    code: int | None
    signal: int | None
    cpu_seconds: float
    max_rss_kib: int


Order = Spawn | Send | Demote
Notice = Ready | Refused | Spawned | NotSpawned | Ended

LONGEST_ORDER = 64 * 1024

decode_order: Callable[[bytes], Order] = msgspec.msgpack.Decoder(Order).decode
"""Read a frame of the worker."""
decode_notice: Callable[[bytes], Notice] = msgspec.msgpack.Decoder(Notice).decode
"""Read a frame of the zygote."""

_encoder = msgspec.msgpack.Encoder()


def ended_with_zygote(number: int) -> Ended:
    """Return what is known of a host whose zygote has ended, and it with it."""
    return Ended(number=number, pid=0, code=None, signal=None, cpu_seconds=0.0, max_rss_kib=0)


def control_frame(message: Order | Notice) -> bytes:
    """Return a message as it goes over the control socket."""
    return framed(_encoder.encode(message))
