"""How the intake shares the work out: one batch is stored while the one before it is committed, in order."""

from collections import deque
from collections.abc import Collection, Sequence
from threading import Event

import structlog

from models.errors import StorageUnavailable
from services.intake.consumer import IntakeConsumer
from services.intake.discovered import DiscoveredReader
from services.intake.messages import Message, Place
from services.intake.pace import Ending, Pace
from services.intake.repository import BulkResult, Staged
from tests.discoveries import payload

SIZE = 3
WAIT_SECONDS = 10.0


class ThreeBatches:
    """A source of three full batches, which remembers what was committed."""

    reason: str | None = None
    lost = 0

    def __init__(self) -> None:
        self.given = deque(_batch(number) for number in range(3))
        self.committed: list[str] = []

    def poll(self, *_: object) -> list[Message]:
        return self.given.popleft() if self.given else []

    def commit(self, messages: Sequence[Message]) -> None:
        self.committed.append(messages[0].id)

    def hold(self, messages: Sequence[Message], _seconds: float) -> list[Message]:
        return list(messages)

    def lag(self) -> int | None:
        return None

    def close(self, _seconds: float) -> None:
        pass


class Storing:
    """A repository that tells which batches it was given, and fails those that it is told to, once each."""

    def __init__(self, failing: Collection[int] = ()) -> None:
        self.begun = [Event() for _ in range(3)]
        self.order: list[int] = []
        self.batches: list[set[str]] = [set() for _ in range(3)]
        self._failing = set(failing)

    def write(self, staged: Staged) -> BulkResult:
        number = staged.strategies[0].parameters["batch"]
        self.order.append(number)
        self.batches[number].add(structlog.contextvars.get_contextvars()["batch"])
        self.begun[number].set()
        if number in self._failing:
            self._failing.remove(number)
            raise StorageUnavailable("away")
        return BulkResult(inserted=staged.given)


class NoLetters:
    """A publisher that is given nothing."""

    def publish(self, *_: object) -> None:
        raise AssertionError

    def flush(self, _seconds: float) -> None:
        pass

    def close(self, _seconds: float) -> None:
        pass


def _batch(number: int) -> list[Message]:
    return [
        Message(
            place=Place("t", None, f"{number}-{each}"),
            payload=payload(parameters={"batch": number, "each": each}),
            key="",
            id=f"{number}-{each}",
            delivered=1,
        )
        for each in range(SIZE)
    ]


def consumer_of(source: ThreeBatches, repository: Storing, stop: Event | None = None) -> IntakeConsumer:
    idle = 0.0 if stop is None else WAIT_SECONDS
    pace = Pace(batch_size=SIZE, batch_seconds=0.0, until_idle=idle, max_retries=1)
    reader = DiscoveredReader("json", lambda _: None)
    return IntakeConsumer(
        source,
        NoLetters(),
        reader,
        repository,  # type: ignore[arg-type]
        pace=pace,
        stop=stop or Event(),
    )


def test_the_next_batch_is_stored_before_the_one_before_it_is_committed() -> None:
    repository = Storing()

    class Slow(ThreeBatches):
        def commit(self, messages: Sequence[Message]) -> None:
            following = len(self.committed) + 1
            assert following > 2 or repository.begun[following].wait(WAIT_SECONDS)
            super().commit(messages)

    source = Slow()
    consumer = consumer_of(source, repository)

    assert consumer.run() is Ending.IDLE
    assert source.committed == ["0-0", "1-0", "2-0"]
    assert consumer.counters.outcomes["inserted"] == 3 * SIZE


def test_a_batch_that_fails_is_committed_before_the_next_one_that_was_stored_meanwhile() -> None:
    repository = Storing(failing=[0])

    class Held(ThreeBatches):
        def hold(self, messages: Sequence[Message], seconds: float) -> list[Message]:
            assert repository.begun[1].wait(WAIT_SECONDS)
            return super().hold(messages, seconds)

    source = Held()

    assert consumer_of(source, repository).run() is Ending.IDLE
    assert source.committed == ["0-0", "1-0", "2-0"]
    assert sorted(repository.order) == [0, 0, 1, 2]
    assert len(set.union(*repository.batches)) == 3  # the second attempt is known by the same id


def test_what_is_being_stored_when_the_intake_is_stopped_is_committed() -> None:
    stop, repository = Event(), Storing()

    class Stopped(ThreeBatches):
        def poll(self, *_: object) -> list[Message]:
            return [] if stop.is_set() else super().poll()

        def commit(self, messages: Sequence[Message]) -> None:
            super().commit(messages)
            stop.set()

    source = Stopped()

    assert consumer_of(source, repository, stop).run() is Ending.STOPPED
    assert source.committed == ["0-0", "1-0"]
    assert len(source.given) == 1
