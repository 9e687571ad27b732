"""`python main.py dead-letters …`: the messages that were refused, why, and how they come back."""

from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config import Settings, load_settings
from models.errors import DecodeError
from services.commands.output import AsJson, print_json, print_line, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.intake.messages import Message, MessageBrowser

PAYLOAD_SHOWN = 200
MOST = 20_000  # the worker's stream is kept at about half of that
COLUMNS = ("at", "source", "reason", "payload")
REPLAY_SECONDS = 30.0

dead_letters = typer.Typer(help="Look at the messages that were refused.", no_args_is_help=True)
LetterId = Annotated[str, typer.Argument(metavar="ID", help="As `dead-letters list --json` shows it.")]


class Queue(StrEnum):
    """Who refused a message."""

    WORKER = "worker"
    STRATEGIES = "strategy-consumer-dlq"
    PORTFOLIOS = "strategy.errors"


@dead_letters.callback()
def group() -> None:
    """Look at the messages that were refused."""


@dead_letters.command("list")
def list_dead_letters(
    queue: Annotated[Queue | None, typer.Option(help="Only those of one queue.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the newest dead letters, newest first; --json shows payloads whole, as far as they are kept.

    They are those of the worker (control events, market data), of the intake and of the portfolios.
    """
    settings = load_settings()
    letters: list[dict[str, str]] = []
    if queue in {None, Queue.WORKER}:
        letters += newest(settings, limit)
    for topic in (Queue.STRATEGIES, Queue.PORTFOLIOS):
        if queue in {None, topic}:
            letters += newest_refusals(settings, topic, limit)
    letters = sorted(letters, key=lambda letter: letter["at"], reverse=True)[:limit]
    if as_json:
        print_json(letters)
    elif letters:
        print_table(
            ("id", *COLUMNS),
            ([letter["id"], *(_cut(letter[each]) for each in COLUMNS)] for letter in letters),
        )
    else:
        print_line("no dead letters")


@dead_letters.command()
def show(letter_id: LetterId, as_json: AsJson = False) -> None:
    """Show one dead letter whole."""
    settings = load_settings()
    found = _refusal(settings, letter_id) if "@" in letter_id else _of_worker(settings, letter_id)
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        print_line(f"{name}: {value}")


@dead_letters.command()
def replay(
    letter_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]…", help="Which ones.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them, up to --limit.")] = False,
    queue: Annotated[Queue, typer.Option(help="Where --all looks.")] = Queue.STRATEGIES,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="At most so many with --all.")] = 1_000,
    as_json: AsJson = False,
) -> int:
    """Send refused messages to the stream again that they came from: after a mend of what refused them.

    In Redis a replayed letter is removed; a topic of Kafka keeps it. Exit code 1: some could not be replayed.
    """
    if bool(letter_ids) == everything:
        raise typer.BadParameter("name letters by their IDs, or give --all")
    if queue is Queue.WORKER or any("@" not in each for each in letter_ids or ()):
        raise typer.BadParameter("the worker's own letters are old market data and events: nothing to replay")
    settings = load_settings()
    with _browsing(settings) as browser:
        letters = (
            browser.newest(queue, limit)[::-1]
            if everything
            else [_get(browser, each) for each in letter_ids or ()]
        )
        replayed, kept = _replay(settings, browser, letters)
    if as_json:
        print_json({"replayed": replayed, "kept": kept})
    else:
        print_line(f"{len(replayed)} replayed")
        for letter_id, why in kept.items():
            print_line(f"not replayed: {letter_id}: {why}")
    return 1 if kept else 0


def newest(settings: Settings, limit: int) -> list[dict[str, str]]:
    r"""Return the worker's newest dead letters, newest first; bytes that are not UTF-8 as `\xff`."""
    from services.commands.peers import redis_of
    from services.dead_letters import STREAM

    with redis_of(settings) as client:
        entries: Any = client.xrevrange(STREAM, count=limit)
    return [_letter(entry, fields) for entry, fields in entries]


def newest_refusals(settings: Settings, topic: str, limit: int) -> list[dict[str, str]]:
    """Return the newest refused messages of the intake or the portfolios, each message once."""
    with _browsing(settings) as browser:
        described = [_described(each) for each in browser.newest(topic, limit)]
    return list({letter["source"]: letter for letter in reversed(described)}.values())[::-1]


def _of_worker(settings: Settings, letter_id: str) -> dict[str, str]:
    from services.commands.peers import redis_of
    from services.dead_letters import STREAM

    with redis_of(settings) as client:
        entries: Any = client.xrange(STREAM, min=letter_id, max=letter_id, count=1)
    if not entries:
        raise typer.BadParameter(f"no dead letter {letter_id}; see `dead-letters list`")
    return _letter(*entries[0])


def _refusal(settings: Settings, letter_id: str) -> dict[str, str]:
    with _browsing(settings) as browser:
        return _described(_get(browser, letter_id))


def _letter(entry: bytes, fields: dict[bytes, bytes]) -> dict[str, str]:
    read = {column: _text(fields.get(column.encode(), b"")) for column in COLUMNS}
    return {"id": _text(entry), "queue": Queue.WORKER.value, **read}


def _described(message: "Message") -> dict[str, str]:
    from services.intake.refusals import Refusal

    letter = {"id": str(message.place), "queue": message.place.topic}
    try:
        refusal = Refusal.decode(message.payload)
    except DecodeError as error:
        at = "" if message.written_at is None else message.written_at.isoformat()
        return letter | {"at": at, "source": "", "reason": str(error), "payload": _text(message.payload)}
    return letter | {
        "at": refusal.timestamp,
        "source": refusal.source,
        "reason": f"{refusal.reason}: {refusal.error}" if refusal.reason else refusal.error,
        "payload": refusal.original_message,
    }


def _replay(
    settings: Settings, browser: "MessageBrowser", letters: "list[Message]"
) -> tuple[list[str], dict[str, str]]:
    """Send letters again; return which went, and why the others did not."""
    from threading import Event

    from services.intake.refusals import Refusal
    from services.intake.transport import make_publisher

    publisher = make_publisher(settings, Event(), trim=False)
    sent, kept = [], {}
    for letter in letters:
        try:
            refusal = Refusal.decode(letter.payload)
            publisher.publish(refusal.topic, refusal.key, refusal.payload())
            sent.append(letter)
        except DecodeError as error:
            kept[str(letter.place)] = error.detail
    try:
        publisher.flush(REPLAY_SECONDS)
    finally:
        publisher.close(0.0)
    for letter in sent:
        browser.remove(letter.place)
    return [str(letter.place) for letter in sent], kept


def _get(browser: "MessageBrowser", letter_id: str) -> "Message":
    from services.intake.messages import Place

    try:
        place = Place.parse(letter_id)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    found = browser.get(place) if place.topic in set(Queue) else None
    if found is None:
        raise typer.BadParameter(f"no dead letter {letter_id}; see `dead-letters list`")
    return found


@contextmanager
def _browsing(settings: Settings) -> "Iterator[MessageBrowser]":
    from services.intake.transport import make_browser

    browser = make_browser(settings)
    try:
        yield browser
    finally:
        browser.close()


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")


def _cut(text: str) -> str:
    return text if len(text) <= PAYLOAD_SHOWN else f"{text[:PAYLOAD_SHOWN]}…"
