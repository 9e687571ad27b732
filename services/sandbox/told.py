"""What a sealed strategy is told, one event each, and how often it is encoded: once for all hosts."""

from collections.abc import Callable

from msgspec import Raw, Struct

from models.execution import ExecutionReport
from models.gap import Gap
from models.market_data import Bar, Trade
from models.session import Lifecycle
from models.signal import Decision
from services.sandbox.protocol import (
    BarEvent,
    Event,
    GapEvent,
    GetState,
    LifecycleEvent,
    Reduced,
    ReportEvent,
    SetPosition,
    SetState,
    TradeEvent,
    encode_event,
)

MOST_KEPT = 4096

Input = Bar | Trade | ExecutionReport | Gap | Lifecycle | GetState | SetState | SetPosition | Reduced


class Told(Struct, eq=False, gc=False):
    """An event on its way to the host, or told already.

    `received_at` is when it came, in monotonic seconds. `heard` counts the decisions that came in answer; as
    many are left out, by `skip`, when the event is told again to a successor of its host. `booked` are those
    that the host books. A `spoilt` event was the end of a host and is told to no other; one that is `silent`
    is answered by nothing but failures; one that is `done` was answered to its end. `version` is the hash of
    the code that it was told to.

    Hundreds of thousands are kept, in no cycle: the collector would hold up everybody to look at them.
    """

    event: Input
    received_at: float = 0.0
    warm_up: bool = False
    silent: bool = False
    number: int = 0
    heard: int = 0
    skip: int = 0
    deaths: int = 0
    spoilt: bool = False
    done: bool = False
    version: str = ""
    booked: tuple[Decision, ...] = ()


class Question(Told, eq=False, gc=True, kw_only=True):
    """The question for the state; `answered` is called with it, or None."""

    answered: Callable[[str | None], None]


class EventEncoder:
    """Encodes what many hosts are told once: it remembers the market data of last by identity."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[object, Raw]] = {}

    def encode(self, event: Input) -> Raw:
        """Return an event as a batch holds it."""
        if not isinstance(event, Bar | Trade):
            return encode_event(_rare(event))
        kept = self._kept.get(id(event))
        if kept is not None and kept[0] is event:
            return kept[1]
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        raw = encode_event(BarEvent(event) if isinstance(event, Bar) else TradeEvent(event))
        self._kept[id(event)] = event, raw
        return raw


def _rare(event: ExecutionReport | Gap | Lifecycle | GetState | SetState | SetPosition | Reduced) -> Event:
    if isinstance(event, ExecutionReport):
        return ReportEvent(event)
    if isinstance(event, Gap):
        return GapEvent(event)
    return LifecycleEvent(event) if isinstance(event, Lifecycle) else event
