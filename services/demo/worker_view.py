"""What the worker tells over HTTP: its sessions and its metrics, as anybody could ask for them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import requests
from prometheus_client.parser import text_string_to_metric_families

from services.demo.books import WorkerBook
from services.demo.failure import DemoFailed

ANSWER_SECONDS = 5.0
OK = 200


@dataclass(frozen=True, slots=True)
class SessionView:
    """One session of GET /sessions; `answered` counts the signals whose outcome its strategy was told."""

    key: str
    symbol: str
    strategy: str
    state: str
    reason: str | None
    answered: int
    average_price: float
    realised: float
    book: WorkerBook

    def equity(self, cash: float, price: float) -> float:
        """Return what the account is worth at `price`, by the worker's own position."""
        return cash + self.realised + (price - self.average_price) * float(self.book.position)


@dataclass(frozen=True, slots=True)
class Vitals:
    """A few numbers of GET /metrics: what was delivered, signals on their way, what was turned away.

    `untold` counts the verdicts of the risk desk that are not in the database yet.
    """

    delivered: int
    trades: int
    pending: int
    turned_away: Mapping[str, int]
    untold: int = 0

    @property
    def taken(self) -> int:
        """How many messages were read, whatever became of them."""
        return self.delivered + self.trades + sum(self.turned_away.values())


class WorkerView:
    """Asks the worker. What it does not answer in time raises what `failure` makes of the reason."""

    def __init__(self, url: str, failure: Callable[[str], DemoFailed]) -> None:
        self._url = url
        self._failure = failure
        self._http = requests.Session()
        self._http.trust_env = False

    def is_ready(self) -> bool:
        """Whether the worker answers and calls itself ready."""
        try:
            return self._http.get(f"{self._url}/ready", timeout=ANSWER_SECONDS).status_code == OK
        except requests.RequestException:
            return False

    def sessions(self) -> dict[str, SessionView]:
        """Return every session by its key."""
        return {each["key"]: _session(each) for each in self._get("/sessions").json()}

    def executions(self) -> list[dict[str, Any]]:
        """Return the portfolio executions that have not ended, in the names of the wire."""
        found: list[dict[str, Any]] = self._get("/executions").json()
        return found

    def vitals(self) -> Vitals:
        """Return the numbers that tell how far the worker is."""
        events = {"bar": 0, "trade": 0}
        pending = untold = 0
        turned_away: dict[str, int] = {}
        for family in text_string_to_metric_families(self._get("/metrics").text):
            for sample in family.samples:
                if sample.name == "worker_events_total":
                    events[sample.labels["kind"]] = int(sample.value)
                elif sample.name == "worker_outbox_pending":
                    pending = int(sample.value)
                elif sample.name in {"worker_events_dropped_total", "worker_events_rejected_total"}:
                    turned_away[sample.labels["reason"]] = int(sample.value)
                elif sample.name in {"risk_violations_total", "risk_warnings_total"}:
                    untold += int(sample.value)
                elif sample.name == "risk_events_total":
                    untold -= int(sample.value)
        return Vitals(events["bar"], events["trade"], pending, turned_away, untold)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _get(self, path: str) -> requests.Response:
        try:
            answer = self._http.get(self._url + path, timeout=ANSWER_SECONDS)
            answer.raise_for_status()
        except requests.RequestException as error:
            raise self._failure(f"does not answer GET {path}: {error}") from error
        return answer


def _session(told: Mapping[str, Any]) -> SessionView:
    outcomes, position = told.get("outcomes", {}), told.get("position", {})
    return SessionView(
        key=told["key"],
        symbol=told["symbol"],
        strategy=told.get("strategy", told["strategyId"]),
        state=told["state"],
        reason=told["reason"],
        answered=sum(outcomes.values()),
        average_price=position.get("averagePrice", 0.0),
        realised=position.get("realisedPnl", 0.0),
        book=WorkerBook(
            bars=told.get("bars", 0),
            signals=told.get("signals", 0),
            executed=outcomes.get("executed", 0),
            rejected=outcomes.get("rejected", 0),
            position=Decimal(str(position.get("quantity", 0))),
        ),
    )
