"""What went wrong, told apart by the one thing that counts: may the request have left?"""

import gzip
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from models.errors import NotSent, Uncertain
from models.signal import Signal
from services.signals.gateway_client import GatewayClient, GatewayOptions
from services.signals.verdict import Reply
from tests.gateway_stub import HANG, SILENT_DROP, SILENT_RESET, Answer, GatewayStub
from tests.sample_signals import make_signal
from tests.support import free_port

TIMEOUT = 0.4


@pytest.fixture
def stub() -> Iterator[GatewayStub]:
    with GatewayStub() as gateway:
        yield gateway


def make_client(url: str, timeout: float = TIMEOUT, ca_file: str | None = None) -> GatewayClient:
    return GatewayClient(GatewayOptions(url, timeout=timeout, ca_file=ca_file))


def within_deadline(request: Callable[[], Reply], timeout: float = TIMEOUT) -> Reply:
    """Make a request of a client with this timeout; fail when it takes much longer."""
    began = time.monotonic()
    try:
        return request()
    finally:
        taken = time.monotonic() - began
        assert taken < timeout + 4.0, f"took {taken:.2f} s"


def execute(stub: GatewayStub) -> Reply:
    client = make_client(stub.url)
    return within_deadline(lambda: client.execute(make_signal()))


def test_a_refused_connection_sent_nothing() -> None:
    with pytest.raises(NotSent, match="connection_refused"):
        make_client(f"http://127.0.0.1:{free_port()}").execute(make_signal())


