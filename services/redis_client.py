"""Connections to Redis: a client for commands, and the kind of connection that subscriptions read from.

Both speak RESP2, which hiredis parses twice as fast as RESP3, and neither retries on its own: a retry that
the caller does not see repeats writes and hides losses.
"""

import socket
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, ConnectionPool
from redis.retry import Retry

CONNECT_SECONDS = 2.0
REPLY_SECONDS = 2.0


def make_client(url: str) -> redis.Redis:
    """Return a client for single commands, safe to share between threads. Connects on first use."""
    return redis.Redis(connection_pool=_make_pool(url))


def open_connection(url: str) -> tuple[AbstractConnection, socket.socket]:
    """Connect and log in; return redis-py's connection and the socket under it, free for other use.

    Raises redis.RedisError when the server cannot be reached or refuses. redis-py opens the socket, so that
    every kind of URL works (TLS, unix, password, database); who reads it from here on is up to the caller.
    """
    connection: Any = _make_pool(url).make_connection()
    connection.connect()
    sock: socket.socket = connection._sock  # noqa: SLF001 — redis-py has no public name; its version is pinned
    return connection, sock


def _make_pool(url: str) -> ConnectionPool:
    return ConnectionPool.from_url(
        url,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=REPLY_SECONDS,
        socket_keepalive=True,
        health_check_interval=0,
        client_name="strategy-worker",
    )
