"""A stream on a Redis that keeps its data on disk, a catalogue, and consumers of the intake between them."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import redis

from services.db_client import migrate
from services.embedded import EmbeddedPostgres, EmbeddedValkey
from services.embedded.launcher import Launch
from services.intake.refusals import STRATEGY_DEAD_LETTERS, Refusal
from tests.faults.databases import cursor_of
from tests.support import REPOSITORY, RunningProcess, eventually, running_process

TOPIC, GROUP = "discovered-strategies", "strategy-consumer"
PUBLISHED_AT_ONCE = 5_000
PATIENCE_SECONDS = 120.0


class DurableValkey(EmbeddedValkey):
    """A Valkey that has on disk what it confirmed, and reads it when it is started again."""

    def _launch(self, folder: Path, port: int) -> Launch:
        launch = super()._launch(folder, port)
        configuration = folder / "valkey.conf"
        text = configuration.read_text().replace("appendonly no", "appendonly yes\nappendfsync always")
        configuration.write_text(text)
        return launch


@dataclass
class IntakeStage:
    """Everything that runs. Consumers are named, so that one started again takes up what it had in hand."""

    valkey: EmbeddedValkey
    postgres: EmbeddedPostgres
    batch_size: int
    stack: ExitStack
    consumers: dict[str, RunningProcess] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start a consumer of this name."""
        settings = {
            "REDIS_URL": self.valkey.url,
            "DATABASE_URL": self.postgres.url,
            "INTAKE_CONSUMER": name,
            "BATCH_SIZE": str(self.batch_size),
            "BATCH_TIMEOUT_SECONDS": "0.2",
            "MAX_RETRIES": "8",
            "HEALTH_PORT": "0",
            "METRICS_PORT": "0",
            "LOG_LEVEL": "WARNING",
        }
        command = [sys.executable, str(REPOSITORY / "main.py"), "intake"]
        self.consumers[name] = self.stack.enter_context(running_process(command, settings))

    def kill(self, name: str) -> None:
        """Kill a consumer, and start it again."""
        self.consumers[name].kill()
        self.consumers[name].wait()
        self.start(name)

    def publish(self, payloads: Sequence[bytes]) -> None:
        """Append to the stream."""
        with redis.Redis.from_url(self.valkey.url, socket_timeout=PATIENCE_SECONDS) as client:
            for begin in range(0, len(payloads), PUBLISHED_AT_ONCE):
                with client.pipeline(transaction=False) as pipeline:
                    for each in payloads[begin : begin + PUBLISHED_AT_ONCE]:
                        pipeline.xadd(TOPIC, {"data": each})
                    pipeline.execute()

    def left(self) -> int:
        """How many messages are not committed; the servers may be away meanwhile."""
        try:
            with redis.Redis.from_url(self.valkey.url) as client:
                for each in client.xinfo_groups(TOPIC):
                    if each["name"].decode() == GROUP:
                        return int(each["pending"]) + int(each["lag"] or 0)
                return int(client.xlen(TOPIC))
        except (redis.RedisError, TypeError):
            return sys.maxsize

    def wait_until_left(self, most: int) -> None:
        """Wait until at most so many are not committed."""
        eventually(lambda: self.left() <= most, PATIENCE_SECONDS, f"{most} messages left", pause=0.02)

    def scores(self) -> dict[int, float]:
        """The score of every strategy in the catalogue, by its number."""
        with cursor_of(self.postgres.url) as cursor:
            cursor.execute("SELECT (parameters->>'strategy')::int, current_score FROM strategies")
            return dict(cursor.fetchall())

    def refusals(self) -> dict[str, Refusal]:
        """What was refused, by its place in the source; the same twice is one."""
        with redis.Redis.from_url(self.valkey.url, socket_timeout=PATIENCE_SECONDS) as client:
            entries = client.xrange(STRATEGY_DEAD_LETTERS)
        letters = [msgspec.json.decode(fields[b"data"], type=Refusal) for _, fields in entries]
        return {each.source: each for each in letters}

    def reasons(self) -> Counter[str]:
        """How many messages were refused, by the kind of check."""
        return Counter(each.reason for each in self.refusals().values())

    def end(self) -> list[int]:
        """End the consumers by SIGTERM; return their exit codes."""
        for each in self.consumers.values():
            each.terminate()
        return [each.wait() for each in self.consumers.values()]


@contextmanager
def intake_stage(batch_size: int) -> Iterator[IntakeStage]:
    """Run both servers; consumers are started by whoever asks for them."""
    with DurableValkey() as valkey, EmbeddedPostgres() as postgres, ExitStack() as stack:
        migrate(postgres.url)
        yield IntakeStage(valkey, postgres, batch_size, stack)
