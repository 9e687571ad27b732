"""Giving a session back what was saved of it: decided here, apart from where it is kept."""

import json
from collections.abc import Callable

import structlog
from msgspec import Struct
from msgspec.structs import replace

from models.errors import StrategyTimedOut
from models.lease import UNLEASED
from models.position import Position
from models.saved_state import SavedState
from models.session import SessionIdentity
from services.state_history import PastSignal, carry_on
from services.state_memory import NEVER_SAVED, SessionMemory
from services.state_source import UNKNOWN_SOURCE, code_hash
from strategies.base_strategy import BaseStrategy

log = structlog.get_logger(__name__)


class Recollection(Struct, frozen=True):
    """What is known of a session's past; `reason` says why there is no saved state.

    `fence` is the number of the lease under which it goes on.
    """

    saved: SavedState | None = None
    signals: tuple[PastSignal, ...] = ()
    reason: str = NEVER_SAVED
    fence: int = UNLEASED


def refusal(saved: SavedState, identity: SessionIdentity, strategy: BaseStrategy) -> str | None:
    """Return why a state is not given to a strategy, or None when it is."""
    if saved.state is None or saved.state == "{}":
        return NEVER_SAVED
    if (saved.strategy_id, saved.class_name) != (identity.strategy_id, type(strategy).__qualname__):
        return f"it was saved by {saved.class_name} as {saved.strategy_id}"
    now = code_hash(strategy)
    if UNKNOWN_SOURCE in {saved.source_hash, now}:
        return "the source of the strategy cannot be read, so it may have changed"
    if saved.source_hash != now:
        return "the source of the strategy changed since"
    return None


def rebuild(
    build: Callable[[], BaseStrategy], identity: SessionIdentity, known: Recollection
) -> tuple[BaseStrategy, SessionMemory]:
    """Make a strategy that goes on where it was saved, and what its session remembers beside it.

    The position comes back whatever became of the code: it is the session's. Where `set_state` refuses, the
    strategy is made anew and starts without its state. Calls an author's code.
    """
    strategy, saved = build(), known.saved
    position, waiting = carry_on(saved.position if saved else Position(), known.signals)
    memory = SessionMemory(
        open_signals=waiting,
        unresolved={each.signal_id for each in known.signals if each.is_unresolved},
        counted={each.signal_id for each in known.signals if each.counted},
        reason=known.reason,
        saved=saved,
        fence=known.fence,
    )
    if saved is not None and saved.state is not None:
        memory.reason = refusal(saved, identity, strategy)
        if memory.reason is None:
            try:
                strategy.set_state(json.loads(saved.state))
            except StrategyTimedOut:
                raise
            except BaseException as error:  # noqa: BLE001 — an author's code: a fresh start is better than none
                memory.reason = f"set_state raised {type(error).__name__}: {error}"
                strategy = build()
            else:
                memory.restored, memory.seen = True, saved.last_bars
    if saved is not None and not memory.restored:
        memory.saved = replace(saved, state=None, last_bars={})
    strategy.booked_position = position
    if saved is not None and memory.reason not in {None, NEVER_SAVED}:
        log.warning("state_not_restored", session=identity.key, reason=memory.reason)
    return strategy, memory
