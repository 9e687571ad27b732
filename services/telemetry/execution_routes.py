"""Portfolio executions over HTTP: what there are, and the orders that a person gives them."""

import asyncio
from concurrent.futures import Future
from typing import Annotated, Any, Literal, Protocol

import msgspec
from fastapi import APIRouter, Header, Response

Command = Literal["stop", "pause", "resume"]

NOT_AUTHORISED = 401
NOT_FOUND = 404
CONFLICT = 409
UNAVAILABLE = 503
ACCEPTED = 202
# How long a command may take to be written down.
WRITE_SECONDS = 5.0
NOT_WRITTEN = (
    f"the command could not be written down within {WRITE_SECONDS:g} s: it is carried out once the database "
    "answers, unless the worker ends before; GET /executions shows what came of it"
)


class Executions(Protocol):
    """What is asked about executions. Called in the server's thread; nothing here may wait."""

    def authorised(self, token: str) -> bool:
        """Whether this token may give orders."""

    def executions(self) -> list[dict[str, Any]]:
        """Every execution that has not ended, as values that JSON can hold."""

    def command_execution(self, execution_id: str, command: Command) -> Future[bool] | None:
        """Have one stopped, paused or resumed; None where there is none.

        Done once that is written down: true, or false where it does not apply.
        """


def execution_routes(view: Executions) -> APIRouter:
    """Return the routes under /executions."""
    router = APIRouter(prefix="/executions")

    @router.get("")
    async def executions() -> Response:
        return _json(view.executions())

    @router.post("/{execution_id}/{command}")
    async def command(
        execution_id: str, command: Command, authorization: Annotated[str, Header()] = ""
    ) -> Response:
        if not view.authorised(authorization.removeprefix("Bearer ")):
            return _refusal(NOT_AUTHORISED, "not_authorised", "send the CONTROL_TOKEN as a bearer token")
        written = view.command_execution(execution_id, command)
        if written is None:
            return _refusal(
                NOT_FOUND, "unknown_execution", f"no execution {execution_id} is under way in this worker"
            )
        try:
            # Not given up where it takes longer: whoever wants something closed wants it then, too.
            applies = await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(written)), WRITE_SECONDS)
        except TimeoutError:
            return _refusal(UNAVAILABLE, "not_written", NOT_WRITTEN)
        if not applies:
            message = f"execution {execution_id} is not in a state to {command}: GET /executions shows it"
            return _refusal(CONFLICT, "not_applicable", message)
        return _json({"status": "accepted", "execution_id": execution_id, "command": command}, ACCEPTED)

    return router


def _refusal(status: int, error: str, message: str) -> Response:
    return _json({"error": error, "message": message}, status)


def _json(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
