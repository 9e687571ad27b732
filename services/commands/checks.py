"""What `doctor` looks at. A check returns what it found to be well, or raises with what to do about it."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import requests

from config import Settings, masked
from models.errors import DeliveryError, StorageUnavailable, StrategyRejected, StrategyWorkerError
from services.commands.peers import CommandFailed, ask, redis_of, worker_address
from services.commands.strategies import load
from services.db_client import Cursor, Database
from services.db_migrations import MIGRATIONS, read_migrations
from services.execution_route import make_gateway_client, make_oms_client
from services.intake.transport import make_browser
from services.sandbox.opening import open_sandbox

REFUSES_CREDENTIALS = {401, 403}
AWAY_BEHIND_PROXY = {502, 503, 504}
OMS_SECONDS = 3.0
APPROVALS = "strategy.approved"
SWITCHED_OFF = "switched off"
TAKEN = "another program has it: stop that, choose another port, or 0 to do without"


class Finding(NamedTuple):
    """One line of the doctor: what was looked at, whether it is well, and what was found or is to be done."""

    check: str
    ok: bool
    detail: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Check everything that a worker with these settings needs, one after the other."""
    checks: dict[str, Callable[[Settings], str]] = {
        "strategies": check_strategies,
        "redis": check_redis,
        "database": check_database,
        settings.execution_route: check_oms if settings.execution_route == "oms" else check_gateway,
        "sandbox": check_sandbox,
        f"HEALTH_PORT {settings.health_port}": check_health_port,
        f"METRICS_PORT {settings.metrics_port}": check_metrics_port,
    }
    if settings.intake_transport == "kafka":
        checks["kafka"] = check_kafka
    for name, check in checks.items():
        try:
            yield Finding(name, ok=True, detail=masked(check(settings)))
        except StrategyWorkerError as error:
            yield Finding(name, ok=False, detail=masked(str(error)))


def check_strategies(settings: Settings) -> str:
    """Every file of STRATEGIES_PATH loads, and the default strategy is there."""
    registry, failures = load(settings)
    problems = [f"{failure.file}: {failure.reason}" for failure in failures]
    try:
        registry.get(settings.default_strategy)
    except StrategyRejected as error:
        problems.append(f"DEFAULT_STRATEGY: {error}")
    if problems:
        raise CommandFailed("; ".join(problems))
    return f"{len(registry.names())} can be started by name"


def check_redis(settings: Settings) -> str:
    """Redis answers."""
    with redis_of(settings) as client:
        client.ping()
    return f"{settings.redis_url} answers"


def check_database(settings: Settings) -> str:
    """PostgreSQL answers and has every migration."""
    if settings.database_url is None:
        return "DATABASE_URL is not set: signals on their way are in memory and do not survive a crash"
    database = Database(settings.database_url, size=1)
    try:
        with database.transaction() as cursor:
            pending, changed = _compare_migrations(cursor)
    finally:
        database.close()
    if changed:
        raise CommandFailed(
            f"{', '.join(changed)} changed after being applied: restore the files in migrations/"
        )
    if pending:
        raise CommandFailed(f"not applied yet: {', '.join(pending)}; run python main.py migrate")
    return "PostgreSQL answers and has every migration"


def check_gateway(settings: Settings) -> str:
    """The gateway answers, and takes our credentials."""
    url = settings.gateway_url
    client = make_gateway_client(settings)
    try:
        status = client.probe().status
    except DeliveryError as error:
        raise CommandFailed(f"{url} does not answer ({error}): start it, or correct GATEWAY_URL") from None
    finally:
        client.close()
    if status in REFUSES_CREDENTIALS:
        raise CommandFailed(f"{url} answers {status}: correct GATEWAY_TOKEN or GATEWAY_HMAC_SECRET")
    if status in AWAY_BEHIND_PROXY:
        raise CommandFailed(f"{url} answers {status}: what is there waits for the gateway itself; start it")
    return f"{url} answers"


