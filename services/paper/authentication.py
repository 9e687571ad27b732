"""Who may ask: a bearer token and, for what workers send, a signature over the request."""

import hashlib
import hmac
import math
import time
from collections.abc import Callable

from services.paper.refusal import RequestRefused

WINDOW_SECONDS = 300


class Authentication:
    """Checks the credentials that are set; without any, everybody may ask. Comparisons take constant time.

    `clock` tells the Unix time.
    """

    def __init__(self, token: str | None, secret: str | None, clock: Callable[[], float] = time.time) -> None:
        self._token = None if token is None else token.encode()
        self._secret = None if secret is None else secret.encode()
        self._clock = clock

    def check_token(self, authorization: str | None) -> None:
        """Check the header Authorization. Raises RequestRefused (401)."""
        if self._token is None:
            return
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token):
            headers = {"WWW-Authenticate": "Bearer"}
            message = "send the header Authorization: Bearer with the token that this gateway was given"
            raise RequestRefused(401, "unauthorized", message, headers)

    def check_signature(self, timestamp: str | None, signature: str | None, signed: bytes) -> None:
        """Check X-Timestamp and X-Signature against `signed` (method, path and body, a line each).

        Raises RequestRefused (401) for a wrong signature and for one more than 300 s away from now.
        """
        if self._secret is None:
            return
        expected = hmac.new(
            self._secret, (timestamp or "").encode() + b"\n" + signed, hashlib.sha256
        ).hexdigest()
        if not hmac.compare_digest((signature or "").lower().encode(), expected.encode()):
            message = (
                "X-Signature must be the hex HMAC-SHA256 of X-Timestamp, method, path and body, "
                "joined by line feeds, under the secret that this gateway was given"
            )
            raise RequestRefused(401, "bad_signature", message)
        if not abs(self._clock() - _seconds(timestamp)) <= WINDOW_SECONDS:
            message = f"X-Timestamp must be Unix seconds within {WINDOW_SECONDS} s of the gateway's clock"
            raise RequestRefused(401, "stale_signature", message)


def _seconds(timestamp: str | None) -> float:
    try:
        return float(timestamp or "")
    except ValueError:
        return math.nan
