"""Every setting the worker has, with its type, its bounds, its default and what it is for."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    DirectoryPath,
    Field,
    FilePath,
    SecretStr,
)

_MASK = "***"
# Bounded, so that a long text full of :// takes no longer than its length asks for.
_IN_URL = re.compile(r"://(?:[^\s/?#:@]{0,256}:\S{0,512}|[^\s/?#@]{0,256})@")
_NAMED = re.compile(
    r"""((?:password|passwd|secret|token)["']?\s*(?:=|:\s*(?=["']))\s*|\bbearer\s+)"""
    r"""("[^"]*"|'[^']*'|[^\s&,;]+)""",
    re.IGNORECASE,
)
_PERCENT_ENCODE = "percent-encode special characters of the password (@ is %40, / is %2F, # is %23, ? is %3F)"


# What the client understands and the worker does not decide itself, each with what it may be.
_REDIS_OPTIONS = {"db": r"\d+", "username": ".+", "password": ".+"}
_REDIS_TLS_OPTIONS = {
    "ssl_ca_certs": ".+",
    "ssl_ca_path": ".+",
    "ssl_cert_reqs": "none|optional|required",
    "ssl_certfile": ".+",
    "ssl_check_hostname": "true|false",
    "ssl_keyfile": ".+",
}

LEAST_MEMORY_STEP_MB = 256


def masked(text: str) -> str:
    """Return `text` with *** for credentials in URLs, after `password=` and its like, and after Bearer."""
    return _NAMED.sub(rf"\1{_MASK}", _IN_URL.sub(f"://{_MASK}@", text))


def _split(url: str, *schemes: str) -> SplitResult:
    if not url.lower().startswith(tuple(f"{scheme}://" for scheme in schemes)):
        raise ValueError("must start with " + " or ".join(f"{scheme}://" for scheme in schemes))
    try:
        parts = urlsplit(url)
        if "," not in parts.netloc:  # PostgreSQL takes several hosts
            _ = parts.port
    except ValueError:
        raise ValueError(f"holds no valid host and port; {_PERCENT_ENCODE}") from None
    if " " in url or "#" in url or "@" in parts.path + parts.query:
        raise ValueError(f"cannot be read; {_PERCENT_ENCODE}")
    return parts


def _redis_url(url: str) -> str:
    parts = _split(url, "redis", "rediss", "unix")
    _check_redis_options(parts)
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise ValueError("must name a socket, like unix:///run/redis.sock")
    elif not parts.hostname:
        raise ValueError("must name a host, like redis://localhost:6379")
    elif parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise ValueError("must end in the number of a database or nothing, like redis://localhost:6379/0")
    return url


def _check_redis_options(parts: SplitResult) -> None:
    allowed = _REDIS_OPTIONS | (_REDIS_TLS_OPTIONS if parts.scheme == "rediss" else {})
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in _REDIS_TLS_OPTIONS and name not in allowed:
            raise ValueError(f"has the option {name}, which needs rediss://")
        if name not in allowed:
            raise ValueError(f"has an unknown option {name[:40]!r}; there are {', '.join(sorted(allowed))}")
        if not re.fullmatch(allowed[name], value):
            raise ValueError(f"has a wrong value for the option {name}; it must match {allowed[name]}")


def _postgres_url(url: str) -> str:
    _split(url, "postgresql", "postgres")
    return url


def _gateway_url(url: str) -> str:
    parts = _split(url, "http", "https")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold credentials; set GATEWAY_TOKEN instead")
    if not parts.hostname or parts.query or "?" in url:
        raise ValueError("must be a host with an optional port and path, like http://localhost:3000")
    return url.rstrip("/")


def _token(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if not value.isascii() or " " in value:
        raise ValueError("must be ASCII without spaces, since it travels in an HTTP header")
    return secret


def _servers(text: str) -> str:
    for each in text.split(","):
        host, _, port = each.strip().rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) <= 65535:  # noqa: PLR2004 — the last port
            raise ValueError("must be host:port, or several with commas between, like localhost:9092")
    return text


def _address(text: str) -> str:
    if "," in text or "/" in text or "@" in text:
        raise ValueError("must be one host:port, like localhost:50051")
    return _servers(text)


def _file(path: Path) -> Path:
    if not path.is_file():
        raise ValueError("names a file that does not exist; correct the path")
    return path


def _modules(text: str) -> str:
    for each in text.split(",") if text else []:
        if not all(part.isidentifier() for part in each.strip().split(".")):
            raise ValueError("must be names of modules with commas between, like numpy,pandas")
    return text


def _memory_step(megabytes: int) -> int:
    if 0 < megabytes < LEAST_MEMORY_STEP_MB:
        raise ValueError(
            f"must be at least {LEAST_MEMORY_STEP_MB}, for threads that start, or 0 for no limit"
        )
    return megabytes


def _time_of_day(text: str) -> str:
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text):
        raise ValueError("must be a time of day in UTC, like 00:00 or 21:30")
    return text


