"""The programs that commands speak to, with errors that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
import requests

from config import Settings, masked
from models.errors import ConfigError, StorageUnavailable, StrategyWorkerError
from services.redis_client import make_client

ANSWER_SECONDS = 3.0
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 — not bound: replaced by one to ask at


class CommandFailed(StrategyWorkerError):
    """What was asked for did not happen; the message says why and what to do."""


@contextmanager
def redis_of(settings: Settings) -> Iterator[redis.Redis]:
    """Give a client of REDIS_URL. Raises StorageUnavailable, whatever Redis has against it."""
    client = make_client(settings.redis_url)
    where = f"Redis at {masked(settings.redis_url)}"
    try:
        yield client
    except (redis.AuthenticationError, redis.exceptions.AuthenticationWrongNumberOfArgsError):
        raise StorageUnavailable(
            f"{where} refuses the user or the password: correct them in REDIS_URL"
        ) from None
    except redis.ResponseError as error:
        raise StorageUnavailable(f"{where} refuses the command: {error}") from None
    except redis.RedisError as error:
        raise StorageUnavailable(
            f"{where} cannot be reached ({masked(str(error)).rstrip('.')}): start it, or correct REDIS_URL"
        ) from None
    finally:
        client.close()


def worker_address(settings: Settings, port: int) -> str:
    """Return where a worker with these settings answers HTTP on one of its ports."""
    host = EVERY_ADDRESS.get(settings.http_host, settings.http_host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def ask(url: str) -> requests.Response:
    """GET from a program on this machine or near it, with nothing of the environment between.

    Raises requests.RequestException.
    """
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=ANSWER_SECONDS, allow_redirects=False)


def order_worker(settings: Settings, path: str) -> Any:
    """POST an order to the worker, with the CONTROL_TOKEN; return the JSON that it answers.

    Raises CommandFailed when the order is not taken.
    """
    if settings.control_token is None:
        raise ConfigError("CONTROL_TOKEN is not set: give the worker and this command the same one")
    address = worker_address(settings, settings.health_port)
    headers = {"Authorization": f"Bearer {settings.control_token.get_secret_value()}"}
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(address + path, headers=headers, timeout=ANSWER_SECONDS)
    except requests.RequestException:
        raise CommandFailed(
            f"no worker answers at {address}: start it with `python main.py`, "
            "or set HTTP_HOST and HEALTH_PORT as the worker has them"
        ) from None
    try:
        said = answer.json()
    except requests.JSONDecodeError:
        said = {"message": answer.text[:300]}
    if answer.status_code == requests.codes.unauthorized:
        raise CommandFailed(
            f"the worker at {address} does not take this CONTROL_TOKEN, or has none itself: "
            "give the worker and this command the same one"
        )
    if not answer.ok:
        why = said.get("message", said) if isinstance(said, dict) else said
        raise CommandFailed(f"the worker refuses (HTTP {answer.status_code}): {why}")
    return said


def ask_worker(settings: Settings, path: str) -> Any:
    """Return the JSON that the worker answers. Raises CommandFailed when no worker does."""
    if settings.health_port == 0:
        raise ConfigError("HEALTH_PORT is 0, so the worker answers no questions: give it a port")
    address = worker_address(settings, settings.health_port)
    try:
        answer = ask(address + path)
    except requests.RequestException:
        raise CommandFailed(
            f"no worker answers at {address}: start it with `python main.py`, "
            "or set HTTP_HOST and HEALTH_PORT as the worker has them"
        ) from None
    try:
        answer.raise_for_status()
        return answer.json()
    except requests.RequestException:
        raise CommandFailed(
            f"what answers at {address}{path} is no worker (HTTP {answer.status_code}): "
            "set HTTP_HOST and HEALTH_PORT as the worker has them"
        ) from None
