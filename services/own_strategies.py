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

# A library may take some; it is less than a process of the engine has to begin in.
IMPORT_SECONDS = 20.0

LONG_AGO = datetime.min.replace(tzinfo=UTC)
LOADING = SessionIdentity(
    key="loading",
    symbol="LOADING",
    asset_type="stock",
    strategy_id="loading",
    session_id=None,
    started_at=LONG_AGO,
)


def load_own(registry: StrategyRegistry, folder: Path, seconds: float | None = None) -> list[LoadFailure]:
    """Add the strategies of a folder to a registry; return what could not be loaded, and why.

    In a process's main thread the import of each file is interrupted after so many seconds, 20 by default.
    Raises ConfigError where the folder cannot be read.
    """
    limit = seconds or IMPORT_SECONDS
    turn = Turn()

    def timed(load: Import) -> ModuleType:
        try:
            try:
                turn.session, turn.event = Candidate(LOADING, limit), Lifecycle("start", LONG_AGO)
                return load()
            finally:
                turn.session = None  # what comes now must not be interrupted
        except StrategyTimedOut as error:
            turn.session = None
            told = StrategyTimedOut(f"its import took longer than {limit:g} s")
            raise told.with_traceback(error.__traceback__) from None

    with alarm(turn, limit):
        return registry.load_folder(folder, timed)
