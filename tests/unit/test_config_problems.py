"""What is wrong with the settings is said completely and helpfully."""

from pathlib import Path

import pytest

from config import load_settings
from models.errors import ConfigError


def problems(environ: dict[str, str], dotenv: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(environ, dotenv)
    assert caught.value.__cause__ is None
    return str(caught.value).splitlines()


def test_all_problems_are_reported_at_once_one_per_line() -> None:
    lines = problems(
        {"HEALTH_PORT": "80x", "REDIS_URL": "localhost", "LOG_LEVEL": "loud", "GATEWAY_THREADS": "0"}
    )
    assert sorted(line.split()[0] for line in lines) == [
        "GATEWAY_THREADS",
        "HEALTH_PORT",
        "LOG_LEVEL",
        "REDIS_URL",
    ]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HEALTH_PORT", "65536", "must be a whole number, at least 0, at most 65535, not '65536'"),
        ("HEALTH_PORT", "80.5", "must be a whole number"),
        ("OUTBOX_SIZE", "true", "must be a whole number"),
        ("OUTBOX_SIZE", "0", "at least 1"),
        ("MEMORY_STEP_MB", "255", "must be at least 256, for threads that start, or 0 for no limit"),
        ("MEMORY_STEP_MB", "-1", "must be a whole number, at least 0"),
        ("GATEWAY_TIMEOUT", "nan", "must be a finite number"),
        ("SHUTDOWN_SECONDS", "inf", "must be a finite number"),
        ("SHUTDOWN_SECONDS", "-1", "at least 0.1"),
        ("RISK_MAX_POSITION", "30", "above 0, at most 1"),
        ("RISK_STOP_LOSS_BUFFER", "1", "at least 0, below 1"),
        ("GATEWAY_IDEMPOTENT", "maybe", "must be true or false, not 'maybe'"),
        ("LOG_LEVEL", "loud", "must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        ("LOG_FORMAT", "xml", "must be one of json, console"),
        ("SANDBOX", "off", "must be one of required, insecure-dev"),
        ("GAP_POLICY", "ignore", "must be one of notify, fence"),
        ("STRATEGIES_PATH", "/no/such/folder", "names a folder that does not exist"),
        ("CONFIG_PATH", "/no/such/file", "cannot be read: No such file"),
        ("DEFAULT_STRATEGY", "a b", "must be a name"),
        ("GATEWAY_TOKEN", "two words", "must be ASCII without spaces"),
        ("GATEWAY_TOKEN", "two\nlines", "must be one line of UTF-8 text"),
        ("POSTGRES_PASSWORD", "\udcff", "must be one line of UTF-8 text"),
        ("REDIS_URL", "http://localhost", "must start with redis:// or rediss:// or unix://"),
        ("REDIS_URL", "redis://", "must name a host"),
        ("REDIS_URL", "redis://localhost:sixty", "no valid host and port"),
        ("REDIS_URL", "redis://localhost/first", "number of a database"),
        ("REDIS_URL", "unix://", "must name a socket"),
        (
            "REDIS_URL",
            "redis://localhost?colour=red",
            "unknown option 'colour'; there are db, password, username",
        ),
        ("REDIS_URL", "redis://localhost?socket_timeout=0", "unknown option 'socket_timeout'"),
        ("REDIS_URL", "redis://localhost?ssl_cert_reqs=none", "needs rediss://"),
        ("REDIS_URL", "rediss://localhost?ssl_cert_reqs=maybe", "it must match none|optional|required"),
        ("REDIS_URL", "redis://localhost?db=first", "a wrong value for the option db"),
        ("EXECUTION_ROUTE", "fax", "must be one of gateway, oms"),
        ("OMS_ADDRESS", "http://oms:50051", "must be one host:port, like localhost:50051"),
        ("OMS_ADDRESS", "oms", "must be host:port"),
        ("OMS_TLS_CA", "/no/such/file", "names a file that does not exist"),
        ("OMS_ORDER_TYPE", "stop", "must be one of market, limit"),
        ("DATABASE_URL", "mysql://db", "must start with postgresql:// or postgres://"),
        ("DATABASE_URL", "postgresql://u:a/b@db/x", "percent-encode"),
        ("GATEWAY_URL", "ftp://gateway", "must start with http:// or https://"),
        ("GATEWAY_URL", "http://user:pw@gateway", "set GATEWAY_TOKEN instead"),
        ("GATEWAY_URL", "http://gateway?x=1", "must be a host with an optional port and path"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(name: str, value: str, said: str) -> None:
    (line,) = problems({name: value})
    assert line.startswith(f"{name} (from the environment)")
    assert said in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "rediss://user:p%40ss@host:6380/2?ssl_cert_reqs=none"),
        ("REDIS_URL", "unix:///run/redis.sock?db=1"),
        ("REDIS_URL", "redis://[::1]:6379"),
        ("DATABASE_URL", "postgres://u:p@db/x?sslmode=require"),
        ("DATABASE_URL", "postgresql://one:5432,two:5433/x?target_session_attrs=read-write"),
        ("DATABASE_URL", "postgresql:///x?host=/run/postgresql"),
        ("HEALTH_PORT", "0"),
        ("FEED_STALE_SECONDS", "0"),
        ("RISK_MAX_POSITION", "1"),
    ],
)
def test_unusual_but_right_values_are_taken(name: str, value: str) -> None:
    assert str(getattr(load_settings({name: value}, dotenv=None), name.lower())).removesuffix(".0") == value


