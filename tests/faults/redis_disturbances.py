"""What is done to a Redis or to the way to it. Each is a context: what is in its block happens meanwhile."""

import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from urllib.parse import urlsplit

from tests.acceptance.conftest import CONTROL
from tests.faults import measures
from tests.faults.experiment import Terms
from tests.faults.proxy import Proxy
from tests.faults.stage import Stage
from tests.support import eventually

LONG_SECONDS = (1.0, 5.0, 30.0)
QUICK_SECONDS = (0.5, 1.0)
PAUSE_SECONDS, QUICK_PAUSE_SECONDS = 20.0, 4.0
# Larger messages count little: this server keeps references to them.
FLOOD_MESSAGES, FLOOD_BYTES = 5_000, 4_000
MEGABYTE = 1_000_000
USER = "worker"
_never = Event()
_proxies: dict[int, Proxy] = {}


@dataclass
class Disturbance:
    """Gaps made by stream, when all was well again (monotonic), and the seconds until it was noticed.

    `anew` says that a new process counts them, from 0.
    """

    gaps: dict[str, int] = field(default_factory=lambda: dict.fromkeys(measures.STREAMS, 1))
    ended_at: float = 0.0
    noticed: float | None = None
    anew: bool = False


@contextmanager
def between(stage: Stage, name: str) -> Iterator[None]:
    """Put a proxy, or an account of its own, between the worker and Redis where the disturbance needs one."""
    if name in {"redis-slices", "redis-black-hole"}:
        with Proxy(stage.valkey.port) as proxy:
            _proxies[id(stage)] = proxy
            _restart_worker(stage, stage.valkey.url.replace(f":{stage.valkey.port}/", f":{proxy.port}/"))
            yield
            stage.close()  # while the proxy is there, so that it ends in order
        del _proxies[id(stage)]
    elif name == "redis-acl-refused":
        password = secrets.token_hex(8)
        rights = ("on", f">{password}", "~*", "&*", "+@all")
        command(stage, "ACL", "SETUSER", USER, *rights)
        place = urlsplit(stage.valkey.url)
        _restart_worker(stage, f"redis://{USER}:{password}@{place.hostname}:{place.port}/0")
        yield
    else:
        yield


@contextmanager
def restart(stage: Stage, terms: Terms, number: int) -> Iterator[Disturbance]:
    """End Redis, which keeps nothing, and start it again after some seconds."""
    made, away = Disturbance(), QUICK_SECONDS if terms.quick else LONG_SECONDS
    stage.valkey.kill()
    yield made
    _never.wait(away[number % len(away)])
    stage.valkey.restart()
    made.ended_at = time.monotonic()


@contextmanager
def pause(stage: Stage, terms: Terms, _: int) -> Iterator[Disturbance]:
    """Freeze Redis: connections stay open and nothing answers."""
    made, began = Disturbance(), time.monotonic()
    stage.valkey.pause()
    yield made
    made.noticed = _noticed(stage, began)
    _wait_until(began + (QUICK_PAUSE_SECONDS if terms.quick else PAUSE_SECONDS))
    stage.valkey.resume()
    made.ended_at = time.monotonic()


@contextmanager
def black_hole(stage: Stage, terms: Terms, _: int) -> Iterator[Disturbance]:
    """Swallow every packet between the worker and Redis, and drop the half-open connections afterwards."""
    made, began = Disturbance(), time.monotonic()
    proxy = _proxies[id(stage)]
    proxy.swallow()
    yield made
    made.noticed = _noticed(stage, began)
    _wait_until(began + (QUICK_PAUSE_SECONDS if terms.quick else PAUSE_SECONDS))
    proxy.flow()
    made.ended_at = time.monotonic()


@contextmanager
def kill_clients(stage: Stage, terms: Terms, _: int) -> Iterator[Disturbance]:
    """Cut every subscription, at a random moment of a second."""
    made = Disturbance()
    yield made
    _never.wait(terms.chance.random() * (0.1 if terms.quick else 1.0))
    command(stage, "CLIENT", "KILL", "TYPE", "pubsub")
    made.ended_at = time.monotonic()


