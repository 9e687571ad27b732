"""Reads a request no further than its sender may go: token, size, then signature."""

import asyncio

from starlette.requests import Request

from services.paper.authentication import Authentication
from services.paper.decoding import LARGEST_BODY
from services.paper.refusal import RequestRefused

BODY_SECONDS = 10.0

_CLOSE = {"Connection": "close"}  # the rest of the body is not read


class Guard:
    """The checks that come before a route, as FastAPI dependencies. Each raises RequestRefused."""

    def __init__(self, authentication: Authentication) -> None:
        self._authentication = authentication

    async def token(self, request: Request) -> None:
        """Check the token alone."""
        self._authentication.check_token(request.headers.get("authorization"))

    async def body(self, request: Request) -> bytes:
        """Check the token and return the body."""
        await self.token(request)
        return await read_body(request)

    async def signed_body(self, request: Request) -> bytes:
        """Check token and signature and return the body."""
        body = await self.body(request)
        method, path = request.method.encode(), request.scope["raw_path"]
        self._authentication.check_signature(
            request.headers.get("x-timestamp"),
            request.headers.get("x-signature"),
            b"\n".join((method, path, body)),
        )
        return body


async def read_body(request: Request) -> bytes:
    """Read a whole body. Raises RequestRefused for one that is too large (413) or too slow (408)."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise RequestRefused(413, "body_too_large", f"at most {LARGEST_BODY} bytes", _CLOSE)
    except TimeoutError:
        message = f"the body did not arrive within {BODY_SECONDS:g} s"
        raise RequestRefused(408, "body_too_slow", message, _CLOSE) from None
    return bytes(body)
