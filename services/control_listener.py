"""The control thread: hears which sessions are wanted, and has the StrategyManager start and stop them."""

import math
import time
from collections import Counter, deque
from threading import Event, Thread

import structlog

from models.errors import DecodeError
from models.market_data import ControlEvent
from services.dead_letters import DeadLetters
from services.reconciliation import Reconciler
from services.session import ENDED
from services.strategy_manager import StrategyManager
from services.subscription import Subscription
from services.telemetry.health import Heartbeat
from services.telemetry.logs import Throttle

CONTROL_CHANNEL = "system:subscription_updates"
LOG_SECONDS = 10.0
AWAY_SECONDS = 1.0

log = structlog.get_logger(__name__)


class ControlListener:
    """Applies control events, one after the other, in the order of their arrival."""

    def __init__(
        self,
        redis_url: str,
        manager: StrategyManager,
        reconciler: Reconciler,
        dead_letters: DeadLetters,
        reconcile_seconds: float,
    ) -> None:
        self.heartbeat = Heartbeat()
        self.subscribed = False
        self.outcomes: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.gaps = 0
        self._manager = manager
        self._reconciler = reconciler
        self._dead_letters = dead_letters
        self._reconcile_seconds = reconcile_seconds
        self._reconcile_at = math.inf
        self._is_asked = False
        self._resumed: deque[str] = deque()
        self._throttle = Throttle(LOG_SECONDS)
        self._stop = Event()
        self._subscription = Subscription(redis_url, (CONTROL_CHANNEL,), self)
        self._thread = Thread(target=self._run, name="control-listener", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self.heartbeat.beat()
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """End the thread; false when it did not end within `timeout` seconds."""
        self._stop.set()
        self._subscription.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def resume(self, key: str) -> None:
        """Start a session again that ended with a reason, soon and on the control thread. Any thread."""
        self._resumed.append(key)
        self._subscription.wake()

    def compare_soon(self) -> None:
        """Compare with the table and the registry soon, and on the control thread. Any thread."""
        self._is_asked = True
        self._subscription.wake()

    def on_subscribed(self, silent_seconds: float | None) -> None:
        """Note that control events are heard, and for how long they were not."""
        self.subscribed = True
        self._reconcile_at = time.monotonic()
        self._reconciler.reason = "not compared since the subscription"
        if silent_seconds is not None:
            self.gaps += 1
        log.info("control_subscribed", silent_seconds=silent_seconds)

    def on_lost(self, reason: str) -> None:
        """Note that control events may be missed from now on."""
        self.subscribed = False
        log.warning("control_lost", reason=reason)

    def _run(self) -> None:
        for batch in self._subscription.batches(self._stop):
            self.heartbeat.beat()
            self._reconcile_when_due()
            while self._resumed:
                self._adopt_again(self._resumed.popleft())
            for _, _, channel, payload in batch:
                if self._stop.is_set():
                    break
                self.heartbeat.beat()
                self._apply(channel, payload)
        self._subscription.close()

    def _reconcile_when_due(self) -> None:
        """Compare at once after every subscription, then now and then; sooner where something was away."""
        if time.monotonic() < self._reconcile_at and not self._is_asked:
            return
        self._is_asked = False
        try:
            self._reconciler.reconcile(self.heartbeat.beat)
        except Exception:  # a session that cannot be compared must not end the thread that starts the others
            log.exception("reconciliation_failed")
        wait = self._reconcile_seconds if self._reconciler.reason is None else AWAY_SECONDS
        self._reconcile_at = time.monotonic() + min(wait, self._reconcile_seconds)

    def _adopt_again(self, key: str) -> None:
        record = self._manager.records().get(key)
        if record is not None and record.state in ENDED:
            self._manager.halts.lift(key)
            self._manager.adopt(record.identity)

    def _apply(self, channel: bytes, payload: bytes) -> None:
        try:
            outcome = self._manager.apply(ControlEvent.decode(payload))
        except DecodeError as error:
            self._dead_letters.add(channel.decode(), error.reason, payload)
            self._throttle.log(
                log.warning,
                "control_event_refused",
                key=error.reason,
                reason=error.reason,
                detail=error.detail,
            )
            self.rejected[error.reason] += 1
            return
        except Exception:  # a bug that one event meets must not end the thread that hears the others
            outcome = "failed"
            self._dead_letters.add(channel.decode(), outcome, payload)
            log.exception("control_event_failed")
        self.outcomes[outcome] += 1
