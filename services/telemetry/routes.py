"""What the worker answers over HTTP: a person, a probe or Prometheus asks."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Annotated, Any

import msgspec
from fastapi import FastAPI, Header, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.telemetry.execution_routes import execution_routes
from services.telemetry.health import WorkerView
from services.telemetry.strategy_routes import strategy_routes

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

UNAVAILABLE = 503
READ = ["GET", "HEAD"]  # some probes ask for the head alone


def make_application(view: WorkerView, metrics_port: int) -> Application:
    """Return one application for both ports: /metrics alone on `metrics_port`, everything on any other."""
    worker, metrics = _worker_routes(view), _metrics_routes(view)

    async def by_port(scope: Scope, receive: Receive, send: Send) -> None:
        asked_for_metrics = metrics_port != 0 and scope["server"][1] == metrics_port
        await (metrics if asked_for_metrics else worker)(scope, receive, send)

    return by_port


def _metrics_routes(view: WorkerView) -> FastAPI:
    application = FastAPI(openapi_url=None)

    @application.api_route("/metrics", methods=READ)
    async def metrics() -> Response:
        return Response(generate_latest(view.registry), media_type=CONTENT_TYPE_LATEST)

    return application


def _worker_routes(view: WorkerView) -> FastAPI:
    application = _metrics_routes(view)

    @application.api_route("/health", methods=READ)
    async def health() -> Response:
        now = view.health()
        threads = {name: round(age, 3) for name, age in now.ages.items()}
        if now.ok:
            return _json({"status": "ok", "seconds_since_beat": threads})
        return _json({"status": "stuck", "stuck": now.stuck, "seconds_since_beat": threads}, UNAVAILABLE)

    @application.api_route("/ready", methods=READ)
    async def ready() -> Response:
        now = view.readiness()
        if now.ready:
            return _json({"status": "ready"})
        return _json({"status": "not ready", "missing": now.missing}, UNAVAILABLE)

    @application.api_route("/sessions", methods=READ)
    async def sessions() -> Response:
        return _json(view.sessions())

    @application.post("/sessions/{key:path}/resume")
    async def resume(key: str, authorization: Annotated[str, Header()] = "") -> Response:
        if not view.authorised(authorization.removeprefix("Bearer ")):
            return _json(
                {"error": "not_authorised", "message": "send the CONTROL_TOKEN as a bearer token"}, 401
            )
        if not view.resume(key):
            message = f"no session {key} is halted, quarantined or in error"
            return _json({"error": "nothing_to_resume", "message": message}, 404)
        return _json({"status": "resuming", "key": key}, 202)

    application.include_router(execution_routes(view))
    application.include_router(strategy_routes(view))
    return application


def _json(body: object, status: int = 200) -> Response:
    """Encode what the standard encoder refuses too: dates, enums, UUIDs, and NaN as null."""
    return Response(msgspec.json.encode(body, enc_hook=str), status, media_type="application/json")
