"""The intake under everything at once, and over a million messages."""

import time
from dataclasses import dataclass
from statistics import median

import redis

from tests.faults.discovered import workload
from tests.faults.experiment import Terms
from tests.faults.intake_stage import TOPIC, IntakeStage, intake_stage
from tests.faults.result import Result
from tests.faults.soak import KIB, sampled
from tests.support import eventually

MESSAGES, QUICK_MESSAGES = 200_000, 4_000
BATCH, QUICK_BATCH = 1_000, 100
NAMES = ("one", "two")
LASTING, QUICK_LASTING = 1_000_000, 20_000
CHUNK, QUICK_CHUNK = 50_000, 5_000
STEADY = 0.25
GROWTH_ALLOWED = 0.05


@dataclass(frozen=True)
class IntakeKill:
    """Two consumers, one of which is killed in every round; both servers are killed and started again."""

    name: str = "intake-kill-9"
    promise: str = "However often consumers, Redis and PostgreSQL die, rows and refusals are exactly right."
    rounds: int = 20

    def run(self, terms: Terms) -> Result:
        """Kill in every round, let them finish, and compare with what was computed beside."""
        result = Result(self.name, self.promise, terms.rounds)
        made = workload(QUICK_MESSAGES if terms.quick else MESSAGES, terms.chance)
        with intake_stage(QUICK_BATCH if terms.quick else BATCH) as stage:
            stage.publish(made.payloads)
            began = time.monotonic()
            for name in NAMES:
                stage.start(name)
            self._disturb(stage, terms, len(made.payloads), result)
            eventually(lambda: not stage.left(), 300.0, "messages are left")
            result.figures["messages/s, interruptions included"] = len(made.payloads) / (
                time.monotonic() - began
            )
            codes = stage.end()
            result.expect(codes == [0, 0], f"the consumers ended with {codes}")
            found, reasons = stage.scores(), stage.reasons()
        lost = made.scores.keys() - found.keys()
        wrong = [each for each in found.keys() & made.scores.keys() if found[each] != made.scores[each]]
        result.figures |= {"messages": len(made.payloads), "rows": len(found), "lost": len(lost)}
        result.figures |= {"wrongly overwritten": len(wrong), "refused": sum(reasons.values())}
        result.expect(not lost, f"{len(lost)} strategies lost")
        result.expect(not wrong, f"{len(wrong)} strategies do not have their newest score")
        result.expect(found.keys() <= made.scores.keys(), "there are strategies that nobody sent")
        result.expect(reasons == made.refused, f"refused {dict(reasons)}, not {dict(made.refused)}")
        return result

    def _disturb(self, stage: IntakeStage, terms: Terms, messages: int, result: Result) -> None:
        """Kill a consumer each time that some more messages are done, and each server once on the way."""
        at = {terms.rounds // 3: stage.valkey, 2 * terms.rounds // 3: stage.postgres}
        if terms.rounds == 1:
            at = {0: stage.valkey}
        killed_at = []
        for number in range(terms.rounds):
            stage.wait_until_left(messages - messages * (number + 1) // (terms.rounds + 2))
            left = stage.left()
            killed_at.append(left)
            stage.kill(NAMES[number % len(NAMES)])
            if (server := at.get(number)) is not None:
                began = time.monotonic()
                server.kill()
                server.restart()
                stage.wait_until_left(left - 1)
                result.recover.append(time.monotonic() - began)
        if terms.quick:
            stage.postgres.kill()
            stage.postgres.restart()
        result.figures["messages left when it was killed last"] = killed_at[-1]
        result.expect(killed_at[-1] > 0, "everything was done before the last kill")


@dataclass(frozen=True)
class IntakeMemory:
    """One consumer, a million messages, and its memory on the way."""

    name: str = "intake-memory"
    promise: str = "The memory of a consumer does not grow with the messages that it has taken in."
    rounds: int = 1

    def run(self, terms: Terms) -> Result:
        """Feed it chunk by chunk, and look at it all the while."""
        result = Result(self.name, self.promise, terms.rounds)
        count, chunk = (QUICK_LASTING, QUICK_CHUNK) if terms.quick else (LASTING, CHUNK)
        payloads = workload(chunk, terms.chance).payloads
        with intake_stage(BATCH) as stage:
            stage.start(NAMES[0])
            began = time.monotonic()
            with sampled(stage.consumers[NAMES[0]].pid) as samples:
                for _ in range(count // chunk):
                    stage.publish(payloads)
                    stage.wait_until_left(0)
                    _empty(stage)
            result.figures["messages/s, publishing included"] = count / (time.monotonic() - began)
            result.expect(stage.end() == [0], "the consumer did not end well")
        held = [each.memory_kib for each in samples]
        steady = held[int(len(held) * STEADY) :]
        third = max(1, len(steady) // 3)
        first, last = median(steady[:third]), median(steady[-third:])
        result.figures |= {"messages": count, "MiB at first": first / KIB, "MiB in the end": last / KIB}
        result.figures["MiB at most"] = max(held) / KIB
        result.expect_in_time(last <= first * (1 + GROWTH_ALLOWED), f"memory grew by {last / first - 1:.1%}")
        return result


def _empty(stage: IntakeStage) -> None:
    """Take what is done from the stream: this experiment is about the consumer's memory, not Redis's."""
    with redis.Redis.from_url(stage.valkey.url) as client:
        client.xtrim(TOPIC, maxlen=0, approximate=False)


EXPERIMENTS = (IntakeKill(), IntakeMemory())
