"""What sessions wrote down, and what they must have decided by that: known without asking the worker."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.signal import derive_signal_id
from tests.faults.feed import bar_identity
from tests.faults.strategies import recording

EVERY = {cls.name: cls.every for cls in (recording.Listens, recording.Decides, recording.DecidesSeldom)}


@dataclass(frozen=True)
class Heard:
    """One event as a session was told of it; `at` is monotonic seconds, `what` its minute or its words."""

    kind: str
    at: float
    what: str

    @property
    def minute(self) -> int:
        """Which bar it was."""
        return int(self.what)


@dataclass(frozen=True)
class Hosted:
    """A session that the worker was told to run."""

    key: str
    symbol: str
    strategy: str


class Journals:
    """The folder of strategies for the worker under test, and the journals that they write in it."""

    def __init__(self, folder: Path) -> None:
        self.strategies = folder
        self._folder = folder / recording.JOURNALS
        self._folder.mkdir()
        shutil.copy(recording.__file__, folder)

    def read(self, key: str) -> list[Heard]:
        """Everything that a session wrote, the oldest first; a line that is being written is left out."""
        path = self._folder / key
        if not path.exists():
            return []
        lines = path.read_text().split("\n")[:-1]
        return [Heard(kind, float(at), what) for kind, at, what in (line.split(" ") for line in lines)]

    def bars(self, key: str) -> list[Heard]:
        """The bars that a session was told of."""
        return [heard for heard in self.read(key) if heard.kind == "bar"]

    def count(self, key: str, kind: str) -> int:
        """How many events of a kind a session was told of."""
        return sum(heard.kind == kind for heard in self.read(key))

    def decided(self, session: Hosted) -> Iterator[tuple[str, Heard]]:
        """The ids of the signals that a session must have given, each with the bar that it answers."""
        every = EVERY.get(session.strategy, 0)
        for heard in self.bars(session.key):
            if every and heard.minute % every == 0:
                yield derive_signal_id(session.key, bar_identity(session.symbol, heard.minute), 0), heard
