"""Compares what was decided live with what was decided over history: same signals, same ids, same order."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from operator import attrgetter
from typing import Any

from msgspec import Struct

Bodies = Mapping[str, Sequence[bytes]]
"""The signals of each session, by its id, in their order, as they are on the wire."""


class Difference(Struct, frozen=True):
    """Where two sides part: the number of the signal within its session, and what each side has there.

    None is no signal at all.
    """

    session: str
    number: int
    live: dict[str, Any] | None
    past: dict[str, Any] | None

    @property
    def time(self) -> str:
        """The earlier of the two market times, which all have the same form."""
        return min(str(each["timestamp"]) for each in (self.live, self.past) if each is not None)


def differences(live: Bodies, past: Bodies) -> list[Difference]:
    """Return where each session's two sides part first, the earliest of all sessions first."""
    found = (_first(session, live.get(session, ()), past.get(session, ())) for session in {*live, *past})
    return sorted((each for each in found if each is not None), key=attrgetter("time", "session"))


def _first(session: str, live: Iterable[bytes], past: Iterable[bytes]) -> Difference | None:
    for number, (ours, theirs) in enumerate(zip_longest(live, past)):
        if ours != theirs:
            return Difference(session, number, _decoded(ours), _decoded(theirs))
    return None


def _decoded(body: bytes | None) -> dict[str, Any] | None:
    if body is None:
        return None
    decoded: dict[str, Any] = json.loads(body)
    return decoded
