"""Turns approvals into executions: from the stream into the table, acknowledged after the commit."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any

import msgspec
import structlog
from psycopg2.extras import Json

from models.errors import ConfigError, StorageConflict, StorageUnavailable
from models.execution_plan import Approval
from services.db_client import Database
from services.intake.messages import Message, MessageSource
from services.portfolio.approval import ApprovalRefused, read_approval
from services.portfolio.events import refused
from services.portfolio.execution_table import write_events
from services.telemetry.logs import Throttle

TOPIC = "strategy.approved"
GROUP = "strategy-worker"
BATCH = 100
POLL_SECONDS = 0.25  # a stop waits for it
RETRY_SECONDS = 1.0
CLOSE_SECONDS = 2.0
LOG_SECONDS = 30.0

INSERT = """
    INSERT INTO strategy_executions (execution_id, strategy_id, user_id, approved_at, config, started_at)
    VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT DO NOTHING
"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ApprovalHost:
    """Who hears of approvals.

    `refuse` keeps a refused message in the dead letters (source, reason, payload), `count` counts what came
    of each (`started`, `duplicate`, `refused`), `wrote` tells that there is a new execution or event.
    """

    refuse: Callable[[str, str, bytes], None]
    count: Callable[[str], None]
    wrote: Callable[[], None]


class ApprovalDesk:
    """Reads `strategy.approved` on a thread of its own, and writes executions and refusals.

    `stop` is the event that the source was made with.
    """

    def __init__(self, database: Database, source: MessageSource, stop: Event, host: ApprovalHost) -> None:
        self._database = database
        self._source = source
        self._stop = stop
        self._host = host
        self._throttle = Throttle(LOG_SECONDS)
        self._thread = Thread(target=self._run, name="approvals", daemon=True)

    @property
    def reason(self) -> str | None:
        """Why no approvals can be read at the moment; None when they can."""
        return self._source.reason

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Read nothing more; false when the thread did not end within `timeout` seconds."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._work(self._source.poll(BATCH, POLL_SECONDS))
            except Exception:  # the loop of a thread: what is wrong with one message must not stop the others
                log.exception("approval_desk_failed")
                self._stop.wait(RETRY_SECONDS)
        self._source.close(CLOSE_SECONDS)

    def _work(self, messages: list[Message]) -> None:
        """Take messages one by one, each acknowledged once it is written; the database is waited for."""
        waiting = list(messages)
        while waiting and not self._stop.is_set():
            try:
                outcome = self._take(waiting[0])
            except (StorageUnavailable, ConfigError) as error:
                self._throttle.log(log.warning, "approvals_wait", key="storage", reason=str(error))
                waiting = self._source.hold(waiting, RETRY_SECONDS)
                continue
            self._host.count(outcome)
            self._source.commit([waiting.pop(0)])
            self._host.wrote()

    def _take(self, message: Message) -> str:
        """Write what a message starts, or why it starts nothing; return which, in one word."""
        try:
            approval = read_approval(message.payload)
            is_new = self._begin(approval, _config_as_sent(message.payload))
        except ApprovalRefused as refusal:
            return self._turn_down(message, refusal)
        except StorageConflict as error:
            return self._turn_down(message, ApprovalRefused("not_recorded", [str(error)]))
        except (StorageUnavailable, ConfigError):
            raise
        except Exception as error:  # a message that nobody expected must not hold up those behind it
            log.exception("approval_failed", source=str(message.place))
            return self._turn_down(message, ApprovalRefused("internal_error", [type(error).__name__]))
        log.info("strategy_approved", execution=str(approval.execution_id), is_new=is_new)
        return "started" if is_new else "duplicate"

    def _begin(self, approval: Approval, config: dict[str, Any]) -> bool:
        now = datetime.now(UTC)
        ids = (str(approval.execution_id), str(approval.strategy_id), str(approval.user_id))
        with self._database.transaction() as cursor:
            cursor.execute(INSERT, (*ids, approval.timestamp, Json(config), now))
            return bool(cursor.rowcount)

    def _turn_down(self, message: Message, refusal: ApprovalRefused) -> str:
        told = refused(message, refusal.reason, refusal.problems)
        with self._database.transaction() as cursor:
            write_events(cursor, [told])
        self._host.refuse(TOPIC, refusal.reason, message.payload)
        log.warning(
            "approval_refused", source=str(message.place), reason=refusal.reason, problems=refusal.problems
        )
        return "refused"


def _config_as_sent(payload: bytes) -> dict[str, Any]:
    """Return the config with all that was sent, for the record; fields that nobody reads may be no JSON."""
    try:
        config: dict[str, Any] = msgspec.json.decode(payload)["config"]
    except msgspec.DecodeError as error:
        raise ApprovalRefused("not_json", [str(error)]) from None
    return config