def check_oms(settings: Settings) -> str:
    """The OMS answers, and takes our credentials."""
    address = settings.oms_address
    client = make_oms_client(settings)
    client.start()
    try:
        status = client.first_probe(OMS_SECONDS).status
    except DeliveryError as error:
        raise CommandFailed(
            f"{address} takes no orders ({error}): start the OMS, or correct OMS_ADDRESS or OMS_TLS_CA"
        ) from None
    finally:
        client.close()
    if status in REFUSES_CREDENTIALS:
        raise CommandFailed(f"{address} refuses our credentials: correct OMS_TOKEN")
    return f"{address} answers"


def check_kafka(settings: Settings) -> str:
    """A broker answers, and lets us look at the topic of approvals."""
    servers = settings.kafka_bootstrap_servers
    with closing(make_browser(settings)) as browser:
        try:
            browser.newest(APPROVALS, 0)
        except StorageUnavailable as error:
            raise CommandFailed(
                f"{servers}: {error}; start Kafka, or correct KAFKA_BOOTSTRAP_SERVERS, KAFKA_…"
            ) from None
    return f"{servers} answers"


def check_sandbox(settings: Settings) -> str:
    """Strategies stored as Python can be run here, and the seal holds what tries to break it."""
    open_sandbox(settings).stop()
    if settings.sandbox == "insecure-dev":
        return "SANDBOX=insecure-dev: stored code runs unsealed; never let it where it can do harm"
    return "stored code runs sealed, and attempts to break the seal failed"


def check_health_port(settings: Settings) -> str:
    """A worker answers there and is ready, or the port is free for one."""
    port = settings.health_port
    if port == 0:
        return SWITCHED_OFF
    address = worker_address(settings, port)
    try:
        alive, ready = ask(f"{address}/health"), ask(f"{address}/ready")
    except requests.ConnectionError:
        return _free(settings, port)
    except requests.RequestException:
        raise CommandFailed(TAKEN) from None
    if "seconds_since_beat" not in _object(alive):
        raise CommandFailed(TAKEN)
    if not alive.ok:
        raise CommandFailed("a worker is there, and stuck: look at its logs, then restart it")
    missing = _object(ready).get("missing", {})
    if missing:
        reasons = ", ".join(f"{part}: {reason}" for part, reason in missing.items())
        raise CommandFailed(f"a worker is there, and not ready: {reasons}")
    return "a worker is there, and ready"


def check_metrics_port(settings: Settings) -> str:
    """A worker's metrics are there, or the port is free for them."""
    port = settings.metrics_port
    if port == 0:
        return SWITCHED_OFF
    try:
        answer = ask(f"{worker_address(settings, port)}/metrics")
    except requests.ConnectionError:
        return _free(settings, port)
    except requests.RequestException:
        raise CommandFailed(TAKEN) from None
    if "worker_sessions" not in answer.text:
        raise CommandFailed(TAKEN)
    return "a worker's metrics are there"


def _free(settings: Settings, port: int) -> str:
    """Nobody speaks HTTP there: find out whether a worker could have the port."""
    host = settings.http_host
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        why = error.strerror or str(error)
        raise CommandFailed(
            f"port {port} of {host} cannot be had ({why}): choose another, or 0 to do without"
        ) from None
    return "free; no worker is there"


def _object(answer: requests.Response) -> dict[str, Any]:
    """Return the JSON object of an answer, or an empty one when it is none."""
    try:
        body = answer.json()
    except requests.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _compare_migrations(cursor: Cursor) -> tuple[list[str], list[str]]:
    """Return the names of migrations that are to be applied, and of those that were changed since."""
    applied: dict[int, str] = {}
    cursor.execute("SELECT to_regclass('schema_migrations') IS NOT NULL")
    if cursor.fetchone() == (True,):
        cursor.execute("SELECT version, checksum FROM schema_migrations")
        applied = dict(cursor.fetchall())
    migrations = read_migrations(MIGRATIONS)
    pending = [each.name for each in migrations if each.version not in applied]
    changed = [each.name for each in migrations if applied.get(each.version, each.checksum) != each.checksum]
    return pending, changed
