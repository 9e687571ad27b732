"""Tells people: by mail, Telegram, a webhook, whatever apprise can reach."""

import logging
import re
from typing import Any

import structlog
from pydantic import SecretStr

from models.errors import ConfigError

BETWEEN = re.compile(r"[\s,]+(?=[A-Za-z0-9]+://)")
LONGEST = 4_000

log = structlog.get_logger(__name__)


class Notifications:
    """Sends to every URL of NOTIFY_URLS; without one it does nothing. Never raises once it is made.

    Raises ConfigError, showing none of them, for a URL that apprise cannot read, and without the package.
    """

    def __init__(self, urls: SecretStr | None) -> None:
        given = [] if urls is None else [url for url in BETWEEN.split(urls.get_secret_value().strip()) if url]
        self._targets = [_target(url, place) for place, url in enumerate(given, 1)]

    def send(self, title: str, body: str) -> bool:
        """Tell everybody; return whether all were reached. Who was not is logged, and that is all."""
        reached = [self._reaches(place, target, title, body) for place, target in enumerate(self._targets, 1)]
        return all(reached)

    def _reaches(self, place: int, target: Any, title: str, body: str) -> bool:
        try:
            sent = bool(target.notify(title=title, body=body[:LONGEST] or title))
            kind = None
        except Exception as error:  # noqa: BLE001 — somebody else's code, about somebody else's server
            sent, kind = False, type(error).__name__  # its text may hold the URL
        if not sent:
            log.warning("notification_failed", url_number=place, title=title, error=kind)
        return sent


def _target(url: str, place: int) -> Any:
    try:
        import apprise  # noqa: PLC0415 — optional weight, wanted with NOTIFY_URLS alone
    except ImportError:
        raise ConfigError("NOTIFY_URLS needs apprise: pip install -r requirements-history.txt") from None
    for library in ("apprise", "urllib3"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)  # they would log what the URLs hold
    target = apprise.Apprise()
    if not target.add(url):
        raise ConfigError(f"NOTIFY_URLS: number {place} is no URL that apprise knows; see apprise's list")
    return target
