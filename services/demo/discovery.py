"""The discovered strategy of the demo: published as a pipeline would, taken in, and started by its row."""

import json
from contextlib import closing
from typing import Any

import redis

from services.demo.failure import DemoFailed
from services.demo.lineup import Entry
from services.demo.stage import Stage
from services.redis_client import make_client

STREAM, FIELD = "discovered-strategies", "data"
FOUND: dict[str, Any] = {
    "symbol": "GOOG",
    "strategy_type": "DOUBLE_EMA_CROSSOVER",
    "parameters": {"shortEmaPeriod": 10, "longEmaPeriod": 40},
    "current_score": 0.5,
}
TAKEN_IN_SECONDS = 30.0
# As a job: it ends once nothing more comes.
INTAKE = ("intake", "--until-idle", "0.2", "--batch-timeout-seconds", "0.1", "--max-seconds", "20")
ROW = "SELECT strategy_id::text FROM strategies WHERE strategy_type = %s AND symbol = %s"


def discover(stage: Stage) -> Entry:
    """Have the intake take in what a pipeline found; return the session to start of it. Raises DemoFailed."""
    try:
        with closing(make_client(stage.addresses.redis_url)) as client:
            client.xadd(STREAM, {FIELD: json.dumps(FOUND)})
    except redis.RedisError as error:
        raise DemoFailed(f"Valkey does not take a discovered strategy: {error}") from error
    stage.run_to_its_end("intake", TAKEN_IN_SECONDS, *INTAKE)
    with stage.database.transaction() as cursor:
        cursor.execute(ROW, (FOUND["strategy_type"], FOUND["symbol"]))
        row = cursor.fetchone()
    if row is None:
        raise DemoFailed("the intake ended, and the discovered strategy is not in the catalogue")
    return Entry(FOUND["strategy_type"].lower(), FOUND["symbol"], strategy_id=row[0])
