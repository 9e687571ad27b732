"""Request bodies: JSON with exact numbers, checked whole, and known again by a fingerprint."""

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from models.market_data import SYMBOL_PATTERN
from models.session import AssetType
from services.paper.booking import LARGEST, SMALLEST, Order, rounded
from services.paper.refusal import RequestRefused

LARGEST_BODY = 64 * 1024
LARGEST_EXPONENT = 400

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
Symbol = Annotated[str, StringConstraints(pattern=SYMBOL_PATTERN)]
Amount = Annotated[Decimal, Field(ge=SMALLEST, le=LARGEST, allow_inf_nan=False)]


class _Body(BaseModel):
    """A JSON object in camelCase. Strict: a number in quotes or a boolean is no number."""

    model_config = ConfigDict(frozen=True, strict=True, alias_generator=to_camel, hide_input_in_errors=True)

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Check all fields; unknown ones are ignored. Raises RequestRefused (400) naming the wrong ones."""
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise invalid(error.errors(include_url=False, include_input=False)) from None


class SessionRequest(_Body):
    """The body of POST /sessions."""

    symbol: Symbol
    type: AssetType
    strategy_id: Identifier
    user_id: Identifier | None = None
    session_id: Identifier | None = None


class _ExecuteRequest(_Body):
    """The body of POST /internal/execute. Older gateways read `qty`, so older workers may send only that."""

    signal_id: Identifier | None = None
    session_id: Identifier
    strategy_id: Identifier | None = None
    symbol: Symbol
    action: Literal["BUY", "SELL"]
    price: Amount
    quantity: Amount | None = None
    qty: Amount | None = None
    confidence: Annotated[Decimal, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    timestamp: str | Decimal | None = None
    metadata: dict[str, Any] | None = None


class Request(NamedTuple):
    """An order with the fingerprint of the body that asked for it."""

    order: Order
    fingerprint: str


def read_execution(body: bytes, idempotency_key: str | None) -> Request:
    """Decode POST /internal/execute. Raises RequestRefused (400) for anything that is no order."""
    fields = read_object(body)
    request = _ExecuteRequest.read(fields)
    quantities = {each for each in (request.quantity, request.qty) if each is not None}
    if len(quantities) != 1:
        raise _bad("quantity is missing" if not quantities else "quantity and qty differ")
    order = Order(
        signal_id=_signal_id(request.signal_id, idempotency_key),
        session_id=request.session_id,
        symbol=request.symbol,
        action=request.action,
        price=rounded(request.price),
        quantity=rounded(quantities.pop()),
    )
    return Request(order, _fingerprint(fields))


def read_object(body: bytes) -> dict[str, Any]:
    """Decode a JSON object; its numbers become Decimal. Raises RequestRefused (400)."""
    try:
        value = json.loads(body.decode(), parse_float=_number, parse_int=_number, parse_constant=_number)
    except (ValueError, ArithmeticError, RecursionError):
        raise RequestRefused(400, "invalid_json", "the body is not JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise _bad("the body is not a JSON object")
    return value


def invalid(errors: Any) -> RequestRefused:
    """Turn pydantic's list of errors into one refusal."""
    problems = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in errors]
    return _bad("; ".join(problems))


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite() or abs(number.adjusted()) > LARGEST_EXPONENT:
        raise ValueError("no number that a double could hold")
    return number


def _signal_id(in_body: str | None, in_header: str | None) -> str:
    if in_body is None and in_header is None:
        raise _bad("neither signalId nor the header Idempotency-Key is there")
    if in_body is not None and in_header is not None and in_body != in_header:
        raise _bad("the header Idempotency-Key is not the signalId of the body")
    return in_body or in_header or ""


def _fingerprint(fields: Mapping[str, Any]) -> str:
    """Hash what the body says, not how: the order of fields and 1 or 1.0 make no difference."""
    text = json.dumps(fields, sort_keys=True, default=lambda number: ["number", str(number.normalize())])
    return hashlib.sha256(text.encode()).hexdigest()


def _bad(message: str) -> RequestRefused:
    return RequestRefused(400, "invalid_request", message)
