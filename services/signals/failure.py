"""Names what went wrong with an exchange, in words that stay the same whatever library raised it."""

import ssl
from collections.abc import Iterator
from http.client import HTTPException

from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError

# The first that is found anywhere in the chain of causes names the failure. A new connection that fails is
# a ConnectTimeoutError to urllib3, so it comes with its own cause.
NAMES: tuple[tuple[type[BaseException], str], ...] = (
    (NameResolutionError, "name_not_resolved"),
    (ConnectionRefusedError, "connection_refused"),
    (TimeoutError, "timeout"),
    (ssl.SSLError, "tls_failed"),
    (ConnectionError, "connection_reset"),
    (NewConnectionError, "connection_failed"),
    (ConnectTimeoutError, "timeout"),
    (HTTPException, "reply_unreadable"),
    (HTTPError, "reply_unreadable"),
)
DETAILED = {"tls_failed", "connection_failed"}


def describe(error: BaseException, phase: str) -> str:
    """Return a word for a failed exchange. `phase` ("connect" or "read") tells one timeout from another."""
    chain = list(_causes(error))
    for kind, name in NAMES:
        found = next((cause for cause in chain if isinstance(cause, kind)), None)
        if found is not None:
            return f"{phase}_timeout" if name == "timeout" else _with_detail(name, chain)
    return f"connection_failed: {error}"


def _with_detail(name: str, chain: list[BaseException]) -> str:
    """Add what the system said, where the word alone does not tell an operator what to do."""
    if name not in DETAILED:
        return name
    said = next((cause.strerror for cause in chain if isinstance(cause, OSError) and cause.strerror), None)
    return f"{name}: {said}" if said else name


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Give an exception and all it was made of: causes, contexts, and what urllib3 wraps as arguments."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
