"""The leases in Redis: who lives, who holds which session, and the fencing numbers.

`strategy_worker:workers:INSTANCE` says that a worker lives, and expires unless it says so again.
`strategy_worker:leases` holds "INSTANCE NUMBER SINCE" by session: a lease is good while its owner lives.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import redis
from msgspec import Struct

from models.errors import StorageUnavailable
from services.leases.scripts import BURY, CLAIM, RELEASE, RENEW, SWEEP
from services.redis_client import make_client

LEASES = "strategy_worker:leases"
FENCE = "strategy_worker:fence"
WORKER = "strategy_worker:workers:"
BATCH = 500


class Grant(Struct, frozen=True):
    """What Redis says of one session: its owner, "" for nobody; the numbers count where that is the asker.

    `former` is whom it was taken over from now, "" where it was nobody's.
    """

    key: str
    owner: str
    fence: int
    since: int
    former: str = ""


class Claims(Struct, frozen=True):
    """The answer to a claim: a grant per session, and what other owners that live say of themselves."""

    grants: tuple[Grant, ...]
    others: dict[str, str]


class LeaseTable:
    """Speaks for one worker, under a name that no other process has or ever had.

    `said` is what others are told of it while it lives; `seconds` is how long it counts as alive after each
    claim or renewal. Methods raise StorageUnavailable, which leaves open whether it was done. They may be
    called by several threads.
    """

    def __init__(self, redis_url: str, instance: str, said: str, seconds: float) -> None:
        self.instance = instance
        self._client = make_client(redis_url)
        self._said = said
        self._milliseconds = str(round(seconds * 1000))
        self._keys = (WORKER + instance, LEASES, FENCE)
        self._claim = self._client.register_script(CLAIM)
        self._renew = self._client.register_script(RENEW)
        self._release = self._client.register_script(RELEASE)
        self._bury = self._client.register_script(BURY)
        self._sweep = self._client.register_script(SWEEP)

    def claim(self, keys: Sequence[tuple[str, bool]], highest: int) -> Claims:
        """Take those of at most BATCH sessions that are free or whose owner is no more.

        Where nobody holds a session it is taken only if it comes with true. Numbers are above `highest`.
        """
        asked = [word for key, may_take in keys for word in (key, "1" if may_take else "0")]
        told, others = self._call(self._claim, self._common(highest), (WORKER, *asked))
        grants = (
            Grant(key, owner, int(fence), int(since), former)
            for (key, _), (owner, fence, since, former) in zip(keys, _groups(told, 4), strict=True)
        )
        words = _texts(others)
        return Claims(tuple(grants), dict(zip(words[::2], words[1::2], strict=True)))

    def renew(self, held: Sequence[tuple[str, int]], highest: int) -> list[Grant]:
        """Say that this worker lives, and which of at most BATCH sessions it holds since which number.

        A session that another one holds by now comes back with that owner.
        """
        words = [word for key, since in held for word in (key, str(since))]
        told = self._call(self._renew, self._common(highest), words)
        return [
            Grant(key, owner, int(fence), since)
            for (key, since), (owner, fence) in zip(held, _groups(told, 2), strict=True)
        ]

    def release(self, keys: Sequence[str]) -> None:
        """Leave sessions to whoever wants them."""
        self._call(self._release, (self.instance,), keys, keys=(LEASES,))

    def bury(self, instance: str, said: str) -> None:
        """Note that a worker is no more, unless it said something else since."""
        self._call(self._bury, (said,), (), keys=(WORKER + instance,))

    def sweep(self) -> int:
        """Forget the leases of those that are no more; return how many."""
        return int(self._call(self._sweep, (WORKER,), (), keys=(LEASES,)))

    def leave(self) -> None:
        """Be no more: whoever wants the sessions of this worker may take them at once."""
        try:
            self._client.delete(WORKER + self.instance)
        except redis.RedisError as error:
            raise StorageUnavailable(f"Redis does not take the leases back: {error}") from error

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _common(self, highest: int) -> tuple[str, ...]:
        return self.instance, self._said, self._milliseconds, str(highest)

    def _call(
        self, script: Any, first: Iterable[str], more: Iterable[str], keys: Sequence[str] | None = None
    ) -> Any:
        try:
            return script(keys=self._keys if keys is None else keys, args=[*first, *more])
        except redis.RedisError as error:
            raise StorageUnavailable(f"Redis does not answer about leases: {error}") from error


def batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Cut into pieces that one script may take without holding up the server."""
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def _texts(words: Sequence[bytes]) -> list[str]:
    return [word.decode(errors="replace") for word in words]


def _groups(words: Sequence[bytes], size: int) -> Iterator[tuple[str, ...]]:
    texts = _texts(words)
    return (tuple(texts[start : start + size]) for start in range(0, len(texts), size))
