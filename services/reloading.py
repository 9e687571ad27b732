"""Running sessions of stored code go on with the code that the catalogue has now."""

from collections.abc import Callable, Sequence
from contextlib import closing
from hashlib import sha256
from uuid import UUID

import structlog
from msgspec.structs import replace

from models.errors import StrategyRejected, StrategyWorkerError
from models.market_data import Bar
from services.sandbox.link import LAST_BARS, Link
from services.sandbox.protocol import Load
from services.sandbox.rehearsal import Rehearsal, sample_bars
from services.sandbox.ward import Ward
from services.strategy_source import SealedRecipe, StrategySource

NO_CODE = "no code"
ROW_WITHOUT_CODE = "its row holds no Python any more: stop and start the session to run what is there now"

log = structlog.get_logger(__name__)


class Reloader:
    """Has new code take over between two events. What comes of it is shown with the session.

    `reload` and `watch` may be called by any thread, and do not wait.
    """

    def __init__(self, source: StrategySource, ward: Ward, changed: Callable[[str], None]) -> None:
        self._source = source
        self._ward = ward
        self._changed = changed
        self._refused: dict[str, str] = {}

    def reload(self, strategy_id: str) -> list[str]:
        """Have every session of a strategy go on with its code of now; return their keys."""
        wanted = _canonical(strategy_id)
        keys = [
            key for key, link in self._ward.links().items() if _canonical(link.load.strategy_id) == wanted
        ]
        if keys:
            self._ward.after(0.0, lambda: self._take_up(set(keys), by_hand=True))
        return keys

    def watch(self, seconds: float) -> None:
        """Look for changed code every so many seconds, from now on."""
        self._ward.after(seconds, lambda: self._look(seconds))

    def _look(self, seconds: float) -> None:
        try:
            self._take_up(set(self._ward.links()), by_hand=False)
        finally:
            self.watch(seconds)

    def _take_up(self, keys: set[str], *, by_hand: bool) -> None:
        for key, link in self._ward.links().items():
            if key in keys:
                self._renew(key, link, by_hand=by_hand)

    def _renew(self, key: str, link: Link, *, by_hand: bool) -> None:
        try:
            recipe = self._source.find(link.load.strategy_id, link.load.symbol)
        except StrategyWorkerError as error:  # the row is gone or switched off, or the database is away
            if by_hand:
                self._note(key, link, f"its code was not reloaded: {error}")
            return
        if isinstance(recipe, SealedRecipe):
            self._swap(key, link, recipe, by_hand=by_hand)
        elif by_hand or self._refused.get(key) != NO_CODE:
            self._refused[key] = NO_CODE
            self._note(key, link, f"its code was not reloaded: {ROW_WITHOUT_CODE}")

    def _swap(self, key: str, link: Link, recipe: SealedRecipe, *, by_hand: bool) -> None:
        """Swap the code of one session; by itself only where it changed, and was not refused before."""
        code_hash = sha256(recipe.source.encode()).hexdigest()
        if not by_hand and code_hash in {link.code_hash, self._refused.get(key)}:
            return
        load = replace(link.load, source=recipe.source, parameters=dict(recipe.parameters))
        try:
            self._rehearse(load, link.last_bars)
            self._ward.reload(key, load)
        except StrategyWorkerError as error:
            self._refused[key] = code_hash
            log.warning("strategy_not_reloaded", session=key, code_hash=code_hash, reason=str(error))
            self._note(key, link, f"code {code_hash[:12]} did not take over: {error}")
        else:
            self._refused.pop(key, None)
            log.info("strategy_reloaded", session=key, code_hash=code_hash)
            self._note(key, link, None)

    def _rehearse(self, load: Load, bars: Sequence[Bar]) -> None:
        """Have the code answer the last bars in a process of its own, from nothing; nobody hears its signals.

        Raises StrategyError where it fails at each of them: made-up ones, where there are none yet.
        """
        with closing(self._ward.prepare(load)) as link:
            failure = Rehearsal(link).failure_at(bars or sample_bars(load.symbol, LAST_BARS))
        if failure is not None:
            raise StrategyRejected(f"it answered none of the last bars when it was tried: {failure}")

    def _note(self, key: str, link: Link, refusal: str | None) -> None:
        link.condition = link.reload_refused = refusal
        link.reloads += 1
        self._changed(key)


def _canonical(strategy_id: str) -> str:
    """Return an id as the catalogue writes it: control events may write a UUID in another way."""
    try:
        return str(UUID(strategy_id))
    except ValueError:
        return strategy_id
