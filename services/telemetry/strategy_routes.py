"""Stored strategies over HTTP: the order to go on with the code that the catalogue has now."""

from typing import Annotated, Protocol

import msgspec
from fastapi import APIRouter, Header, Response


class StoredStrategies(Protocol):
    """What is asked about stored strategies. Called in the server's thread; nothing here may wait."""

    def authorised(self, token: str) -> bool:
        """Whether this token may give orders."""

    def reload(self, strategy_id: str) -> list[str]:
        """Have the sessions of stored code go on with the code of now; return their keys."""


def strategy_routes(view: StoredStrategies) -> APIRouter:
    """Return the routes under /strategies."""
    router = APIRouter(prefix="/strategies")

    @router.post("/{strategy_id}/reload")
    async def reload(strategy_id: str, authorization: Annotated[str, Header()] = "") -> Response:
        if not view.authorised(authorization.removeprefix("Bearer ")):
            return _json(
                {"error": "not_authorised", "message": "send the CONTROL_TOKEN as a bearer token"}, 401
            )
        if not (keys := view.reload(strategy_id)):
            message = f"no session of stored code runs strategy {strategy_id} in this worker"
            return _json({"error": "nothing_to_reload", "message": message}, 404)
        return _json({"status": "reloading", "sessions": len(keys), "keys": keys}, 202)

    return router


def _json(body: object, status: int) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