RedisUrl = Annotated[str, AfterValidator(_redis_url)]
PostgresUrl = Annotated[str, AfterValidator(_postgres_url)]
GatewayUrl = Annotated[str, AfterValidator(_gateway_url)]
Token = Annotated[SecretStr, AfterValidator(_token)]
Name = Annotated[str, Field(pattern=r"^[\w.:-]{1,64}$")]
Host = Annotated[str, Field(pattern=r"^[^\s@]{1,255}$")]
Port = Annotated[int, Field(ge=0, le=65535)]
Servers = Annotated[str, AfterValidator(_servers)]
Address = Annotated[str, AfterValidator(_address)]
Modules = Annotated[str, AfterValidator(_modules)]
MemoryStep = Annotated[int, AfterValidator(_memory_step)]
ExistingFile = Annotated[Path, AfterValidator(_file)]
Share = Annotated[float, Field(gt=0, le=1)]
Money = Annotated[float, Field(gt=0)]
TimeOfDay = Annotated[str, AfterValidator(_time_of_day)]
Seconds = Annotated[float, Field(ge=0.1, le=86400)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(str.upper)]
LogFormat = Annotated[Literal["json", "console"], BeforeValidator(str.lower)]


class Settings(BaseModel):
    """Every setting by its name in lower case. Made by `load_settings`; tests may construct it directly."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    # The file of settings
    config_path: Path | None = Field(None, description="YAML file with the same settings")

    # Servers
    redis_url: RedisUrl = Field("redis://localhost:6379", description="control events and market data")
    database_url: PostgresUrl | None = Field(None, description="PostgreSQL; without it signals are in memory")
    postgres_host: Host | None = Field(None, description="stands in for DATABASE_URL with the four below")
    postgres_port: Annotated[int, Field(ge=1, le=65535)] = Field(5432, description="its port")
    postgres_db: str | None = Field(None, description="its database, by default named like the user")
    postgres_user: str = Field("postgres", description="its user")
    postgres_password: SecretStr | None = Field(None, description="its password")

    # The gateway that takes the signals
    gateway_url: GatewayUrl = Field("http://localhost:3000", description="takes POST /internal/execute")
    gateway_token: Token | None = Field(None, description="sent as Authorization: Bearer")
    gateway_hmac_secret: SecretStr | None = Field(None, description="signs every request when set")
    gateway_timeout: Seconds = Field(5.0, description="whole time for one request and its reply, seconds")
    gateway_idempotent: bool = Field(default=False, description="the gateway knows a repeated id again")
    gateway_threads: int = Field(4, ge=1, le=64, description="requests under way at once")
    gateway_threads_max: int = Field(32, ge=1, le=256, description="the same while all of those hang")
    signal_ttl_seconds: Seconds = Field(30.0, description="a signal not delivered by then expires")
    outbox_size: int = Field(10_000, ge=1, le=1_000_000, description="signals that may wait in memory")

    # The OMS, which takes them in the gateway's place
    execution_route: Literal["gateway", "oms"] = Field("gateway", description="who executes signals")
    oms_address: Address = Field("localhost:50051", description="takes order.OrderService/StreamOrders")
    oms_token: Token | None = Field(None, description="sent as authorization: Bearer")
    oms_tls_ca: ExistingFile | None = Field(None, description="authority of its certificate; switches TLS on")
    oms_idempotent: bool = Field(default=False, description="the OMS knows a repeated id again")
    oms_order_type: Literal["market", "limit"] = Field("market", description="limit: at the signal's price")
    oms_orders: int = Field(32, ge=1, le=256, description="orders that may wait for their end at once")
    order_timeout: Seconds = Field(30.0, description="time for the final answer to an order, seconds")

    # Strategies
    default_strategy: Name = Field("mock", description="for a subscribe event without strategyId")
    strategies_path: DirectoryPath | None = Field(None, description="folder of your own strategy classes")
    handler_deadline_ms: int = Field(250, ge=1, le=600_000, description="time one handler call may take")
    handler_deadline_max_ms: int = Field(5000, ge=1, le=600_000, description="the most a class may ask for")
    freeze_seconds: float = Field(10.0, ge=0, le=86_400, description="a worker frozen so long ends; 0 never")
    memory_step_mb: MemoryStep = Field(
        512, ge=0, le=1_000_000, description="the most memory a strategy may ask for at once; 0 for no limit"
    )
    max_handler_errors: int = Field(10, ge=1, le=1_000_000, description="errors in a row until ERROR")
    sandbox: Literal["required", "insecure-dev"] = Field(
        "required", description="insecure-dev runs stored code unsealed"
    )
    sandbox_modules: Modules = Field("", description="what stored code may import too, like numpy,pandas")
    sandbox_memory_mb: int = Field(
        256, ge=16, le=1_048_576, description="memory that a sealed process may take, MiB"
    )
    sandbox_cpu_ms: int = Field(
        100, ge=1, le=60_000, description="of the processor, for one call of stored code"
    )
    sandbox_cpu_kill_ms: int = Field(250, ge=1, le=60_000, description="then its process is killed")
    sandbox_wall_ms: int = Field(
        2000, ge=10, le=600_000, description="time that one call of stored code may take"
    )
    sandbox_core_share: Share = Field(0.5, description="share of a core that it may use over 10 seconds")
    sandbox_signals_per_event: int = Field(
        50, ge=1, le=1_000_000, description="signals that stored code may send at one event"
    )
    sandbox_signals_per_second: int = Field(
        500, ge=1, le=1_000_000, description="signals of one session of stored code"
    )
    sandbox_log_lines_per_second: int = Field(
        100, ge=1, le=1_000_000, description="log lines of one; more are dropped"
    )
    strategy_reload: Literal["auto", "manual"] = Field(
        "manual", description="auto: changed code takes over in running sessions"
    )

    # Sessions and market data
    reconcile_seconds: Seconds = Field(30.0, description="between comparisons with the table of sessions")
    lease_seconds: float = Field(
        6.0, ge=1, le=300, description="until another worker takes over from one that is silent"
    )
    state_seconds: Seconds = Field(30.0, description="between saves of the strategies' state")
    feed_stale_seconds: float = Field(
        180.0, ge=0, le=604_800, description="silence that is a stale feed; 0 never"
    )
    gap_policy: Literal["notify", "fence"] = Field(
        "notify", description="after a gap; fence: no more signals"
    )

    # HTTP of the worker
    http_host: Host = Field("127.0.0.1", description="address of both servers; 0.0.0.0 in a container")
    health_port: Port = Field(8080, description="/health /ready /metrics /sessions; 0 switches it off")
    metrics_port: Port = Field(9091, description="/metrics alone; 0 switches it off")
    control_token: Token | None = Field(None, description="lets its bearer stop and pause executions")

    # Risk
    risk_enabled: bool = Field(default=False, description="check plain sessions too; portfolios always are")
    risk_min_order: Money = Field(100.0, description="smallest value of an order")
    risk_max_order: Money = Field(100_000.0, description="largest value of an order")
    risk_max_position: Share = Field(0.30, description="share of the portfolio in one symbol")
    risk_max_exposure: Money = Field(1_000_000.0, description="value of all positions")
    risk_max_daily_loss: Share = Field(0.05, description="share of the portfolio lost in a day")
    risk_max_daily_loss_amount: Money = Field(50_000.0, description="the same as an amount")
    risk_stop_loss_buffer: float = Field(0.02, ge=0, lt=1, description="share added beyond the stop loss")
    risk_portfolio_value: Money = Field(100_000.0, description="value that plain sessions are measured by")
    risk_max_orders_per_second: int = Field(
        1000, ge=1, le=1_000_000, description="orders that may go out within a second"
    )
    risk_day_start: TimeOfDay = Field("00:00", description="when a trading day begins, UTC")
    price_max_age_seconds: Seconds = Field(180.0, description="no order on a price that is older")

    # Portfolios
    rebalance_seconds: Seconds = Field(300.0, description="between rebalancings")
    rebalance_drift: Share = Field(0.05, description="distance from the allocation that is acted on")
    position_check_seconds: Seconds = Field(60.0, description="between checks of positions")
    position_snapshot_days: int = Field(90, ge=0, le=36_500, description="snapshots are kept; 0 for ever")
    price_wait_seconds: Seconds = Field(60.0, description="for a first price of each symbol; then error")
    shutdown_close_positions: bool = Field(default=False, description="a stop closes positions first")

    # Streams of messages
    intake_transport: Literal["redis", "kafka"] = Field(
        "redis", description="where streams are: redis or kafka"
    )
    intake_consumer: Name | None = Field(None, description="name in the group; by default host and process")
    kafka_bootstrap_servers: Servers = Field("localhost:9092", description="brokers: host:port,host:port")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    kafka_sasl_username: str | None = Field(None, description="user of the brokers")
    kafka_sasl_password: SecretStr | None = Field(None, description="its password")
    kafka_ca_file: FilePath | None = Field(None, description="certificates that sign the brokers' own")

    # Intake of discovered strategies
    kafka_topic_strategies: Name = Field("discovered-strategies", description="topic or stream to take in")
    kafka_group_id: Name = Field("strategy-consumer", description="group whose consumers share it")
    intake_format: Literal["json", "protobuf"] = Field(
        "json", description="of its messages: json or protobuf"
    )
    batch_size: int = Field(1000, ge=1, le=100_000, description="messages written in one transaction")
    batch_timeout_seconds: Seconds = Field(30.0, description="a smaller batch is written after this")
    max_retries: int = Field(3, ge=0, le=100, description="attempts after the first")

    # The engine
    notify_urls: SecretStr | None = Field(None, description="whom to tell of runs: URLs of apprise")

    # The process
    run_path: Path | None = Field(
        None, description="folder for what a frozen worker leaves; by default the temporary one"
    )
    shutdown_seconds: Seconds = Field(30.0, description="time to stop everything in order")
    log_level: LogLevel = Field("INFO", description="DEBUG, INFO, WARNING, ERROR or CRITICAL")
    log_format: LogFormat = Field("json", description="json lines, or console for people")

    def modules_of_sandbox(self) -> tuple[str, ...]:
        """The names in SANDBOX_MODULES."""
        return tuple(each.strip() for each in self.sandbox_modules.split(",") if each.strip())

    def describe(self) -> dict[str, str | int | float | None]:
        """Every setting by its NAME, fit to be shown: secrets are *** and URLs hold no credentials."""
        return {name.upper(): _shown(value) for name, value in self}

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        yield from ((name, _shown(value)) for name, value in self)


def _shown(value: object) -> str | int | float | None:
    if isinstance(value, SecretStr):
        return _MASK
    if isinstance(value, int | float | None):
        return value
    scheme, slashes, rest = str(value).partition("://")
    if slashes and "@" in rest:  # a URL, and what is before the last @ are its credentials, however long
        return f"{scheme}://{_MASK}@{rest.rpartition('@')[2]}"
    return masked(str(value))