def test_the_gateway_url_loses_its_last_slash() -> None:
    assert load_settings({"GATEWAY_URL": "http://gw:1/api/"}, dotenv=None).gateway_url == "http://gw:1/api"


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ({"HEALTH_PORT": "9091"}, "HEALTH_PORT and METRICS_PORT are the same port"),
        ({"HANDLER_DEADLINE_MS": "6000"}, "HANDLER_DEADLINE_MS and HANDLER_DEADLINE_MAX_MS contradict"),
        ({"RISK_MIN_ORDER": "200000"}, "RISK_MIN_ORDER and RISK_MAX_ORDER contradict"),
    ],
)
def test_settings_that_contradict_each_other_are_reported_with_the_other_problems(
    pair: dict[str, str], said: str
) -> None:
    lines = problems(pair | {"LOG_LEVEL": "loud"})
    assert len(lines) == 2
    assert said in lines[1]


def test_a_setting_that_is_wrong_in_itself_contradicts_nothing() -> None:
    assert len(problems({"HEALTH_PORT": "80x", "METRICS_PORT": "8080"})) == 1


def test_both_ports_may_be_switched_off() -> None:
    assert load_settings({"HEALTH_PORT": "0", "METRICS_PORT": "0"}, dotenv=None).metrics_port == 0


def test_a_wrong_line_of_dotenv_is_named_by_its_number_and_not_quoted(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("HEALTH_PORT=1\n= hunter2\nLOG_LEVEL=loud\n", encoding="utf-8")
    lines = problems({}, dotenv)
    assert lines[0] == f"{dotenv} line 2 is not NAME=value"
    assert lines[1].startswith(f"LOG_LEVEL (from {dotenv})")


def test_a_dotenv_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"GATEWAY_TOKEN=\xe9\n")
    assert "is not UTF-8 text" in problems({}, tmp_path / "latin")[0]
    assert "cannot be read" in problems({}, tmp_path)[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gateway_tokn: x", "GATEWAY_TOKN ({path} line 1) is not a setting; did you mean GATEWAY_TOKEN?"),
        ("\nfrobnicate: x", "FROBNICATE ({path} line 2) is not a setting; remove it"),
        ("redis:\n  url: x", "REDIS ({path} line 1) is not a setting"),
        ("log_level: [INFO]", "LOG_LEVEL ({path} line 1) must be a single value"),
        ("log_level: INFO\nLOG_LEVEL: DEBUG", "LOG_LEVEL ({path} line 2) is given twice"),
        ("config_path: other.yaml", "CONFIG_PATH ({path} line 1) cannot be set in the file that it names"),
        ("log_level: loud", "LOG_LEVEL (from {path}) must be one of"),
        ("- a\n- b", "{path} must hold lines of the form name: value"),
        ("a: b\nc: 'd", "{path} line 2 is not YAML"),
        ("gateway_token: *hunter2", "{path} line 1 is not YAML"),
        pytest.param("[" * 9000, "{path} is not YAML", id="deep"),
        ("{[hunter2]: x}", "? ({path} line 1) is not a setting"),
        ("gateway_token: hun\x07ter2", "{path} is not YAML"),
    ],
)
def test_a_wrong_yaml_file_is_explained(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    (line,) = problems({"CONFIG_PATH": str(path)})
    assert line.startswith(said.format(path=path))
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff\xfe", "not UTF-8"), (b"x" * 70_000, "larger than 64 KiB"), (b" \n", "empty file")],
)
def test_a_file_that_cannot_be_a_value_is_explained(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "value").write_bytes(content)
    (line,) = problems({"GATEWAY_TOKEN_FILE": str(tmp_path / "value")})
    assert line.startswith("GATEWAY_TOKEN_FILE (from the environment) names a")
    assert said in line


def test_a_secret_given_as_a_path_by_mistake_is_not_shown() -> None:
    (line,) = problems({"GATEWAY_TOKEN_FILE": "hunter2"})
    assert "hunter2" not in line
