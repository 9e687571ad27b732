"""Makes requests fail on purpose, as the options say."""

import asyncio
import random
import threading

import structlog
from starlette.requests import Request

from services.paper.options import Faults
from services.paper.refusal import RequestRefused

log = structlog.get_logger(__name__)


class FaultSwitches:
    """Decides request by request what goes wrong. Thread-safe."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._random = random.Random(faults.seed)  # noqa: S311  # repeatable, not secret
        self._lock = threading.Lock()

    async def before_execution(self) -> None:
        """Wait as long as told, then perhaps raise RequestRefused (500) instead of executing."""
        if self._faults.delay_seconds:
            await asyncio.sleep(self._faults.delay_seconds)
        if self._strikes(self._faults.fail_rate):
            raise RequestRefused(
                500, "injected_failure", "this gateway was told to fail; nothing was executed"
            )

    async def after_execution(self, request: Request) -> None:
        """Perhaps close the request's connection, so that the answer has nowhere to go."""
        if self._strikes(self._faults.drop_rate):
            log.debug("reply_dropped")
            await hang_up(request)

    def _strikes(self, rate: float) -> bool:
        if not rate:
            return False
        with self._lock:
            return self._random.random() < rate


async def hang_up(request: Request) -> None:
    """Close the connection that a request came by. What is answered afterwards is discarded."""
    transport: asyncio.Transport = request.state.transport
    transport.abort()
    await asyncio.sleep(0)  # lets the server notice before somebody answers
