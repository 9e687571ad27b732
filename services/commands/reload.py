"""`strategies reload`: has what runs go on with the code that the catalogue has now."""

import time
from collections.abc import Iterable
from threading import Event
from typing import Annotated, Any
from uuid import UUID

import typer

from config import Settings, load_settings
from services.commands.output import AsJson, print_json, print_line

# Without news of any session.
PATIENCE_SECONDS = 30.0
LOOK_SECONDS = 0.1
OVER = {"STOPPED", "ERROR", "QUARANTINED"}


def reload(
    strategy_id: Annotated[UUID, typer.Argument(metavar="ID", help="A row's UUID.")], as_json: AsJson = False
) -> None:
    """Have running sessions go on with the code of now, between two events; where it fails, the old stays."""
    from services.commands.peers import CommandFailed, order_worker

    settings = load_settings()
    before = _sandboxed(settings)
    ordered = order_worker(settings, f"/strategies/{strategy_id}/reload")["keys"]
    after = [
        {"key": key, "codeHash": code_hash, "reason": reason, "same": code_hash == _hash_of(before.get(key))}
        for key, code_hash, reason in _await_reload(settings, ordered, before)
    ]
    if as_json:
        print_json(after)
    else:
        for each in after:
            if each["reason"] is None:
                print_line(f"session {each['key']} runs code {each['codeHash']}{_as_before(each)}")
    if failed := [f"session {each['key']}: {each['reason']}" for each in after if each["reason"]]:
        raise CommandFailed("; ".join(failed))


def _as_before(reloaded: dict[str, Any]) -> str:
    return ", the same as before" if reloaded["same"] else ""


def _sandboxed(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return what the worker shows of the sessions that run stored code, by key."""
    from services.commands.peers import ask_worker

    return {each["key"]: each for each in ask_worker(settings, "/sessions") if "sandbox" in each}


def _hash_of(session: dict[str, Any] | None) -> str | None:
    return None if session is None else session["sandbox"]["codeHash"]


def _await_reload(
    settings: Settings, keys: Iterable[str], before: dict[str, dict[str, Any]]
) -> list[tuple[str, str | None, str | None]]:
    """Wait until every session was reloaded; return key, code that runs, and why it is the old one."""
    waiting, never = dict.fromkeys(keys), Event()
    outcomes: list[tuple[str, str | None, str | None]] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        shown = _sandboxed(settings)
        for key in list(waiting):
            session = shown.get(key)
            if is_decided(before.get(key), session):
                del waiting[key]
                outcomes.append((key, _hash_of(session), _refusal(session)))
                deadline = time.monotonic() + PATIENCE_SECONDS
        if not waiting:
            return outcomes
        if time.monotonic() > deadline:
            late = f"no word of it for {PATIENCE_SECONDS:g} s; /sessions tells what becomes of it"
            return [*outcomes, *((key, _hash_of(shown.get(key)), late) for key in waiting)]
        never.wait(LOOK_SECONDS)


def is_decided(before: dict[str, Any] | None, now: dict[str, Any] | None) -> bool:
    """Whether a session was reloaded, or can be no more."""
    if now is None or now["state"] in OVER:
        return True
    reloads: int = now["sandbox"]["reloads"]
    return reloads != (0 if before is None else before["sandbox"]["reloads"])


def _refusal(session: dict[str, Any] | None) -> str | None:
    if session is None:
        return "it ended meanwhile"
    if session["state"] in OVER:
        return f"it is {session['state']}: {session['reason']}"
    refusal: str | None = session["sandbox"]["reloadRefused"]
    return refusal
