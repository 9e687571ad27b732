"""`strategies reload`: has what runs go on with the code that the catalogue has now."""

import time
from threading import Event
from typing import Annotated, Any
from uuid import UUID

import typer

from config import Settings, load_settings
from services.commands.output import AsJson, print_json, print_line

RELOAD_SECONDS = 30.0
LOOK_SECONDS = 0.1


def reload(
    strategy_id: Annotated[UUID, typer.Argument(metavar="ID", help="A row's UUID.")], as_json: AsJson = False
) -> None:
    """Have running sessions go on with the code of now, between two events; where it fails, the old stays."""
    from services.commands.peers import CommandFailed, order_worker

    settings = load_settings()
    before = {key: shown["reloads"] for key, (shown, _) in _sandboxed(settings, strategy_id).items()}
    order_worker(settings, f"/strategies/{strategy_id}/reload")
    after = _await_reload(settings, strategy_id, before)
    if as_json:
        print_json(
            [{"key": key, "codeHash": s["codeHash"], "reason": why} for key, (s, why) in after.items()]
        )
    failed = {key: why for key, (_, why) in after.items() if why}
    if failed:
        raise CommandFailed("; ".join(f"session {key}: {why}" for key, why in failed.items()))
    if not as_json:
        for key, (shown, _) in after.items():
            print_line(f"session {key} runs code {shown['codeHash']}")


def _sandboxed(settings: Settings, strategy_id: UUID) -> dict[str, tuple[dict[str, Any], str | None]]:
    """Return what the worker shows of the processes of a strategy, by session, with the reason."""
    from services.commands.peers import ask_worker

    return {
        each["key"]: (each["sandbox"], each["reason"])
        for each in ask_worker(settings, "/sessions")
        if each["strategyId"] == str(strategy_id) and "sandbox" in each
    }


def _await_reload(
    settings: Settings, strategy_id: UUID, before: dict[str, int]
) -> dict[str, tuple[dict[str, Any], str | None]]:
    deadline, never = time.monotonic() + RELOAD_SECONDS, Event()
    while True:
        shown = _sandboxed(settings, strategy_id)
        if all(sandbox["reloads"] > before.get(key, 0) for key, (sandbox, _) in shown.items()):
            return shown
        if time.monotonic() > deadline:
            return {key: (sandbox, why or "no answer yet") for key, (sandbox, why) in shown.items()}
        never.wait(LOOK_SECONDS)
