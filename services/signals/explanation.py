"""What the body of a refusal says in words. Gateways differ: codes, sentences, nested objects, plain text.

The places looked at, in a JSON object: `code`, `error` (a text, or an object with `code` and `message`),
`reason`, `message`, `detail`; without JSON, the text itself. Words are compared in lower case with
snake_case, kebab-case and camelCase taken apart, so `SESSION_NOT_FOUND`, `sessionNotFound` and
"Session 42 was not found" say the same.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

LONGEST_REASON = 200
LONGEST_TEXT = 2000
KEYS = ("code", "error", "reason", "message", "detail")

_CODE = re.compile(r"[A-Za-z][\w.-]{0,63}")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_IN_PROGRESS = re.compile(
    r"\bin (progress|flight|process)\b"
    r"|\b(being|still|currently|already) process(ed|ing)\b"
    r"|^(processing|pending)$"
)
_GONE = (
    r"(unknown|not (be )?found|(does not|doesn t) exist|no longer|not (running|active|open)|inactive"
    r"|stopped|ended|closed|finished|completed|expired|gone|missing)"
)
_SESSION_IS_GONE = re.compile(
    rf"\bsession\b.{{0,80}}\b{_GONE}\b|\b(unknown|no such|no|inactive|stopped) session\b"
)


def explain(body: bytes) -> str | None:
    """Return the reason that a body gives, on one line of at most 200 characters: a code where it has one."""
    texts = list(_texts(body))
    code = next((text for text in texts if _CODE.fullmatch(text)), None)
    sentence = next((text for text in reversed(texts) if not text.startswith("<")), None)
    reason = code or sentence
    return " ".join(reason.split())[:LONGEST_REASON] if reason else None


def says_in_progress(body: bytes) -> bool:
    """Whether the gateway is still at work on the same signal."""
    return any(_IN_PROGRESS.search(_words(text)) for text in _texts(body))


def says_session_is_gone(body: bytes) -> bool:
    """Whether the session is unknown to the gateway or no longer runs there."""
    return any(_SESSION_IS_GONE.search(_words(text)) for text in _texts(body))


def is_json_object(body: bytes) -> bool:
    """Whether the gateway itself spoke; a proxy in front of it answers with a page or nothing."""
    return _decode(body) is not None


def _decode(body: bytes) -> dict[str, Any] | None:
    try:
        document = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _texts(body: bytes) -> Iterator[str]:
    document = _decode(body)
    if document is None:
        text = body[:LONGEST_TEXT].decode(errors="replace").strip()
        if text:
            yield text
        return
    for key in KEYS:
        value = document.get(key)
        values = [value.get("code"), value.get("message")] if isinstance(value, dict) else [value]
        yield from (text[:LONGEST_TEXT].strip() for text in values if isinstance(text, str) and text.strip())


def _words(text: str) -> str:
    return re.sub(r"[\W_]+", " ", _CAMEL.sub(" ", text)).strip().lower()
