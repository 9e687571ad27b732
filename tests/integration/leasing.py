"""Workers of tests as far as leases go: each a keeper with a table of its own, moved by the test."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import msgspec
from msgspec.structs import replace

from services.leases.holdings import Holdings, lease_clock
from services.leases.keeper import LeaseHooks, LeaseKeeper
from services.leases.process import ProcessIdentity, this_process
from services.leases.table import LeaseTable

SECONDS = 60.0
ELSEWHERE = ProcessIdentity(machine="elsewhere", pid=1, started=1)
_numbers = count(1)


class Leasing:
    """One worker; the test plays its thread by `beat`."""

    def __init__(
        self,
        redis_url: str,
        identity: ProcessIdentity = ELSEWHERE,
        seconds: float = SECONDS,
        clock: Callable[[], float] = lease_clock,
    ) -> None:
        self.name = f"worker-{next(_numbers)}"
        said = msgspec.json.encode(identity).decode()
        self.table = LeaseTable(redis_url, self.name, said, seconds)
        self.holdings = Holdings(clock)
        self.keeper = LeaseKeeper(self.table, self.holdings, seconds, clock)
        self.standing_by: set[str] = set()
        self.needed: set[str] = set()
        self.told: list[str] = []
        self.hooks = LeaseHooks(
            standing_by=lambda: self.standing_by - set(self.holdings.keys()),
            needed=lambda: self.needed,
            lost=lambda key, owner: self.told.append(f"lost {key} to {owner}"),
            won=lambda: self.told.append("won"),
            confirmed=lambda: self.told.append("confirmed"),
        )
        self.keeper.attend(self.hooks)
        self.keeper.reason = None  # it has spoken to Redis before

    def claim(self, *keys: str) -> dict[str, str]:
        """Take sessions that this worker will need."""
        self.needed |= set(keys)
        return self.keeper.claim(keys)

    def beat(self) -> list[str]:
        """Play a turn of the thread; return what the worker was told."""
        self.told.clear()
        self.keeper.beat()
        return self.told

    def holds(self) -> set[str]:
        return set(self.holdings.keys())


def ended_process() -> ProcessIdentity:
    """A process of this machine that was killed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        process.kill()
    return replace(this_process(), pid=process.pid)


@contextmanager
def leasing(redis_url: str, *identities: ProcessIdentity) -> Iterator[list[Leasing]]:
    """Make a worker for each of these processes."""
    workers = [Leasing(redis_url, identity) for identity in identities]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.table.close()
