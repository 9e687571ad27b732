"""The floor of signals, a program of its own: hears a message, posts with requests, knows nothing else.

It reads its order as one line of JSON on stdin, and ends with its connection to Redis.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import repeat
from uuid import uuid4

import redis
import requests

PATH = "/internal/execute"
TIMEOUT_SECONDS = 5.0


def post(session: requests.Session, url: str, count: int) -> None:
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
        session.post(url, json=signal, timeout=TIMEOUT_SECONDS).raise_for_status()


def main() -> None:
    """Post `posts` signals over `threads` threads, each with a Session of its own, at every message."""
    order = json.loads(sys.stdin.readline())
    threads, url = order["threads"], order["gateway_url"] + PATH
    client = redis.Redis.from_url(order["redis_url"], protocol=2)
    pubsub = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]  # untyped there
    pubsub.subscribe(order["channel"])
    sessions = [requests.Session() for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        for _ in pubsub.listen():
            if threads == 1:
                post(sessions[0], url, order["posts"])
            else:
                list(pool.map(post, sessions, repeat(url), repeat(order["posts"] // threads)))


if __name__ == "__main__":
    main()
