"""The paper gateway's routes."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from models.errors import ConfigError, StorageError
from services.db_client import Database
from services.paper.accounts import Accounts
from services.paper.authentication import Authentication
from services.paper.booking import Terms
from services.paper.decoding import Identifier, SessionRequest, read_execution, read_object
from services.paper.faults import FaultSwitches
from services.paper.guard import Guard
from services.paper.ledger import Answer, Ledger
from services.paper.options import PaperGatewayOptions
from services.paper.publisher import Publisher
from services.paper.refusal import RequestRefused
from services.paper.replies import answer_errors, camel, reply
from services.paper.session_desk import DEFAULT_USER, Change, SessionDesk

LARGEST_PAGE = 1000


def create_app(options: PaperGatewayOptions, database: Database, publisher: Publisher) -> FastAPI:
    """Put the gateway together. Connects to nothing until it is asked.

    Where a token is set everything but /health wants it; where a signing secret is set, what workers call
    (/internal) wants a signature too. The routes that wait for PostgreSQL or Redis run on threads.
    """
    app = FastAPI(title="Paper gateway", openapi_url=None)  # no schema: bodies are read by our own decoder
    answer_errors(app)
    guard = Guard(Authentication(options.token, options.hmac_secret))
    ledger = Ledger(database, Terms(options.fee_bps, options.slippage_bps))
    app.include_router(_for_workers(guard, ledger, FaultSwitches(options.faults)))
    app.include_router(_for_sessions(guard, SessionDesk(database, publisher)))
    app.include_router(_for_users(guard, Accounts(database)))
    app.include_router(_for_probes(database, publisher))
    return app


def _for_workers(guard: Guard, ledger: Ledger, faults: FaultSwitches) -> APIRouter:
    router = APIRouter(prefix="/internal")

    @router.post("/execute")
    async def execute(
        request: Request,
        body: Annotated[bytes, Depends(guard.signed_body)],
        idempotency_key: Annotated[str | None, Header()] = None,
    ) -> Response:
        order = read_execution(body, idempotency_key)
        await faults.before_execution()
        answer = await run_in_threadpool(ledger.execute, order)
        if not answer.replayed:
            await faults.after_execution(request)
        return reply(
            answer.body, answer.status_code, {"Idempotent-Replayed": "true"} if answer.replayed else None
        )

    @router.get("/executions/{signal_id:path}", dependencies=[Depends(guard.signed_body)])
    def execution(signal_id: Identifier) -> Response:
        answer = ledger.find(signal_id)
        if answer is None:
            raise RequestRefused(404, "unknown_signal", f"no signal {signal_id} was seen here")
        return reply(_result(signal_id, answer))

    return router


def _result(signal_id: str, answer: Answer) -> dict[str, Any]:
    """Tell what became of a signal; a rejection too is a result."""
    known = {"signalId": signal_id, "statusCode": answer.status_code}
    return known | ({} if answer.executed else {"status": "rejected"}) | answer.body


def _for_sessions(guard: Guard, desk: SessionDesk) -> APIRouter:
    router = APIRouter(prefix="/sessions")

    @router.post("")
    def start(body: Annotated[bytes, Depends(guard.body)]) -> Response:
        return reply(_change(desk.start(SessionRequest.read(read_object(body)))), 201)

    @router.post("/{session_id:path}/stop", dependencies=[Depends(guard.token)])
    def stop(session_id: Identifier) -> Response:
        return reply(_change(desk.stop(session_id)))

    return router


def _change(change: Change) -> dict[str, Any]:
    return camel(change.session) | {"published": change.published}


def _for_users(guard: Guard, accounts: Accounts) -> APIRouter:
    router = APIRouter(prefix="/api", dependencies=[Depends(guard.token)])
    user_id = Annotated[Identifier, Query(alias="userId")]
    session_id = Annotated[Identifier | None, Query(alias="sessionId")]

    @router.get("/portfolio")
    def portfolio(user: user_id = DEFAULT_USER) -> Response:
        return reply(camel(accounts.portfolio(user)))

    @router.get("/positions")
    def positions(user: user_id = DEFAULT_USER, session: session_id = None) -> Response:
        found = accounts.positions(user, session)
        return reply({"userId": user, "positions": [camel(each) for each in found]})

    @router.get("/trades")
    def trades(
        user: user_id = DEFAULT_USER,
        session: session_id = None,
        after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 100,
    ) -> Response:
        found = accounts.trades(user, session, after=after, limit=limit)
        following = found[-1].trade_id if len(found) == limit else None
        return reply({"userId": user, "trades": [camel(each) for each in found], "after": following})

    return router


def _for_probes(database: Database, publisher: Publisher) -> APIRouter:
    router = APIRouter()

    @router.get("/health")
    def health() -> Response:
        """Tell whether orders can be booked and sessions announced."""
        answers = {"database": _answers(database), "redis": publisher.ping()}
        fine = all(answers.values())
        return reply({"status": "ok" if fine else "degraded", **answers}, 200 if fine else 503)

    return router


def _answers(database: Database) -> bool:
    try:
        database.ping()
    except (StorageError, ConfigError):
        return False
    return True
