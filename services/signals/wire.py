"""What a signal looks like on the wire, and how a request is signed."""

import hmac
import json
from datetime import UTC

import msgspec

from models.errors import Refused
from models.signal import Signal


def encode(signal: Signal) -> bytes:
    """Return the body of `POST /internal/execute`. The same signal always gives the same bytes.

    A session started without a sessionId is known by its key, which then is sent in its place. Raises
    Refused when a strategy's metadata cannot be written as JSON.
    """
    body = {
        "signalId": signal.signal_id,
        "sessionId": signal.session_id or signal.session_key,
        "strategyId": signal.strategy_id,
        "symbol": signal.symbol,
        "action": signal.action,
        "price": signal.price,
        "quantity": signal.quantity,
        "qty": signal.quantity,
        "confidence": signal.confidence,
        "timestamp": signal.timestamp.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "metadata": signal.metadata,
    }
    try:
        return msgspec.json.encode(body)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return _encode_slowly(body)


def sign(secret: str, timestamp: str, method: str, path: str, body: bytes) -> str:
    """Return X-Signature: hex HMAC-SHA256 over X-Timestamp, method, path and body, one per line."""
    message = b"\n".join((timestamp.encode(), method.encode(), path.encode(), body))
    return hmac.digest(secret.encode(), message, "sha256").hex()


def _encode_slowly(body: dict[str, object]) -> bytes:
    """Write what msgspec does not: whole numbers beyond 64 bits, half a surrogate pair."""
    try:
        return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise Refused(f"signal_not_encodable: {error}") from error
