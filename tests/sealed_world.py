"""A manager whose sessions run stored code in hosts; the test plays the data thread, and the market."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.sandbox.budgets import Budgets
from services.sandbox.client import Zygote
from services.sandbox.strikes import StrikeBook
from services.sandbox.ward import Ward
from services.sealed_session import SealedSession
from services.strategy_source import SealedRecipe
from tests.sealed_hosts import MEMORY_BYTES
from tests.state_keeping import MemoryStates
from tests.support import eventually
from tests.unit.state_world import World

# Hosts come last on a busy machine: those that computed for long come last of all.
PATIENCE_SECONDS = 60.0


class SealedWorld(World):
    """`settle` waits until every host has answered everything, and its answers were acted on."""

    def __init__(self, ward: Ward, source: str, store: MemoryStates | None = None) -> None:
        super().__init__(store=store, idle=False)
        self.ward = ward
        self.source = source
        self.parameters: dict[str, object] = {}

    def find(self, strategy_id: str, symbol: str) -> SealedRecipe:  # type: ignore[override]
        """Play the source of strategies."""
        del strategy_id, symbol
        return SealedRecipe(self.source, self.parameters, self.ward)

    def sealed(self, key: str = "s1") -> SealedSession:
        session = self.session(key)
        assert isinstance(session, SealedSession)
        return session

    def until(self, condition: Callable[[], object]) -> None:
        """Play the data thread until something is so."""

        def met() -> bool:
            self.deliver()
            return bool(condition())

        eventually(met, PATIENCE_SECONDS)

    def settle(self) -> None:
        keys = [each["key"] for each in self.manager.sessions()]
        self.until(lambda: all(self.sealed(key).link.idle for key in keys) and not self.letters)


@contextmanager
def warded(budgets: Budgets | None = None, strikes: StrikeBook | None = None) -> Iterator[Ward]:
    """Run a ward with a zygote of its own."""

    def open_zygote(lost: Callable[[], None]) -> Zygote:
        zygote = Zygote(MEMORY_BYTES, lost=lost)
        zygote.start()
        return zygote

    ward = Ward(open_zygote, strikes or StrikeBook(None), budgets)
    try:
        yield ward
    finally:
        ward.stop(5.0)
