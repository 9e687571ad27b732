"""How answers and errors look on the wire: JSON, names in camelCase, money as numbers, times in UTC."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic.alias_generators import to_camel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from models.errors import ConfigError, StorageConflict, StorageUnavailable
from services.paper.decoding import invalid
from services.paper.refusal import RequestRefused

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RETRY = {"Retry-After": "1"}


def reply(content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return Response(text, status_code, headers, media_type="application/json")


def camel(record: "DataclassInstance") -> dict[str, Any]:
    """Return a dataclass as JSON would have it."""
    fields: dict[str, Any] = _plain(asdict(record))
    return fields


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {to_camel(name): _plain(each) for name, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case Decimal():
            return float(value)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value


def answer_errors(app: FastAPI) -> None:
    """Make every error of the application an answer of the form `{"error", "message"}`."""
    ours = (RequestRefused, StorageUnavailable, StorageConflict, ConfigError)
    for kind in (*ours, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _answer)


async def _answer(_: Request, error: Exception) -> Response:
    refusal = _explained(error)
    body = {"error": refusal.error, "message": refusal.message}
    return reply(body, refusal.status_code, refusal.headers)


def _explained(error: Exception) -> RequestRefused:
    match error:
        case RequestRefused():
            return error
        case RequestValidationError():
            return invalid(error.errors())
        case HTTPException():
            name = HTTPStatus(error.status_code).name.lower()
            return RequestRefused(error.status_code, name, error.detail, error.headers)
    return _failure(error)


def _failure(error: Exception) -> RequestRefused:
    match error:
        case StorageUnavailable(uncertain=True):
            # Not 503, which says that nothing was done: this may have been done.
            return RequestRefused(500, "outcome_unknown", str(error))
        case StorageUnavailable():
            return RequestRefused(503, "database_unavailable", str(error), RETRY)
        case ConfigError():
            return RequestRefused(503, "not_ready", str(error), RETRY)
        case StorageConflict():
            return RequestRefused(409, "conflict", str(error))
    # The server logs it with its traceback.
    return RequestRefused(500, "internal_error", "the gateway failed; its log says why")
