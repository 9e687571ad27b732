"""Where settings come from, and which source wins."""

from pathlib import Path

import pytest

from config import Settings, load_settings
from models.errors import ConfigError
from tests.support import REPOSITORY


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_without_any_source_the_defaults_of_the_contract_hold() -> None:
    settings = load_settings({}, dotenv=None)
    assert settings == Settings()
    assert settings.redis_url == "redis://localhost:6379"
    assert settings.database_url is None
    assert settings.gateway_url == "http://localhost:3000"
    assert (settings.health_port, settings.metrics_port) == (8080, 9091)
    assert settings.default_strategy == "mock"
    assert settings.sandbox == "required"


def test_the_process_environment_is_read_when_the_settings_are_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEALTH_PORT", "8181")
    assert load_settings(dotenv=None).health_port == 8181


def test_constructing_settings_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEALTH_PORT", "8181")
    assert Settings().health_port == 8080


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().health_port = 1  # type: ignore[misc]


def test_the_environment_wins_over_dotenv_and_dotenv_over_yaml_and_yaml_over_the_defaults(
    tmp_path: Path,
) -> None:
    text = "health_port: 1001\nmetrics_port: 1002\nmax_retries: 7\n"
    yaml = written(tmp_path / "settings.yaml", text)
    dotenv = written(tmp_path / ".env", f"HEALTH_PORT=2001\nMETRICS_PORT=2002\nCONFIG_PATH={yaml}\n")
    settings = load_settings({"HEALTH_PORT": "3001"}, dotenv)
    assert (settings.health_port, settings.metrics_port, settings.max_retries) == (3001, 2002, 7)
    assert settings.batch_size == 1000


def test_an_empty_value_counts_as_not_given(tmp_path: Path) -> None:
    dotenv = written(tmp_path / ".env", "HEALTH_PORT=2001\n")
    assert load_settings({"HEALTH_PORT": "", "DATABASE_URL": ""}, dotenv).health_port == 2001


def test_white_space_around_a_value_is_no_part_of_it() -> None:
    assert load_settings({"HEALTH_PORT": " 81 "}, dotenv=None).health_port == 81


def test_choices_may_be_written_in_any_case() -> None:
    settings = load_settings({"LOG_LEVEL": "debug", "LOG_FORMAT": "JSON"}, dotenv=None)
    assert (settings.log_level, settings.log_format) == ("DEBUG", "json")


def test_a_missing_dotenv_is_no_problem(tmp_path: Path) -> None:
    assert load_settings({}, tmp_path / ".env") == Settings()


def test_a_dollar_in_dotenv_has_no_meaning(tmp_path: Path) -> None:
    dotenv = written(tmp_path / ".env", "POSTGRES_PASSWORD='a$HOME${HOME}'\nGATEWAY_TOKEN=$x\n")
    settings = load_settings({}, dotenv)
    assert settings.gateway_token is not None
    assert settings.gateway_token.get_secret_value() == "$x"
    assert settings.database_url == "postgresql://postgres:a%24HOME%24%7BHOME%7D@localhost:5432/postgres"


def test_a_name_with_file_holds_the_value_in_a_file(tmp_path: Path) -> None:
    token = written(tmp_path / "token", "s3cret\n")
    settings = load_settings({"GATEWAY_TOKEN_FILE": str(token)}, dotenv=None)
    assert settings.gateway_token is not None
    assert settings.gateway_token.get_secret_value() == "s3cret"


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields])
def test_every_setting_can_be_given_by_a_file(name: str, tmp_path: Path) -> None:
    empty = written(tmp_path / "value", "\n")
    with pytest.raises(ConfigError, match=f"^{name}_FILE .*empty file"):
        load_settings({f"{name}_FILE": str(empty)}, dotenv=None)


def test_a_name_and_its_file_may_both_be_given_when_they_agree(tmp_path: Path) -> None:
    port = written(tmp_path / "port", "81\n")
    assert load_settings({"HEALTH_PORT": "81", "HEALTH_PORT_FILE": str(port)}, dotenv=None).health_port == 81
    with pytest.raises(ConfigError, match=r"HEALTH_PORT and HEALTH_PORT_FILE .* differ; keep one"):
        load_settings({"HEALTH_PORT": "82", "HEALTH_PORT_FILE": str(port)}, dotenv=None)


def test_the_environment_wins_over_a_file_named_in_dotenv(tmp_path: Path) -> None:
    port = written(tmp_path / "port", "81\n")
    dotenv = written(tmp_path / ".env", f"HEALTH_PORT_FILE={port}\n")
    assert load_settings({}, dotenv).health_port == 81
    assert load_settings({"HEALTH_PORT": "82"}, dotenv).health_port == 82


def test_yaml_names_may_have_any_case_and_values_mean_what_is_written(tmp_path: Path) -> None:
    text = "Gateway_Token: 0123\nGATEWAY_IDEMPOTENT: yes\nhandler_deadline_ms: 300\ndatabase_url: null\n"
    yaml = written(tmp_path / "settings.yaml", text)
    settings = load_settings({"CONFIG_PATH": str(yaml)}, dotenv=None)
    assert settings.gateway_token is not None
    assert settings.gateway_token.get_secret_value() == "0123"
    assert settings.gateway_idempotent
    assert settings.handler_deadline_ms == 300
    assert settings.database_url is None


def test_an_empty_line_in_yaml_is_not_given(tmp_path: Path) -> None:
    yaml = written(tmp_path / "settings.yaml", "# nothing\nlog_level:\n")
    assert load_settings({"CONFIG_PATH": str(yaml)}, dotenv=None).log_level == "INFO"


def test_postgres_settings_stand_in_for_the_database_url() -> None:
    given = {
        "POSTGRES_HOST": "db",
        "POSTGRES_PORT": "5433",
        "POSTGRES_DB": "trading data",
        "POSTGRES_USER": "w@rker",
        "POSTGRES_PASSWORD": "p/w:#?",
    }
    settings = load_settings(given, dotenv=None)
    assert settings.database_url == "postgresql://w%40rker:p%2Fw%3A%23%3F@db:5433/trading%20data"
    assert (
        load_settings(given | {"DATABASE_URL": "postgresql://x/y"}, None).database_url == "postgresql://x/y"
    )


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("::1", "postgresql://postgres@[::1]:5432/postgres"),
        ("/run/postgresql", "postgresql://postgres@%2Frun%2Fpostgresql:5432/postgres"),
    ],
)
def test_postgres_host_may_be_an_ipv6_address_or_the_folder_of_a_socket(host: str, url: str) -> None:
    assert load_settings({"POSTGRES_HOST": host}, dotenv=None).database_url == url


def test_the_example_names_every_setting_with_its_default(tmp_path: Path) -> None:
    lines = (REPOSITORY / ".env.example").read_text(encoding="utf-8").splitlines()
    named = [line[1:] for line in lines if line.startswith("#") and not line.startswith("# ")]
    assert [line.partition("=")[0] for line in named] == [name.upper() for name in Settings.model_fields]
    given = [line for line in named if not line.startswith("POSTGRES_")]
    assert load_settings({}, written(tmp_path / ".env", "\n".join(given))) == Settings()


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
