"""A paper gateway served over HTTP in this process, and the requests that a worker and a user send to it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from uuid import uuid4

import requests

from services.db_client import Database
from services.paper.app import create_app
from services.paper.options import PaperGatewayOptions
from services.paper.publisher import RedisPublisher
from services.paper.server import GatewayServer, listening, url_of
from tests.support import free_port


class Client:
    """Speaks to one gateway. Thread-safe: each request has a connection of its own."""

    def __init__(self, url: str, database: Database) -> None:
        self.url = url
        self.database = database

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=30, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> requests.Response:
        return requests.post(self.url + path, json=json, timeout=30, **options)

    def start_session(self, symbol: str = "AAPL", user: str = "alice", **fields: Any) -> str:
        body = {"symbol": symbol, "type": "stock", "strategyId": "mock", "userId": user, **fields}
        reply = self.post("/sessions", body)
        assert reply.status_code == 201, reply.text
        return str(reply.json()["sessionId"])

    def execute(self, order: dict[str, Any], **options: Any) -> requests.Response:
        headers = {"Idempotency-Key": order["signalId"]}
        return self.post("/internal/execute", order, headers=headers, **options)

    def buy(self, session: str, quantity: float, price: float, **fields: Any) -> requests.Response:
        return self.execute(an_order(session, "BUY", quantity, price, **fields))

    def sell(self, session: str, quantity: float, price: float, **fields: Any) -> requests.Response:
        return self.execute(an_order(session, "SELL", quantity, price, **fields))

    def set_balance(self, amount: str, user: str = "alice") -> None:
        with self.database.transaction() as cursor:
            cursor.execute("UPDATE users SET virtual_balance = %s WHERE user_id = %s", (amount, user))

    def balance(self, user: str = "alice") -> Decimal:
        with self.database.transaction() as cursor:
            cursor.execute("SELECT virtual_balance FROM users WHERE user_id = %s", (user,))
            [(balance,)] = cursor.fetchall()
        return Decimal(balance)

    def count(self, table: str) -> int:
        with self.database.transaction() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608
            [(count,)] = cursor.fetchall()
        return int(count)


def an_order(session: str, action: str, quantity: float, price: float, **fields: Any) -> dict[str, Any]:
    return {
        "signalId": str(uuid4()),
        "sessionId": session,
        "strategyId": "mock",
        "symbol": "AAPL",
        "action": action,
        "price": price,
        "quantity": quantity,
        "qty": quantity,
        "confidence": 0.5,
        "timestamp": "2026-01-28T10:00:00Z",
        "metadata": {"why": "a test"},
    } | fields


@contextmanager
def serving(
    database_url: str, redis_url: str | None = None, options: PaperGatewayOptions | None = None
) -> Iterator[Client]:
    """Serve a gateway on a free port. Without `redis_url` its news reaches nobody."""
    database = Database(database_url, size=8)
    publisher = RedisPublisher(redis_url or f"redis://127.0.0.1:{free_port()}")
    ready = threading.Event()
    with listening("127.0.0.1", 0) as listener:
        app = create_app(options or PaperGatewayOptions(), database, publisher)
        server = GatewayServer(app, ready.set)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            assert ready.wait(10)
            yield Client(url_of(listener), database)
        finally:
            server.should_exit = True
            thread.join(10)
            database.close()
            publisher.close()
