"""An operator's own strategies: a file whose import hangs costs what is in it alone."""

from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from models.errors import StrategyTimedOut
from models.session import Lifecycle, SessionIdentity
from services.author_calls import Candidate, alarm
from services.turn import Turn
from strategies.folder import Import, LoadFailure
from strategies.registry import StrategyRegistry

IMPORT_SECONDS = 20.0  # a library may take some; less than a process of the engine has to begin in

LONG_AGO = datetime.min.replace(tzinfo=UTC)
LOADING = SessionIdentity(
    key="loading",
    symbol="LOADING",
    asset_type="stock",
    strategy_id="loading",
    session_id=None,
    started_at=LONG_AGO,
)


def load_own(registry: StrategyRegistry, folder: Path) -> list[LoadFailure]:
    """Add the strategies of a folder to a registry; return what could not be loaded, and why.

    In a process's main thread the import of each file is interrupted after 20 seconds. Raises ConfigError
    where the folder cannot be read.
    """
    turn = Turn()

    def timed(load: Import) -> ModuleType:
        try:
            try:
                turn.session, turn.event = Candidate(LOADING, IMPORT_SECONDS), Lifecycle("start", LONG_AGO)
                return load()
            finally:
                turn.session = None  # what comes now must not be interrupted
        except StrategyTimedOut as error:
            turn.session = None
            told = StrategyTimedOut(f"its import took longer than {IMPORT_SECONDS:g} s")
            raise told.with_traceback(error.__traceback__) from None

    with alarm(turn, IMPORT_SECONDS):
        return registry.load_folder(folder, timed)
