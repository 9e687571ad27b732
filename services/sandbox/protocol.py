"""What a worker and a sealed host say to each other, frame by frame.

A frame is its length, four bytes with the lowest first, and one of the structs below in msgpack, tagged by
its name. The worker's frames are Load, once, and then Batch after Batch; a host's are all the others.
Identity comes from the channel: no frame says whose it is.

    worker                                       host
                                                 Sealed, or NotSealed and its end
    Load                                         Loaded, or NotLoaded and its end
    Batch(first=1, events=[SetState, Start])     Decided, LogLine, Failed … for each event, at last Done(2)
    Batch(first=3, events=[BarEvent, …])         … Done

Events are numbered one after the other from a batch's `first`; an answer carries the number of its event.
One batch is under way at a time. A host that is asked by GetState says State, or Failed. What a host says
may be anything, because hostile code can write to the channel as well: it is decoded strictly, numbers are
finite, and what fits no struct, or comes in a frame longer than LONGEST_FRAME, is a ProtocolViolation.

A page of memory that both see (`page.py`) tells which call is under way. It is a hint, and can be forged.
"""

from collections.abc import Callable, Iterator, Sequence
from struct import Struct as Layout
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from models.execution import ExecutionReport
from models.gap import Gap
from models.market_data import SYMBOL_PATTERN, Bar, Trade
from models.position import Position
from models.saved_state import MAX_STATE_BYTES
from models.session import Lifecycle
from models.signal import Action
from strategies.watching import MOST_WATCHED

LONGEST_SOURCE = 256 * 1024
LONGEST_LOG = 2_000
LONGEST_TRACEBACK = 4_000
LONGEST_MESSAGE = 500
LONGEST_FRAME = MAX_STATE_BYTES + 1024
"""Of a host, in bytes, without the length before it. Metadata of a signal has 8 KiB at most."""

LARGEST_FLOAT = 1.7976931348623157e308
_LENGTH = Layout("<I")

Positive = Annotated[float, Meta(gt=0, le=LARGEST_FLOAT)]
Share = Annotated[float, Meta(ge=0, le=1)]
Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Line = Annotated[int, Meta(ge=0, le=2**31 - 1)]
READABLE = r"\A[^\x00-\x08\x0b-\x1f\x7f-\x9f]*\Z"
"""No control characters: these texts go to terminals and databases. A host spells them out."""
Name = Annotated[str, Meta(max_length=128, pattern=READABLE)]
Short = Annotated[str, Meta(max_length=LONGEST_MESSAGE, pattern=READABLE)]
Symbol = Annotated[str, Meta(pattern=SYMBOL_PATTERN)]
Form = Literal["class", "handlers", "script"]
Level = Literal["debug", "info", "warning", "error", "critical"]
Hook = Literal[
    "on_start",
    "on_bar",
    "on_trade",
    "on_execution",
    "on_gap",
    "on_stop",
    "get_state",
    "set_state",
]


class ProtocolViolation(Exception):
    """A host said what it must not, or what nobody can read: it is to be ended."""


class Load(Struct, frozen=True, kw_only=True, tag=True):
    """The source of a strategy and what its instance is made with; `open_signals` still wait for answers.

    `session_key` is what signal ids are derived from, as they are in the worker.
    """

    source: str
    session_key: str
    strategy_id: str
    symbol: str
    session_id: str | None
    parameters: dict[str, Any]
    open_signals: tuple[str, ...] = ()


class BarEvent(Struct, frozen=True, tag="bar"):
    """Call `on_bar`."""

    bar: Bar


class TradeEvent(Struct, frozen=True, tag="trade"):
    """Call `on_trade`."""

    trade: Trade


class ReportEvent(Struct, frozen=True, tag="report"):
    """Book a report into the position and call `on_execution`."""

    report: ExecutionReport


class GapEvent(Struct, frozen=True, tag="gap"):
    """Call `on_gap`."""

    gap: Gap


class LifecycleEvent(Struct, frozen=True, tag="lifecycle"):
    """Call `on_start` or `on_stop`; signals in answer are derived from this moment, as in the worker."""

    lifecycle: Lifecycle


class SetState(Struct, frozen=True, tag="set_state"):
    """Call `set_state` with what this JSON text says."""

    state: str


class GetState(Struct, frozen=True, tag="get_state"):
    """Call `get_state` and answer State."""


class SetPosition(Struct, frozen=True, tag="set_position"):
    """Show this position from now on: the one that was kept over a restart."""

    position: Position


class Reduced(Struct, frozen=True, tag="reduced"):
    """Take `by` units off what is expected: a signal was sent for less than was decided, or not counted."""

    action: Action
    by: float


Event = (
    BarEvent
    | TradeEvent
    | ReportEvent
    | GapEvent
    | LifecycleEvent
    | SetState
    | GetState
    | SetPosition
    | Reduced
)


class Batch(Struct, frozen=True, kw_only=True, tag=True):
    """Events in order, the first of which has the number `first`.

    Signals in answer to a batch of `warm_up` are told of, and booked by nobody.
    """

    first: Number
    events: list[Event]
    warm_up: bool = False


