"""The gateway fails in every way that it can: nothing is executed twice, and nobody else waits for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from tests.faults import gateway_answers as answers
from tests.faults import measures
from tests.faults.databases import signal_statuses
from tests.faults.experiment import Terms
from tests.faults.gateway import Fault, FaultyGateway
from tests.faults.result import FINAL, Result
from tests.faults.stage import Stage, open_stage
from tests.support import eventually

VICTIM, OTHERS = answers.VICTIM, "OTHER"
OTHER_SESSIONS = 4
# Where everybody waits, for the fault and for the longest pause between two probes after it, fewer than the
# 1,000 signals of a session that may wait at once.
INTERVAL, WAITING_INTERVAL = 0.02, 0.04
FAULT_SECONDS, QUICK_FAULT_SECONDS = 20.0, 1.2
UNCHANGED_RATIO, UNCHANGED_SECONDS = 2.0, 0.05
BOMB_KIB_ALLOWED = 32 * 1024
_never = Event()

MakeFault = Callable[[FaultyGateway], Fault]


@dataclass(frozen=True)
class GatewayFault:
    """Sessions on one symbol meet the fault, sessions on another do not; their latencies are compared.

    `expected` are the ways in which a victim's signal may end. `everybody`: the fault is the whole gateway's,
    and /ready says so. `outlasts`: it goes on until the worker has given up.
    """

    name: str
    promise: str
    make: MakeFault
    idempotent: bool = False
    expected: tuple[str, ...] = ("executed",)
    victims: int = 1
    everybody: bool = False
    outlasts: bool = False
    rounds: int = 1

    def run(self, terms: Terms) -> Result:
        """Let victims decide while the gateway fails, in every round, and others all the time."""
        result = Result(self.name, self.promise, terms.rounds)
        seconds = QUICK_FAULT_SECONDS if terms.quick else FAULT_SECONDS
        settings = {
            "GATEWAY_TIMEOUT": "1" if terms.quick else "5",
            "SIGNAL_TTL_SECONDS": "3" if self.outlasts else "60",
        }
        with open_stage(terms.databases.new(), settings, idempotent=self.idempotent) as stage:
            others = [each.key for each in stage.host("decides", [OTHERS], _names("other", OTHER_SESSIONS))]
            for number in range(terms.rounds):
                stage.host("decides", [VICTIM], _names(f"victim{number}-", self.victims))
                self._round(stage, others, seconds, result)
                for key in [key for key in stage.sessions if key.startswith("victim")]:
                    stage.ended.add(key)
                    stage.worker.control("unsubscribe", VICTIM, session=key)
            measures.settle(stage)
            self._judge(stage, result)
        return result

    def _round(self, stage: Stage, others: list[str], seconds: float, result: Result) -> None:
        memory = _resident_kib(stage)
        with stage.feed.flowing([OTHERS], WAITING_INTERVAL if self.everybody else INTERVAL):
            calm = time.monotonic()
            _never.wait(min(seconds, 2.0))
            began = time.monotonic()
            stage.gateway.fault = self.make(stage.gateway)
            stage.feed.publish(VICTIM)
            _never.wait(seconds)
            if self.outlasts:
                eventually(lambda: self._ended(stage), 70, "the worker gives up")
            if self.everybody:
                result.expect(not stage.is_ready(), "/ready does not tell")
            ended = time.monotonic()
            stage.gateway.fault = None
            stage.gateway.come_back()
            eventually(lambda: self._ended(stage), 70, "the signals of the victims end")
            recovered = time.monotonic()
        if self.everybody:
            measures.settle(stage)
            recovered = time.monotonic()
        result.recover.append(recovered - ended)
        result.note_largest("memory grew by KiB", _resident_kib(stage) - memory)
        if not self.everybody:
            self._compare(stage, others, (calm, began, ended), result)

    def _ended(self, stage: Stage) -> bool:
        statuses = signal_statuses(stage.database_url)
        return all(statuses.get(each) in FINAL for each in _signals_of_victims(stage))

    def _compare(
        self, stage: Stage, others: list[str], moments: tuple[float, float, float], result: Result
    ) -> None:
        """Compare the latency of the others before and during the fault."""
        calm, began, ended = moments
        measures.settle(stage, 10)
        before = measures.p99(measures.latencies(stage, others, calm, began))
        during = measures.p99(measures.latencies(stage, others, began, ended))
        result.note_largest("p99 of others before in ms", 1e3 * before)
        result.note_largest("p99 of others during in ms", 1e3 * during)
        limit = max(UNCHANGED_RATIO * before, before + UNCHANGED_SECONDS)
        result.expect_in_time(
            during <= limit, f"others waited: p99 {1e3 * during:.0f} ms, before {1e3 * before:.0f} ms"
        )

    def _judge(self, stage: Stage, result: Result) -> None:
        statuses = signal_statuses(stage.database_url)
        result.expect_nothing_lost(measures.tally(stage, statuses))
        gateway = stage.gateway
        result.figures["early retries"] = gateway.early_retries
        result.figures["repeated posts"] = gateway.repeats
        result.expect(not gateway.early_retries, f"{gateway.early_retries} retries before they were allowed")
        result.expect(
            not (self.outlasts and gateway.repeats), f"{gateway.repeats} posts repeated that must not be"
        )
        for signal_id in _signals_of_victims(stage):
            status = statuses.get(signal_id, "never recorded")
            result.expect(
                status in self.expected, f"a signal ended {status}, not {' or '.join(self.expected)}"
            )
        if self.make is answers.bomb:
            grown = float(result.figures["memory grew by KiB"])
            result.expect(grown < BOMB_KIB_ALLOWED, f"memory grew by {grown:.0f} KiB")


def _names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def _signals_of_victims(stage: Stage) -> list[str]:
    victims = [each for each in stage.sessions.values() if each.symbol == VICTIM]
    return [signal_id for each in victims for signal_id, _ in stage.journals.decided(each)]


def _resident_kib(stage: Stage) -> float:
    status = Path(f"/proc/{stage.worker.process.pid}/status").read_text(encoding="ascii")
    return float(dict(line.split(":", 1) for line in status.splitlines())["VmRSS"].split()[0])


EXPERIMENTS = (
    GatewayFault(
        "gateway-refused",
        "What a gateway that is away was not sent is sent when it is back, once.",
        answers.refused,
        everybody=True,
    ),
    GatewayFault(
        "gateway-503",
        "After a 503 without a reason nothing is executed twice.",
        answers.unavailable,
    ),
    GatewayFault(
        "gateway-503-retry-after",
        "A gateway that says when to come back is not asked before.",
        answers.overloaded_503,
    ),
    GatewayFault(
        "gateway-429",
        "A gateway that says when to come back is not asked before.",
        answers.overloaded_429,
    ),
    GatewayFault(
        "gateway-drops-idempotent",
        "A lost reply is asked for with the same id, and the order executed once.",
        answers.drops,
        idempotent=True,
    ),
    GatewayFault(
        "gateway-drops-read-back",
        "Without idempotency a lost reply is read back, and the order executed once.",
        answers.drops,
    ),
    GatewayFault(
        "gateway-drops-for-good",
        "Where nobody can tell what became of an order, it is unknown and never sent again.",
        answers.drops_for_good,
        expected=("unknown",),
        outlasts=True,
    ),
    GatewayFault(
        "gateway-drips",
        "A reply of one byte a second is given up at the deadline, and the order executed once.",
        answers.drips,
    ),
    GatewayFault(
        "gateway-redirects",
        "A redirect is not followed.",
        answers.redirects,
        expected=("rejected",),
    ),
    GatewayFault(
        "gateway-gzip",
        "200 MB in 200 kB are not unpacked, and the order is executed once.",
        answers.bomb,
    ),
    GatewayFault(
        "gateway-401",
        "While credentials are refused nothing more is sent; afterwards everything is.",
        answers.unauthorised,
        expected=("rejected", "executed"),
        everybody=True,
    ),
    GatewayFault(
        "gateway-hangs",
        "A session whose order hangs keeps nobody else waiting.",
        answers.hangs,
    ),
    GatewayFault(
        "gateway-hangs-for-many",
        "Five sessions whose orders hang keep nobody else waiting.",
        answers.hangs,
        victims=5,
    ),
)
