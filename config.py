"""Configuration: the only reader of the environment.

Sources, strongest first: the environment, `.env`, the YAML file named by CONFIG_PATH, the defaults. In each,
`NAME_FILE` may name a file that holds the value of `NAME`, as container platforms mount secrets. White space
around a value is no part of it; an empty value counts as not given. Every problem is reported at
once, one line per problem, and no secret is shown.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args, get_origin
from urllib.parse import SplitResult, quote, urlsplit

import yaml
from dotenv.parser import parse_stream
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    DirectoryPath,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic_core import ErrorDetails

from models.errors import ConfigError

_MASK = "***"
_LARGEST_FILE = 64 * 1024
# Bounded, so that a long text full of :// takes no longer than its length asks for.
_IN_URL = re.compile(r"://(?:[^\s/?#:@]{0,256}:\S{0,512}|[^\s/?#@]{0,256})@")
_NAMED = re.compile(
    r"""((?:password|passwd|secret|token)["']?\s*(?:=|:\s*(?=["']))\s*|\bbearer\s+)"""
    r"""("[^"]*"|'[^']*'|[^\s&,;]+)""",
    re.IGNORECASE,
)
_PERCENT_ENCODE = "percent-encode special characters of the password (@ is %40, / is %2F, # is %23, ? is %3F)"


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
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise ValueError("must name a socket, like unix:///run/redis.sock")
    elif not parts.hostname:
        raise ValueError("must name a host, like redis://localhost:6379")
    elif parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise ValueError("must end in the number of a database or nothing, like redis://localhost:6379/0")
    return url


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


RedisUrl = Annotated[str, AfterValidator(_redis_url)]
PostgresUrl = Annotated[str, AfterValidator(_postgres_url)]
GatewayUrl = Annotated[str, AfterValidator(_gateway_url)]
Token = Annotated[SecretStr, AfterValidator(_token)]
Name = Annotated[str, Field(pattern=r"^[\w.:-]{1,64}$")]
Host = Annotated[str, Field(pattern=r"^[^\s@]{1,255}$")]
Port = Annotated[int, Field(ge=0, le=65535)]
Share = Annotated[float, Field(gt=0, le=1)]
Money = Annotated[float, Field(gt=0)]
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
    signal_ttl_seconds: Seconds = Field(30.0, description="a signal not delivered by then expires")
    outbox_size: int = Field(10_000, ge=1, le=1_000_000, description="signals that may wait in memory")

    # Strategies
    default_strategy: Name = Field("mock", description="for a subscribe event without strategyId")
    strategies_path: DirectoryPath | None = Field(None, description="folder of your own strategy classes")
    handler_deadline_ms: int = Field(250, ge=1, le=600_000, description="time one handler call may take")
    handler_deadline_max_ms: int = Field(5000, ge=1, le=600_000, description="the most a class may ask for")
    max_handler_errors: int = Field(10, ge=1, le=1_000_000, description="errors in a row until ERROR")
    sandbox: Literal["required", "insecure-dev"] = Field(
        "required", description="insecure-dev runs stored code unsealed"
    )

    # Sessions and market data
    reconcile_seconds: Seconds = Field(30.0, description="between comparisons with the table of sessions")
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

    # Portfolios
    rebalance_seconds: Seconds = Field(300.0, description="between rebalancings")
    rebalance_drift: Share = Field(0.05, description="distance from the allocation that is acted on")
    position_check_seconds: Seconds = Field(60.0, description="between checks of positions")

    # Intake of discovered strategies
    batch_size: int = Field(1000, ge=1, le=100_000, description="messages written in one transaction")
    batch_timeout_seconds: Seconds = Field(30.0, description="a smaller batch is written after this")
    max_retries: int = Field(3, ge=0, le=100, description="attempts after the first")

    # The process
    shutdown_seconds: Seconds = Field(30.0, description="time to stop everything in order")
    log_level: LogLevel = Field("INFO", description="DEBUG, INFO, WARNING, ERROR or CRITICAL")
    log_format: LogFormat = Field("json", description="json lines, or console for people")

    def describe(self) -> dict[str, str | int | float | None]:
        """Every setting by its NAME, fit to be shown: secrets are *** and URLs hold no credentials."""
        return {name.upper(): _shown(value) for name, value in self}

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        yield from ((name, _shown(value)) for name, value in self)


def load_settings(environ: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")) -> Settings:
    """Read, check and return the settings; `environ` defaults to the process's own.

    Raises ConfigError with one line per problem, each naming the variable, its source and what to do.
    """
    problems: list[str] = []
    given = _given(os.environ if environ is None else environ, "the environment", problems)
    if dotenv is not None:
        given = _given(_read_dotenv(dotenv, problems), str(dotenv), problems) | given
    if path := given.get("config_path"):
        given = _given(_read_yaml(path, problems), masked(path.text), problems) | given
    settings = _validated(given, problems)
    if problems:
        raise ConfigError("\n".join(problems))
    if settings.database_url is None and any(name.startswith("postgres_") for name in given):
        settings = settings.model_copy(update={"database_url": _stand_in(settings)})
    return settings


class _Given(NamedTuple):
    text: str
    source: str


def _given(texts: Mapping[str, str], source: str, problems: list[str]) -> dict[str, _Given]:
    """Return what one source gives, by the names of the fields."""
    found = {}
    for name in Settings.model_fields:
        variable = name.upper()
        text = texts.get(variable, "").strip()
        if path := texts.get(f"{variable}_FILE"):
            content = _read(Path(path), f"{variable}_FILE (from {source})", problems).strip()
            if text and content and text != content:
                problems.append(f"{variable} and {variable}_FILE (from {source}) differ; keep one of them")
            text = content
        if not text.isprintable():
            problems.append(f"{variable} (from {source}) must be one line of UTF-8 text")
        elif text:
            found[name] = _Given(text, source)
    return found


def _read(path: Path, subject: str, problems: list[str]) -> str:
    """Return a small file's text, or "" after noting why not. Its path may be a secret given by mistake."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        text = content.decode()
    except UnicodeDecodeError:
        problems.append(f"{subject} names a file that is not UTF-8 text")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not a path"
        problems.append(f"{subject} names a file that cannot be read: {why}; correct the path")
    else:
        if len(content) > _LARGEST_FILE:
            problems.append(f"{subject} names a file larger than {_LARGEST_FILE // 1024} KiB")
        elif not text.strip():
            problems.append(f"{subject} names an empty file; write the value into it")
        else:
            return text
    return ""


def _read_dotenv(path: Path, problems: list[str]) -> dict[str, str]:
    """Return the assignments of a .env file; `$` has no meaning in it, so that a password may hold one."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            bindings = list(parse_stream(file))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        problems.append(f"{path} cannot be read: {why}")
        return {}
    problems.extend(f"{path} line {each.original.line} is not NAME=value" for each in bindings if each.error)
    return {each.key: each.value for each in bindings if each.key and each.value}


def _read_yaml(path: _Given, problems: list[str]) -> dict[str, str]:
    """Return the flat settings of a YAML file as they are written there, so that 0123 is not 83."""
    text = _read(Path(path.text), f"CONFIG_PATH (from {path.source})", problems)
    shown = masked(path.text)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problems.append(f"{shown}{where} is not YAML; put values with special characters in quotes")
        return {}
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        problems.append(f"{shown} must hold lines of the form name: value")
        return {}
    found: dict[str, str] = {}
    for key, value in root.value:
        name = str(key.value).upper() if isinstance(key, yaml.ScalarNode) else "?"
        if problem := _wrong_in_yaml(name, value, found):
            problems.append(f"{masked(name)} ({shown} line {key.start_mark.line + 1}) {problem}")
        elif value.tag != "tag:yaml.org,2002:null":
            found[name] = value.value
    return found


def _wrong_in_yaml(name: str, value: yaml.Node, found: Mapping[str, str]) -> str | None:
    known = [f"{each.upper()}{suffix}" for each in Settings.model_fields for suffix in ("", "_FILE")]
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        return f"is not a setting; did you mean {near[0]}?" if near else "is not a setting; remove it"
    if name in ("CONFIG_PATH", "CONFIG_PATH_FILE"):
        return "cannot be set in the file that it names; remove it"
    if name in found:
        return "is given twice; keep one of them"
    return None if isinstance(value, yaml.ScalarNode) else "must be a single value, not a list or a mapping"


def _validated(given: Mapping[str, _Given], problems: list[str]) -> Settings:
    """Return the settings, those that are wrong replaced by their defaults and noted in `problems`."""
    texts = {name: value.text for name, value in given.items()}
    wrong = set()
    try:
        settings = Settings.model_validate(texts)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            name = str(details["loc"][0])
            wrong.add(name)
            problems.append(f"{name.upper()} (from {given[name].source}) {_explained(name, details)}")
        settings = Settings.model_validate({name: text for name, text in texts.items() if name not in wrong})
    for names, problem in _contradictions(settings):
        if not wrong & set(names):
            problems.append(" and ".join(name.upper() for name in names) + f" {problem}")
    return settings


def _contradictions(settings: Settings) -> Iterator[tuple[tuple[str, str], str]]:
    if settings.health_port == settings.metrics_port != 0:
        yield ("health_port", "metrics_port"), "are the same port; choose another or 0 for one of them"
    if settings.handler_deadline_ms > settings.handler_deadline_max_ms:
        yield ("handler_deadline_ms", "handler_deadline_max_ms"), "contradict: the first must not be larger"
    if settings.risk_min_order > settings.risk_max_order:
        yield ("risk_min_order", "risk_max_order"), "contradict: the first must not be larger"


def _explained(name: str, details: ErrorDetails) -> str:
    if details["type"] == "value_error":
        return str(details["ctx"]["error"])
    kind = Settings.model_fields[name].annotation
    if kind in (int, float, bool) or get_origin(kind) is Literal:
        return f"must be {_allowed(name)}, not {masked(str(details['input']))[:40]!r}"
    return {
        "path_not_directory": "names a folder that does not exist; create it or correct the path",
        "string_pattern_mismatch": "must be a name or address without spaces and special characters",
    }.get(details["type"], details["msg"])


def _allowed(name: str) -> str:
    field = Settings.model_fields[name]
    if field.annotation is bool:
        return "true or false"
    if choices := get_args(field.annotation):
        return "one of " + ", ".join(choices)
    noun = "a whole number" if field.annotation is int else "a finite number"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    limits = [
        f", {word} {getattr(bound, key)}"
        for key, word in words.items()
        for bound in field.metadata
        if hasattr(bound, key)
    ]
    return noun + "".join(limits)


def _stand_in(settings: Settings) -> str:
    """Build the DATABASE_URL that the POSTGRES_* settings stand for."""
    user = quote(settings.postgres_user, safe="")
    if settings.postgres_password is not None:
        user += ":" + quote(settings.postgres_password.get_secret_value(), safe="")
    host = settings.postgres_host or "localhost"
    host = f"[{host}]" if ":" in host else quote(host, safe="")
    database = quote(settings.postgres_db or settings.postgres_user, safe="")
    return f"postgresql://{user}@{host}:{settings.postgres_port}/{database}"


def _shown(value: object) -> str | int | float | None:
    if isinstance(value, SecretStr):
        return _MASK
    if isinstance(value, int | float | None):
        return value
    scheme, slashes, rest = str(value).partition("://")
    if slashes and "@" in rest:  # a URL, and what is before the last @ are its credentials, however long
        return f"{scheme}://{_MASK}@{rest.rpartition('@')[2]}"
    return masked(str(value))
