"""The approved portfolio of the demo: published as a platform would, and stopped at the end."""

import json
import time
from contextlib import closing
from datetime import UTC, datetime
from threading import Event
from typing import Any

import redis
import requests

from services.demo.failure import DemoFailed
from services.demo.portfolio_outcome import ENDED, read_portfolio
from services.demo.stage import Stage
from services.redis_client import make_client

NAME = "Three stocks"
STRATEGY_ID = "5d0f3b1e-4b0c-5c55-9a6e-0f6a4d1f2b01"
USER_ID = "7a1c9f52-2f0b-5e0e-8c55-4be1f3d7a902"
CAPITAL = 100_000
# Apple's share is more than a position may have: the risk desk makes its orders smaller.
ALLOCATION = {"AAPL": 0.35, "IBM": 0.30, "MSFT": 0.25}
STREAM, FIELD = "strategy.approved", "data"
STARTED_SECONDS, STOPPED_SECONDS = 20.0, 30.0
POLL_SECONDS = 0.05
ANSWER_SECONDS = 5.0
ACCEPTED = (200, 202)


class Portfolio:
    """One execution, from its approval to its end."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._wait = Event()  # never set: Ctrl-C ends a wait
        self.execution_id = ""

    def approve(self) -> None:
        """Publish the approval, and wait until the worker executes it. Raises DemoFailed."""
        message = {
            "type": STREAM,
            "strategy_id": STRATEGY_ID,
            "user_id": USER_ID,
            "timestamp": datetime.now(UTC).isoformat(),
            "config": {
                "name": NAME,
                "type": "ALLOCATION",
                "symbols": list(ALLOCATION),
                "allocation": ALLOCATION,
                "initial_capital": float(CAPITAL),
            },
        }
        try:
            with closing(make_client(self._stage.addresses.redis_url)) as client:
                client.xadd(STREAM, {FIELD: json.dumps(message)})
        except redis.RedisError as error:
            raise DemoFailed(f"Valkey does not take the approval: {error}") from error
        deadline = time.monotonic() + STARTED_SECONDS
        while not (found := self._executions()):
            self._stage.check()
            if time.monotonic() > deadline:
                raise self._stage.worker.failure(f"did not take the approval in {STARTED_SECONDS:.0f} s")
            self._wait.wait(POLL_SECONDS)
        self.execution_id = found[0]["execution_id"]

    def stop(self) -> None:
        """Have the worker close every position, and wait until it has, and told why. Raises DemoFailed."""
        where = self._stage.addresses
        try:
            answer = requests.post(
                f"{where.worker_url}/executions/{self.execution_id}/stop",
                headers={"Authorization": f"Bearer {where.control_token}"},
                timeout=ANSWER_SECONDS,
            )
        except requests.RequestException as error:
            raise self._stage.worker.failure(f"does not stop the portfolio: {error}") from error
        if answer.status_code not in ACCEPTED:
            raise self._stage.worker.failure(f"answered {answer.status_code} to a stop: {answer.text}")
        deadline = time.monotonic() + STOPPED_SECONDS
        while not self._has_ended() or self._stage.view.vitals().untold > 0:
            self._stage.check()
            if time.monotonic() > deadline:
                return  # the check of its books will say what is missing
            self._wait.wait(POLL_SECONDS)

    def _has_ended(self) -> bool:
        return read_portfolio(self._stage.database, self.execution_id).status in ENDED

    def _executions(self) -> list[dict[str, Any]]:
        return [each for each in self._stage.view.executions() if each["strategy_id"] == STRATEGY_ID]
