"""Configuration: the only reader of the environment.

Sources, strongest first: the environment, `.env`, the YAML file named by CONFIG_PATH, the defaults. In each,
`NAME_FILE` may name a file that holds the value of `NAME`, as container platforms mount secrets. White space
around a value is no part of it; an empty value counts as not given. Every problem is reported at
once, one line per problem, and no secret is shown.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args, get_origin
from urllib.parse import quote

import yaml
from dotenv.parser import parse_stream
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from models.errors import ConfigError
from models.settings import Settings, masked

__all__ = ["Settings", "load_settings", "masked"]

_LARGEST_FILE = 64 * 1024


def load_settings(
    environ: Mapping[str, str] | None = None,
    dotenv: Path | None = Path(".env"),
    overrides: Mapping[str, str] | None = None,
) -> Settings:
    """Read, check and return the settings; `environ` defaults to the process's own.

    `overrides` come from the command line and win over everything; POSTGRES_* there over a DATABASE_URL, too.
    Raises ConfigError with one line per problem, each naming the variable, its source and what to do.
    """
    problems: list[str] = []
    given = _given(os.environ if environ is None else environ, "the environment", problems)
    if dotenv is not None:
        given = _given(_read_dotenv(dotenv, problems), str(dotenv), problems) | given
    if path := given.get("config_path"):
        given = _given(_read_yaml(path, problems), masked(path.text), problems) | given
    ordered = _given(overrides or {}, "the command line", problems)
    if "database_url" not in ordered and any(name.startswith("postgres_") for name in ordered):
        given.pop("database_url", None)
    settings = _validated(given | ordered, problems)
    if problems:
        raise ConfigError("\n".join(problems))
    if settings.database_url is None and any(name.startswith("postgres_") for name in given | ordered):
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
    if 0 < settings.freeze_seconds <= settings.handler_deadline_max_ms / 1000:
        yield (
            ("freeze_seconds", "handler_deadline_max_ms"),
            "contradict: a freeze must be longer than any deadline; make the first larger, or 0",
        )
    if settings.kafka_security_protocol.startswith("SASL") and not (
        settings.kafka_sasl_username and settings.kafka_sasl_password
    ):
        yield (
            ("kafka_security_protocol", "kafka_sasl_username"),
            "contradict: with SASL give KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
        )
    if settings.risk_min_order > settings.risk_max_order:
        yield ("risk_min_order", "risk_max_order"), "contradict: the first must not be larger"


def _explained(name: str, details: ErrorDetails) -> str:
    if details["type"] == "value_error":
        return str(details["ctx"]["error"])
    kind = Settings.model_fields[name].annotation
    if kind in (int, float, bool) or get_origin(kind) is Literal:
        return f"must be {_allowed(name)}, not {masked(str(details['input']))[:40]!r}"
    return {
        "path_not_file": "names a file that does not exist; create it or correct the path",
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