@contextmanager
def overflow(stage: Stage, _terms: Terms, _: int) -> Iterator[Disturbance]:
    """Stop the worker and flood it, until Redis cuts its market data off."""
    made, client = Disturbance({"control": 0, "bars": 1, "trades": 1}), stage.feed.client
    yield made
    client.config_set("client-output-buffer-limit", "pubsub 1mb 1mb 1")
    os.kill(stage.worker.process.pid, signal.SIGSTOP)
    flood = client.pipeline(transaction=False)
    for _ in range(FLOOD_MESSAGES):
        flood.publish("market_data:FLOOD", b"x" * FLOOD_BYTES)
    flood.execute()
    os.kill(stage.worker.process.pid, signal.SIGCONT)
    made.ended_at = time.monotonic()
    client.config_set("client-output-buffer-limit", "pubsub 32mb 8mb 60")


@contextmanager
def refuse(stage: Stage, _terms: Terms, _: int) -> Iterator[Disturbance]:
    """Take the right to any channel from the worker's account, and give it back."""
    made = Disturbance()
    command(stage, "ACL", "SETUSER", USER, "resetchannels")
    command(stage, "CLIENT", "KILL", "USER", USER)
    eventually(lambda: not stage.is_ready(), 5, "/ready tells of the refusal")
    yield made
    _never.wait(0.5)
    assert stage.worker.get("/health").status_code == 200, "the worker is not healthy while it is refused"
    command(stage, "ACL", "SETUSER", USER, "allchannels")
    made.ended_at = time.monotonic()


@contextmanager
def absent_at_start(stage: Stage, terms: Terms, _: int) -> Iterator[Disturbance]:
    """Start a worker while there is no Redis, and bring Redis up after a while."""
    # Sessions without a row are remembered by Redis alone, which forgets them when it ends.
    for key in [key for key in stage.worker.sessions() if not _has_row(stage, key)]:
        stage.ended.add(key)
    measures.settle(stage)
    stage.kill_worker()
    stage.valkey.kill()
    stage.start_worker(ready=False)
    made = Disturbance(anew=True)
    yield made
    eventually(lambda: stage.worker.get("/health").status_code == 200, 20, "the worker lives without Redis")
    _never.wait(1.0 if terms.quick else 5.0)
    assert not stage.is_ready(), "/ready is 200 without Redis"
    stage.valkey.restart()
    made.ended_at = time.monotonic()


@contextmanager
def slices(stage: Stage, terms: Terms, _: int) -> Iterator[Disturbance]:
    """Publish a message of 1 MB on both ways in, through a proxy that hands it on in slices."""
    made, client = Disturbance(dict.fromkeys(measures.STREAMS, 0)), stage.feed.client
    yield made
    refused = stage.worker.metric("worker_events_rejected_total", "too_large")
    with _proxies[id(stage)].slicing(terms.chance.randint(1_000, 5_000)):
        for channel in ("market_data:SYM0", CONTROL):
            client.publish(channel, b"x" * MEGABYTE)
        eventually(
            lambda: stage.worker.metric("worker_events_rejected_total", "too_large") == refused + 2,
            30,
            "both messages are refused",
        )
    made.ended_at = time.monotonic()


def command(stage: Stage, *words: str) -> None:
    """Give the server a command that redis-py has no tidy name for."""
    stage.feed.client.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py leaves it untyped


def _noticed(stage: Stage, began: float) -> float:
    eventually(lambda: not stage.is_ready(), 15, "/ready tells of the loss")
    return time.monotonic() - began


def _wait_until(moment: float) -> None:
    _never.wait(max(0.0, moment - time.monotonic()))


def _restart_worker(stage: Stage, url: str) -> None:
    stage.kill_worker()
    stage.settings["REDIS_URL"] = url
    stage.start_worker()
    eventually(lambda: stage.running() == stage.sessions.keys(), 10, "the probe runs again")


def _has_row(stage: Stage, key: str) -> bool:
    return key in stage.with_rows
