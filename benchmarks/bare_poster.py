"""The floor of signals, a program of its own: hears a message, posts with requests, knows nothing else.

Where it is given a database, it first writes each signal into a table without anything to it, and waits until
that is on disk. It reads its order as one line of JSON on stdin, and ends with its connection to Redis.
"""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import repeat
from typing import Any
from uuid import uuid4

import psycopg2
import redis
import requests

PATH = "/internal/execute"
TIMEOUT_SECONDS = 5.0
TABLE = "CREATE TABLE IF NOT EXISTS bare_posts (signal_id text PRIMARY KEY, body json)"
ROW = "INSERT INTO bare_posts VALUES (%s, %s)"

Record = Callable[[dict[str, Any]], None]


def post(session: requests.Session, url: str, count: int, record: Record | None = None) -> None:
    """Post so many signals, one after the other."""
    for _ in range(count):
        signal = {
            "signalId": str(uuid4()),
            "sessionId": "floor",
            "strategyId": "signal_every_bar",
            "symbol": "SYM000",
            "action": "BUY",
            "price": 100.75,
            "quantity": 1.0,
            "qty": 1.0,
            "confidence": 1.0,
            "timestamp": datetime.now(UTC).isoformat(),
            "metadata": {},
        }
        if record is not None:
            record(signal)
        session.post(url, json=signal, timeout=TIMEOUT_SECONDS).raise_for_status()


def recorder(database_url: str) -> Record:
    """Return what writes a signal down, in one statement that commits itself."""
    connection = psycopg2.connect(database_url)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(TABLE)
    return lambda signal: cursor.execute(ROW, (signal["signalId"], json.dumps(signal)))


def main() -> None:
    """Post `posts` signals over `threads` threads, each with a Session of its own, at every message."""
    order = json.loads(sys.stdin.readline())
    threads, url = order["threads"], order["gateway_url"] + PATH
    record = None if order["database_url"] is None else recorder(order["database_url"])
    client = redis.Redis.from_url(order["redis_url"], protocol=2)
    pubsub = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]  # untyped there
    pubsub.subscribe(order["channel"])
    sessions = [requests.Session() for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        for _ in pubsub.listen():
            if threads == 1:
                post(sessions[0], url, order["posts"], record)
            else:
                list(pool.map(post, sessions, repeat(url), repeat(order["posts"] // threads)))


if __name__ == "__main__":
    main()