def test_a_name_that_does_not_resolve_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_name(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    with pytest.raises(NotSent, match="name_not_resolved"):
        make_client("http://gateway.invalid:3000").execute(make_signal())


def test_a_resolver_that_hangs_ends_with_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def slow(*_: object, flags: int = 0, **__: object) -> list[object]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not a number")
        answered.wait(10.0)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    client = make_client("http://gateway.invalid:3000")
    with pytest.raises(NotSent, match="name_not_resolved"):
        within_deadline(lambda: client.execute(make_signal()))
    answered.set()


def test_every_address_of_a_name_is_tried(stub: GatewayStub, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def two_addresses(_: str, port: int, *, flags: int = 0, **more: int) -> list[object]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not a number")
        return [*real("127.0.0.1", free_port(), **more), *real("127.0.0.1", port, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", two_addresses)
    assert make_client(f"http://gateway.invalid:{stub.port}").execute(make_signal()).status == 201


def test_a_connection_that_does_not_come_about_sent_nothing() -> None:
    with full_backlog() as url:
        client = make_client(url)
        with pytest.raises(NotSent, match="connect_timeout"):
            within_deadline(lambda: client.execute(make_signal()))


@contextmanager
def full_backlog() -> Iterator[str]:
    """A port that answers no more connections, as a host behind a dropping firewall does."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = [socket.socket() for _ in range(8)]
        for connection in waiting:
            connection.settimeout(0)
            connection.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for connection in waiting:
            connection.close()


def test_a_gateway_that_speaks_no_tls_was_sent_nothing() -> None:
    with GatewayStub(on_accept=b"HTTP/1.1 400 Bad Request\r\n\r\n") as stub:
        client = make_client(stub.url.replace("http:", "https:"))
        with pytest.raises(NotSent, match="tls_failed"):
            within_deadline(lambda: client.execute(make_signal()))


def test_a_handshake_that_hangs_sent_nothing() -> None:
    with GatewayStub(on_accept="hang") as stub:
        client = make_client(stub.url.replace("http:", "https:"))
        with pytest.raises(NotSent, match="connect_timeout"):
            within_deadline(lambda: client.execute(make_signal()))


def test_a_handshake_that_is_cut_sent_nothing() -> None:
    with GatewayStub(on_accept="close") as stub:
        client = make_client(stub.url.replace("http:", "https:"))
        with pytest.raises(NotSent):
            client.execute(make_signal())


def test_a_certificate_of_nobody_we_know_is_not_trusted() -> None:
    with GatewayStub(tls=True) as stub:
        with pytest.raises(NotSent, match="tls_failed"):
            make_client(stub.url).execute(make_signal())
        assert stub.requests == []


def test_a_certificate_for_another_name_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **more: real("127.0.0.1", *rest, **more))
    with GatewayStub(tls=True) as stub:
        url = f"https://gateway.invalid:{stub.port}"
        with pytest.raises(NotSent, match="tls_failed"):
            make_client(url, ca_file=str(stub.ca_file)).execute(make_signal())
        assert stub.requests == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (HANG, "read_timeout"),
        (SILENT_DROP, "connection_reset"),
        (SILENT_RESET, "connection_reset"),
        (Answer(raw=b"HTTP/1.1 20", end="hang"), "read_timeout"),
        (Answer(raw=b"HTTP/1.1 201 Created\r\nContent-Le", end="hang"), "read_timeout"),
        (Answer(raw=b"SSH-2.0-OpenSSH_9.6\r\n", end="close"), "reply_unreadable"),
        (Answer(raw=b"\x00" * 70_000, end="close"), "reply_unreadable"),
        (Answer(raw=b"HTTP/1.1 201 Created\r\n" + b"X: y\r\n" * 200, end="close"), "reply_unreadable"),
        (Answer(drip=0.05), "read_timeout"),
    ],
)
def test_a_request_without_a_readable_reply_may_have_been_executed(
    stub: GatewayStub, answer: Answer, reason: str
) -> None:
    stub.script(answer)
    with pytest.raises(Uncertain, match=reason):
        execute(stub)
    assert len(stub.posts) == 1, "and is not repeated behind our back"


def test_a_connection_closed_before_it_is_read_leaves_doubt() -> None:
    with GatewayStub(on_accept="close") as stub:
        client = make_client(stub.url)
        with pytest.raises(Uncertain):
            client.execute(make_signal())


def test_a_body_that_drips_ends_with_the_deadline(stub: GatewayStub) -> None:
    head = b"HTTP/1.1 201 Created\r\nContent-Length: 50\r\n\r\n"
    stub.script(Answer(raw=head + b" " * 50, burst=len(head), drip=0.1))
    reply = execute(stub)
    assert reply == Reply(status=201, flaw="read_timeout")


def test_a_drip_on_a_kept_connection_has_a_deadline_of_its_own(stub: GatewayStub) -> None:
    client = make_client(stub.url)
    for _ in range(2):
        assert client.execute(make_signal()).status == 201
    stub.script(Answer(drip=0.05))
    with pytest.raises(Uncertain, match="read_timeout"):
        within_deadline(lambda: client.execute(make_signal()))
    assert client.execute(make_signal()).status == 201, "the dripping connection is not used again"
    assert stub.connections == 2


@pytest.mark.parametrize(
    "signal",
    [make_signal(metadata={"large": "x" * 10_000_000}), make_signal(signal_id="x" * 10_000_000)],
    ids=["a large body", "a large header"],
)
def test_a_gateway_that_reads_nothing_ends_with_the_deadline(signal: Signal) -> None:
    with GatewayStub(on_accept="hang") as stub:
        client = make_client(stub.url, timeout=2.0)  # it takes a while to encode what is that large
        with pytest.raises(Uncertain, match="read_timeout"):
            within_deadline(lambda: client.execute(signal), 2.0)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(raw=b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{}", end="close"),
        Answer(raw=b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{}", end="reset"),
        Answer(raw=b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", end="close"),
        Answer(raw=b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
        Answer(201, b"no gzip", headers={"Content-Encoding": "gzip"}),
        Answer(201, b" " * (64 * 1024 + 1)),
    ],
)
def test_a_body_that_cannot_be_had_is_told_from_an_empty_one(stub: GatewayStub, answer: Answer) -> None:
    stub.script(answer)
    reply = execute(stub)
    assert (reply.status, reply.body) == (201, b"")
    assert reply.flaw


@pytest.mark.parametrize(
    "answer",
    [
        Answer(201, b" " * (64 * 1024 - 2) + b"{}"),
        Answer(201, gzip.compress(b'{"status": "filled"}'), headers={"Content-Encoding": "gzip"}),
        Answer(
            raw=b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
        ),
        Answer(raw=b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"),
        Answer(raw=b"HTTP/1.0 201 Created\r\n\r\n{}", end="close"),
    ],
)
def test_bodies_of_every_lawful_form_are_read(stub: GatewayStub, answer: Answer) -> None:
    stub.script(answer)
    reply = execute(stub)
    assert reply.flaw is None
    assert reply.body.strip().startswith(b"{")


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("status", [201, 302])
def test_200_megabytes_of_nothing_do_not_fill_the_memory(stub: GatewayStub, layers: int, status: int) -> None:
    bomb = gzip_of_zeros(200)
    for _ in range(layers - 1):
        bomb = gzip.compress(bomb)
    encoding = ", ".join(["gzip"] * layers)
    stub.script(Answer(status, bomb, headers={"Content-Encoding": encoding, "Location": stub.url}))
    client = make_client(stub.url, timeout=5.0)
    tracemalloc.start()
    try:
        reply = client.execute(make_signal())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reply.flaw
    assert peak < 4 * 1024 * 1024


def gzip_of_zeros(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    megabyte = bytes(1024 * 1024)
    return b"".join(packer.compress(megabyte) for _ in range(megabytes)) + packer.flush()


def test_an_endless_body_is_cut(stub: GatewayStub) -> None:
    stub.script(Answer(raw=b"HTTP/1.1 201 Created\r\n\r\n" + b" " * 50_000_000, end="close"))
    reply = execute(stub)
    assert reply.flaw == "a body of more than 65536 bytes"