class Sealed(Struct, frozen=True, kw_only=True, tag=True):
    """The host is sealed, or runs open because that was asked for; `layers` name what holds it."""

    layers: list[Annotated[str, Meta(max_length=32)]]


class NotSealed(Struct, frozen=True, kw_only=True, tag=True):
    """The host could not seal itself, and has ended."""

    reason: Short


class Loaded(Struct, frozen=True, kw_only=True, tag=True):
    """The instance is made; what its class asks for."""

    form: Form
    name: Name
    warmup_bars: Annotated[int, Meta(ge=0, le=10_000_000)]
    deadline_ms: Annotated[int, Meta(ge=1, le=600_000)] | None = None
    watched_symbols: Annotated[list[Symbol], Meta(max_length=MOST_WATCHED)] = []


class NotLoaded(Struct, frozen=True, kw_only=True, tag=True):
    """The source makes no strategy; `line` and `column` count from 1, where they are known."""

    reason: Short
    line: Line | None = None
    column: Line | None = None


class Decided(Struct, frozen=True, kw_only=True, tag=True):
    """A signal in answer to event `seq`, the `ordinal`-th from 0 under the identity of that event."""

    seq: Number
    ordinal: Number
    signal_id: Annotated[str, Meta(max_length=36, pattern=READABLE)]
    action: Action
    price: Positive
    quantity: Positive
    confidence: Share
    metadata: dict[str, Any]


class LogLine(Struct, frozen=True, kw_only=True, tag=True):
    """A line that the author logs or prints; before the first event `seq` is 0."""

    seq: Number
    level: Level
    text: Annotated[str, Meta(max_length=LONGEST_LOG, pattern=READABLE)]


class Failed(Struct, frozen=True, kw_only=True, tag=True):
    """A call raised at this place of the source; the host goes on with the next event."""

    seq: Number
    hook: Hook
    error: Name
    message: Short
    traceback: Annotated[str, Meta(max_length=LONGEST_TRACEBACK, pattern=READABLE)]
    line: Line | None = None
    column: Line | None = None
    timed_out: bool = False


class State(Struct, frozen=True, kw_only=True, tag=True):
    """What `get_state` returned, as JSON text."""

    seq: Number
    state: Annotated[str, Meta(max_length=MAX_STATE_BYTES)]


class Done(Struct, frozen=True, kw_only=True, tag=True):
    """The batch whose last event is `seq` is worked off."""

    seq: Number


ToHost = Load | Batch
FromHost = Sealed | NotSealed | Loaded | NotLoaded | Decided | LogLine | Failed | State | Done


class _EncodedBatch(Struct, frozen=True, kw_only=True, tag="Batch"):
    first: int
    events: Sequence[msgspec.Raw]
    warm_up: bool


_SPELLED_OUT = {
    code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"
}
_encoder = msgspec.msgpack.Encoder()
_decode_from_host: Callable[[bytes], FromHost] = msgspec.msgpack.Decoder(FromHost).decode
decode_to_host: Callable[[bytes], ToHost] = msgspec.msgpack.Decoder(ToHost).decode
"""Read a frame of the worker."""


def readable(text: str) -> str:
    """Return a text as frames may hold it: control characters and halves of surrogate pairs spelled out."""
    return text.encode(errors="backslashreplace").decode().translate(_SPELLED_OUT)


def frame(message: ToHost | FromHost) -> bytes:
    """Return a message as it goes over the channel."""
    return framed(_encoder.encode(message))


def framed(body: bytes) -> bytes:
    """Put its length before a body."""
    return _LENGTH.pack(len(body)) + body


def encode_event(event: Event) -> msgspec.Raw:
    """Return an event so that any number of batches can hold it without encoding it again."""
    return msgspec.Raw(_encoder.encode(event))


def batch_frame(first: int, events: Sequence[msgspec.Raw], *, warm_up: bool = False) -> bytes:
    """Return the frame of a batch of events that are encoded already."""
    return framed(_encoder.encode(_EncodedBatch(first=first, events=events, warm_up=warm_up)))


def decode_from_host(body: bytes) -> FromHost:
    """Read a frame of a host. Raises ProtocolViolation when it is none."""
    try:
        return _decode_from_host(body)
    except (ValueError, RecursionError, OverflowError, msgspec.MsgspecError) as error:
        raise ProtocolViolation(f"a frame of {len(body)} bytes cannot be read: {error}"[:300]) from None


class FrameReader:
    """Cuts what comes out of a channel into frames, holding no more than one unfinished frame."""

    __slots__ = ("_longest", "_pending")

    def __init__(self, longest: int = LONGEST_FRAME) -> None:
        self._pending = bytearray()
        self._longest = longest

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Yield the bodies that are complete now. Raises ProtocolViolation at one that is too long."""
        self._pending += received
        start, end = 0, len(self._pending)
        try:
            while end - start >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._pending, start)
                if length > self._longest:
                    raise ProtocolViolation(f"a frame of {length} bytes; at most {self._longest} are read")
                if end - start < _LENGTH.size + length:
                    break
                begin = start + _LENGTH.size
                start = begin + length
                yield bytes(self._pending[begin:start])
        finally:
            del self._pending[:start]
