"""Running sessions of stored code go on with the code that the catalogue has now."""

from collections.abc import Callable, Sequence
from contextlib import closing
from hashlib import sha256

import structlog
from msgspec.structs import replace

from models.errors import StrategyRejected, StrategyWorkerError
from models.market_data import Bar
from services.sandbox.link import LAST_BARS, Link
from services.sandbox.protocol import Load
from services.sandbox.rehearsal import Rehearsal, sample_bars
from services.sandbox.ward import Ward
from services.strategy_source import SealedRecipe, StrategySource

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

    def reload(self, strategy_id: str) -> int:
        """Have every session of a strategy go on with its code of now; return how many there are."""
        keys = [key for key, link in self._ward.links().items() if link.load.strategy_id == strategy_id]
        if keys:
            self._ward.after(0.0, lambda: self._take_up(strategy_id, set(keys), by_hand=True))
        return len(keys)

    def watch(self, seconds: float) -> None:
        """Look for changed code every so many seconds, from now on."""
        self._ward.after(seconds, lambda: self._look(seconds))

    def _look(self, seconds: float) -> None:
        by_strategy: dict[str, set[str]] = {}
        for key, link in self._ward.links().items():
            by_strategy.setdefault(link.load.strategy_id, set()).add(key)
        try:
            for strategy_id, keys in by_strategy.items():
                self._take_up(strategy_id, keys, by_hand=False)
        finally:
            self.watch(seconds)

    def _take_up(self, strategy_id: str, keys: set[str], *, by_hand: bool) -> None:
        links = {key: link for key, link in self._ward.links().items() if key in keys}
        try:
            for key, link in links.items():
                recipe = self._source.find(strategy_id, link.load.symbol)
                if isinstance(recipe, SealedRecipe):
                    self._swap(key, link, recipe, by_hand=by_hand)
        except StrategyWorkerError as error:  # the row is gone or switched off, or the database is away
            if by_hand:
                for key, link in links.items():
                    self._note(key, link, f"its code was not reloaded: {error}")

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

    def _note(self, key: str, link: Link, condition: str | None) -> None:
        link.condition = condition
        link.reloads += 1
        self._changed(key)
