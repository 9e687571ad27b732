"""States of sessions kept in memory, for tests that need no server."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from models.errors import StorageUnavailable
from models.saved_state import SavedState
from services.session import Session
from services.state_desk import StateDesk
from services.state_history import UnansweredSignals
from services.state_keeper import StateKeeper
from services.turn import Letter


class MemoryStates:
    """A store of states that ends with the test; plays one that is away when told so."""

    def __init__(self) -> None:
        self.held: dict[str, SavedState] = {}
        self.batches: list[list[str]] = []
        self.away = False

    def load(self, session_key: str) -> SavedState | None:
        self._answer()
        return self.held.get(session_key)

    def save(self, states: Sequence[SavedState]) -> None:
        self._answer()
        self.batches.append([state.session_key for state in states])
        for state in states:
            held = self.held.get(state.session_key)
            if held is None or (held.fence, held.saved_at) <= (state.fence, state.saved_at):
                self.held[state.session_key] = state

    def prune(self, before: datetime, present: Collection[str]) -> int:
        self._answer()
        old = [key for key, state in self.held.items() if state.saved_at < before and key not in present]
        for key in old:
            del self.held[key]
        return len(old)

    def _answer(self) -> None:
        if self.away:
            raise StorageUnavailable("the store of states is away")


def state_desk(
    post: Callable[[Session, Letter], None], store: MemoryStates | None = None, round_seconds: float = 30.0
) -> StateDesk:
    """Return a desk over a store in memory that knows of no signals."""
    keeper = StateKeeper(store or MemoryStates(), round_seconds)
    return StateDesk(keeper, UnansweredSignals(list), post)
