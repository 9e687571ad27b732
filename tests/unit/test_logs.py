"""What the log says, and what it never says."""

import json
import logging
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from config import masked
from services.telemetry import logs
from services.telemetry.logs import configure_logging, redact

module_log = structlog.get_logger("module")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, settings = list(root.handlers), root.level, structlog.get_config()
    logging.captureWarnings(capture=False)  # a test before may have left it on
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.configure(**settings)
    structlog.contextvars.clear_contextvars()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def test_an_event_is_one_json_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    structlog.get_logger("worker").bind(symbol="AAPL").info("session_started", sessions=3)
    (line,) = lines(capsys)
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset() == timedelta(0)
    assert line == {
        "level": "info",
        "logger": "worker",
        "action": "session_started",
        "symbol": "AAPL",
        "sessions": 3,
    }


def test_events_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("WARNING", "json")
    module_log.info("quiet")
    logging.getLogger("library").info("quiet")
    module_log.warning("loud")
    assert [line["action"] for line in lines(capsys)] == ["loud"]


def test_a_later_configuration_holds_for_loggers_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("ERROR", "json")
    module_log.error("first")
    configure_logging("DEBUG", "json")
    module_log.debug("second")
    assert [line["action"] for line in lines(capsys)] == ["first", "second"]


def test_records_of_libraries_take_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    logging.getLogger("uvicorn.error").error("failed at %s", "redis://:hunter2@host")
    logging.getLogger("uvicorn.access").info("GET /health")
    (line,) = lines(capsys)
    assert (line["level"], line["logger"]) == ("error", "uvicorn.error")
    assert line["action"] == "failed at redis://***@host"


def test_python_warnings_take_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        configure_logging("INFO", "json")
        warnings.simplefilter("always")
        warnings.warn("old", UserWarning, stacklevel=1)
    (line,) = lines(capsys)
    assert line["logger"] == "py.warnings"


def test_an_exception_comes_with_its_traceback_and_without_secrets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("INFO", "json")
    try:
        int("redis://:hunter2@host")
    except ValueError as error:
        module_log.exception("parse_failed", error=error)
        logging.getLogger("library").exception("parse failed")
    for line in lines(capsys):
        assert line["exception"].startswith("Traceback")
        assert "ValueError" in line["exception"]
        assert "hunter2" not in str(line)


def test_a_field_named_action_is_kept_beside_the_action(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    module_log.info("signal_sent", action="BUY")
    (line,) = lines(capsys)
    assert (line["action"], line["action_"]) == ("signal_sent", "BUY")


def test_any_value_can_be_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    endless: dict[str, Any] = {}
    endless["self"] = endless
    module_log.info(
        "odd", nan=float("nan"), raw=b"\xff", when=timedelta(1), error=KeyError(), endless=endless
    )
    (line,) = lines(capsys)
    assert (line["nan"], line["raw"], line["when"], line["error"]) == (
        "nan",
        "\\xff",
        "1 day, 0:00:00",
        "KeyError()",
    )


def test_console_lines_are_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "console")
    try:
        raise RuntimeError("redis://:hunter2@host")  # noqa: TRY301 - needs a traceback
    except RuntimeError:
        module_log.exception("session_failed", symbol="AAPL")
    err = capsys.readouterr().err
    assert "session_failed" in err
    assert "symbol=AAPL" in err
    assert "Traceback" in err
    assert "hunter2" not in err
    assert not err.startswith("{")


def test_values_of_fields_named_like_secrets_are_masked_at_any_depth() -> None:
    event = {
        "gateway_token": "hunter2",
        "headers": {"Authorization": "Bearer hunter2", "Accept": "*/*"},
        "settings": [{"POSTGRES_PASSWORD": b"hunter2"}, ("x", {"X-Signature": "hunter2"})],
        "secret": SecretStr("hunter2"),
        "session_key": "kept",
        "token_count": 3,
    }
    shown = redact(None, "info", event)
    assert "hunter2" not in str(shown)
    assert shown["session_key"] == "kept"
    assert shown["token_count"] == 3
    assert shown["headers"] == {"Authorization": "***", "Accept": "*/*"}


@settings(deadline=None)
@given(
    st.recursive(
        st.just("redis://:hunter2@h"), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_credentials_in_urls_are_masked_at_any_depth(value: Any) -> None:
    assert "hunter2" not in str(redact(None, "info", {"event": "x", "value": value}))


@pytest.mark.parametrize("text", ["://" * 22_000, "x" * 66_000, "redis://:hunter2@h " * 3_474])
def test_of_a_long_text_only_the_start_is_masked_and_written(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lengths: list[int] = []

    def counted(text: str) -> str:
        lengths.append(len(text))
        return masked(text)

    monkeypatch.setattr(logs, "masked", counted)
    configure_logging("INFO", "json")
    try:
        raise ValueError(text)  # noqa: TRY301 - needs a traceback
    except ValueError as error:
        module_log.exception("refused", text=text, raw=text.encode(), error=error, deep={"in": [text]})
    (line,) = lines(capsys)
    assert max(lengths) <= 8 * 1024 + 1
    for shown in (line["text"], line["raw"], line["error"], line["exception"], line["deep"]["in"][0]):
        assert len(shown) < 8 * 1024 + 40
        assert "hunter2" not in shown
    assert line["text"].endswith(f"… ({len(text) - 8 * 1024} more characters)")


@pytest.mark.parametrize("shown", range(len("redis://user:hunter2@")))
def test_a_password_that_a_long_text_is_cut_in_is_masked(shown: int) -> None:
    text = "x " * (4 * 1024 - 20)
    text += "x" * (8 * 1024 - len(text) - 1 - shown) + " redis://user:hunter2@host" + "x" * 9000
    written = str(redact(None, "info", {"event": text})["event"])
    assert "user:" not in written


def test_a_text_that_is_not_too_long_is_written_whole() -> None:
    text = "x" * 8 * 1024
    assert redact(None, "info", {"event": text}) == {"event": text}
